"""The demo: what it prints agrees with what it writes, its picture is a picture, and the README shows this one."""

import csv
import itertools
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from semantic_id import RQKMeans, cli

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo once; return the directory it was run in and what it printed."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib.font_manager")  # which lists the fonts at its first import, and may say so
    where = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "semantic_id.cli", "demo"]
    done = subprocess.run(command, cwd=where, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    return where, done.stdout


def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data.astype(np.float32), data.target


def written_codes(where):
    with open(where / "demo-output" / "ids.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(n) for n in range(1797)]
    codes = np.array([[int(row[f"code_{level}"]) for level in range(3)] for row in rows], np.int32)
    assert [row["semantic_id"] for row in rows] == ["-".join(map(str, row)) for row in codes.tolist()]
    return codes


def test_files(demo):
    where, _ = demo
    assert sorted(path.name for path in (where / "demo-output").iterdir()) == ["digits.png", "ids.csv", "model"]
    x, _ = digits()
    model = RQKMeans.load(where / "demo-output" / "model")
    np.testing.assert_array_equal(model.encode(x), written_codes(where))


def test_the_table_is_of_the_codes_written(demo):
    """Every line "prefix images digit purity what it holds", worked out again from ids.csv and the labels."""
    where, out = demo
    codes, (_, labels) = written_codes(where), digits()
    seen = []
    for line in out.splitlines():
        match = re.fullmatch(r" *(\d+(?:-\d+)?) +(\d+) +(\d) +(\d+) %  (.*)", line)
        if not match:
            continue
        prefix = [int(code) for code in match[1].split("-")]
        under = labels[(codes[:, : len(prefix)] == prefix).all(axis=1)]
        counts = np.bincount(under, minlength=10)
        assert int(match[2]) == len(under)
        assert int(match[3]) == counts.argmax()
        assert int(match[4]) == round(100 * counts.max() / len(under))
        held = dict(part.split(": ") for part in match[5].split(", "))
        assert sum(map(int, held.values())) == len(under)
        assert all(counts[int(digit)] == int(n) for digit, n in held.items() if digit != "others")
        seen.append(tuple(prefix))
    assert len(set(seen)) == len(seen)
    assert {prefix for prefix in seen if len(prefix) == 1} == {tuple(row) for row in codes[:, :1].tolist()}
    assert {prefix for prefix in seen if len(prefix) == 2} == {tuple(row) for row in codes[:, :2].tolist()}


def shares(out):
    """Return the lines "codes shared, prefixes, variance left, share of the most common digit" as numbers."""
    found = re.findall(r"^ +(\d) +(\d+) +([\d.]+) % +([\d.]+) %$", out, flags=re.MULTILINE)
    return [(int(depth), int(count), float(left), float(pure)) for depth, count, left, pure in found]


def test_a_longer_prefix_holds_more_alike_images(demo):
    where, out = demo
    codes, (x, labels) = written_codes(where), digits()
    lines = shares(out)
    assert [line[0] for line in lines] == [0, 1, 2, 3]
    for depth, count, left, pure in lines:
        groups = {}
        for row, prefix in enumerate(map(tuple, codes[:, :depth].tolist())):
            groups.setdefault(prefix, []).append(row)
        assert count == len(groups)
        within = sum(((x[rows] - x[rows].mean(axis=0)) ** 2).sum(dtype=float) for rows in groups.values())
        assert left == pytest.approx(100 * within / ((x - x.mean(axis=0)) ** 2).sum(dtype=float), abs=0.06)
        common = sum(np.bincount(labels[rows]).max() for rows in groups.values())
        assert pure == pytest.approx(100 * common / 1797, abs=0.06)
    for before, after in itertools.pairwise(lines):
        assert after[2] < before[2]
        assert after[3] >= before[3]
    assert lines[1][3] > 80  # one code of twelve tells most digits apart


def chunks(png):
    """Return the chunks of a PNG as (type, bytes), each checked against its CRC."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        found.append((kind, body))
        at += 12 + length
    assert found[-1][0] == b"IEND"
    return found


def source(png):
    """Return what the picture says of the codes it shows."""
    texts = dict(body.split(b"\0", 1) for kind, body in chunks(png) if kind == b"tEXt")
    return texts[b"Source"].decode()


def test_picture(demo):
    where, _ = demo
    png = (where / "demo-output" / "digits.png").read_bytes()
    width, height = struct.unpack(">II", chunks(png)[0][1][:8])
    assert width == 1760
    assert 1500 < height < 2200
    assert 100_000 < len(png) < 800_000
    import matplotlib.image

    pixels = matplotlib.image.imread(where / "demo-output" / "digits.png")[..., :3]
    assert pixels.mean() > 0.8  # a light page
    is_orange = (pixels[..., 0] > 0.75) & (pixels[..., 2] < 0.2)
    assert 0.001 < is_orange.mean() < 0.05  # images of another digit than most: some, and few


def test_same_again(demo, monkeypatch, capsys):
    where, out = demo
    monkeypatch.chdir(where)
    before = {path: path.read_bytes() for path in (where / "demo-output").rglob("*.*")}
    assert cli.main(["demo"]) == 0
    assert capsys.readouterr().out == out
    assert {path: path.read_bytes() for path in (where / "demo-output").rglob("*.*")} == before


def test_readme_shows_this_demo(demo):
    """If this fails, fits have changed: if they were meant to, run docs/images/refresh.py."""
    where, out = demo
    fresh = (where / "demo-output" / "digits.png").read_bytes()
    assert source((ROOT / "docs" / "images" / "digits.png").read_bytes()) == source(fresh)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/images/digits.png" in readme
    assert shares(readme) == shares(out)


@pytest.mark.parametrize("module", ["sklearn.datasets", "matplotlib"])
def test_without_the_extra(tmp_path, monkeypatch, capsys, module):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"semantic-id: the demo needs {module}: pip install 'semantic-id[demo]'\n"
    assert not list(tmp_path.iterdir())


def test_out_is_a_file(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    assert cli.main(["demo", "--out", "taken"]) == 1
    assert capsys.readouterr().err.startswith("semantic-id: taken: is a file")
    assert (tmp_path / "taken").read_text() == "mine"
