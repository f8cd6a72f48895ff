"""What README.md shows is run here: its Python, its commands, its Go program; and its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/metrics.md",
    "docs/unique-ids.md",
    "docs/collisions.md",
    "docs/choosing.md",
    "docs/report.md",
]


def blocks(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_python_and_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    codes = names["codes"]
    assert (codes.shape, codes.dtype, codes.min(), codes.max()) == ((2000, 3), np.int32, 0, 63)
    assert names["ids"][0] == "-".join(map(str, codes[0]))
    assert names["tokens"][0] == "<a_{}><b_{}><c_{}>".format(*codes[0])
    np.testing.assert_array_equal(names["again"], codes)
    assert names["rerun"] == names["unique"]
    assert len(set(names["unique"])) == 2000
    assert names["approximation"].shape == (2000, 32)
    np.testing.assert_array_equal(names["same"].encode(names["X"]), codes)

    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("semantic-id ")]
    assert [command.split()[1] for command in commands] == [
        "fit",
        "encode",
        "encode",
        "encode",
        "evaluate",
        "compare",
        "report",
        "info",
        "estimate",
    ]
    outputs = []
    for command in commands:
        command = command.replace("semantic-id", f"'{sys.executable}' -m semantic_id.cli", 1)
        done = subprocess.run(["bash", "-c", command], capture_output=True, encoding="utf-8")
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(done.stdout)
    assert outputs[0].startswith("fitted on 2,000 rows")
    assert (tmp_path / "ids.csv").read_text().splitlines()[1].split(",")[1] == names["ids"][0]
    assert outputs[2].splitlines()[1].split(",")[1] == names["tokens"][0]


def test_go(tmp_path):
    go = shutil.which("go")
    if not go:
        pytest.skip("there is no Go on PATH")
    (block,) = blocks("go")
    (tmp_path / "main.go").write_text(block)
    version = re.search(r"^go (\S+)", (ROOT / "go.mod").read_text(), flags=re.MULTILINE)[1]
    (tmp_path / "go.mod").write_text(
        f"module example\n\ngo {version}\n\nrequire github.com/semantic-id/semantic-id v0.0.0\n\n"
        f"replace github.com/semantic-id/semantic-id => {ROOT}\n"
    )
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    done = subprocess.run([go, "run", "."], cwd=tmp_path, capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\[(\d+-\d+-\d+ ){2}\d+-\d+-\d+\]\n", done.stdout)


def test_make_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in [*targets, "libsemanticid"]:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_hosts(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert ((ROOT / page).parent / link).exists(), f"{page} links to {link}"
    assert "://" not in text


def test_the_architecture_page_names_what_there_is():
    """The folders and files in its table exist, from the top or beside the first one of the line."""
    lines = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    for line in [line for line in lines if line.startswith("| ") and "`" in line]:
        names = re.findall(r"`([^`]+)`", line.split("|")[2])
        first = ROOT / names[0]
        for name in names:
            assert list(ROOT.glob(name)) or list(first.parent.glob(name)) or list(first.glob(name)), line
