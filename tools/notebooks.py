"""Runs notebooks/ from clean kernels and writes them back with their outputs, without what changes from run to run.

Names of notebooks as arguments, or none for all. It takes what the tests need: tests_py/requirements.txt.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(path: Path, directory: Path) -> Any:
    """Return the notebook with the outputs of a new kernel, which works in `directory`, or raise a cell's error."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": directory}})
    client.execute()
    return strip(notebook)


def strip(notebook: Any) -> Any:
    """Return the notebook without times, versions and names of machines, cells numbered as they stand."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for index, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{index}", {}
        kept: list[Any] = []
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}
            if kept and output.get("name") and output.get("name") == kept[-1].get("name"):
                kept[-1].text += output.text  # of one stream, in pieces as they happened to come
            else:
                kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    return notebook


def main(names: list[str]) -> None:
    for path in [Path(name) for name in names] or sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as directory:
            os.environ.setdefault("IPYTHONDIR", directory)
            notebook = run(path, Path(directory))
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
