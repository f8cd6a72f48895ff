"""The notebooks: each runs from a clean kernel, and what is kept in its file is what such a run gives."""

import importlib
import re
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("notebooks")


def kinds(notebook: Any) -> list[list[list[str]]]:
    """Of each cell the outputs, by what they can be shown as."""
    outputs = [cell.get("outputs", []) for cell in notebook.cells]
    return [[sorted(o.get("data", [o.get("name", "")])) for o in cell] for cell in outputs]


def test_there_are_five() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_a_clean_kernel(path: Path, tools: ModuleType, tmp_path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    start = time.monotonic()
    made = tools.run(path, tmp_path)
    assert time.monotonic() - start < 120
    assert [
        output.text for cell in made.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"
    ] == []
    assert [cell.source for cell in made.cells] == [cell.source for cell in kept.cells]
    assert kinds(made) == kinds(kept), "run: make notebooks"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_the_file_keeps(path: Path, tools: ModuleType) -> None:
    assert path.stat().st_size < 400_000
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert nbformat.writes(tools.strip(notebook)).rstrip() == text.rstrip(), "run: make notebooks"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    pictures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert pictures
    source = "\n".join(cell.source for cell in notebook.cells)
    for link in re.findall(r"\]\(([^)]+)\)", source):
        assert (path.parent / link).exists(), link
    shown = "\n".join(str(output) for cell in cells for output in cell.outputs)
    assert "://" not in source
    assert not re.search(r"/tmp/|/home/|/root/|0x[0-9a-f]{6}", shown)  # of the machine that it ran on
