"""`semantic-id report`."""

import json

import numpy as np
import pytest
from semantic_id import RQKMeans
from test_cli import IDS, X, fails, ok, run, write_embeddings
from test_report import Page


@pytest.fixture(scope="module")
def model():
    return RQKMeans(n_levels=2, n_clusters=5, random_state=0).fit(X)


@pytest.fixture
def here(tmp_path, model):
    """A directory with x.npy, x.jsonl, a model of them, their ids, and a file of names and labels."""
    np.save(tmp_path / "x.npy", X)
    write_embeddings(tmp_path / "x.jsonl")
    model.save(tmp_path / "model")
    np.save(tmp_path / "ids.npy", model.encode(X))
    rows = [{"id": item, "title": f"<b>{i}</b>", "kind": "even" if i % 2 == 0 else ""} for i, item in enumerate(IDS)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows[:-1])))
    return tmp_path


def test_from_ids(here, model):
    said = ok("report", "x.npy", "ids.npy", "--out", "r.html", "--title", "a < b", "--max-items", "50", cwd=here)
    assert said == "wrote a report on 300 items to r.html: open it in a browser\n"
    page = Page(here / "r.html")
    rows = page.array(page.data["rows"])
    assert len(rows) == 50
    np.testing.assert_array_equal(page.codes(), model.encode(X)[rows])
    assert page.data["items"] == [str(row) for row in rows]
    assert page.text.startswith("a < b Skip to the figures a < b 300 items")
    assert "Lost in the codes" not in page.text


def test_from_a_model_with_names_labels_and_coordinates(here, model):
    np.save(here / "map.npy", np.arange(600).reshape(300, 2))
    options = "--model model --items items.jsonl --label-column kind --coordinates map.npy".split()  # noqa: SIM905
    ok("report", "x.jsonl", "--out", "r.html", *options, cwd=here)
    page = Page(here / "r.html")
    rows = page.array(page.data["rows"])
    np.testing.assert_array_equal(page.codes(), model.encode(X)[rows])
    assert page.data["items"] == [IDS[299] if row == 299 else f"<b>{row}</b>" for row in rows]
    names = page.data["labels"]["names"]
    labels = [names[i] for i in page.array(page.data["labels"]["of"])]
    assert labels == ["even" if row % 2 == 0 else "" for row in rows]
    assert "The coordinates were given" in page.text
    assert "Lost in the codes" in page.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("x.npy ids.npy --out none/r.html", ["none does not exist; make it first"]),
        ("x.npy ids.npy --out r.html --items items.jsonl --label-column sort", ["items.jsonl: no column 'sort'"]),
        ("x.jsonl ids.npy --out r.html", ["ids.npy: has no id for 300 of the 300 items of x.jsonl"]),
        ("x.npy ids.npy --out r.html --coordinates x.npy", ["coordinates of shape"]),
    ],
)
def test_errors(here, arguments, words):
    fails("report", *arguments.split(), cwd=here, words=words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("x.npy --out r.html", "want IDS, or --model"),
        ("x.npy ids.npy --out -", "want the name of an .html file"),
        ("x.npy ids.npy --out r.html --label-column kind", "--label-column is of the file --items"),
    ],
)
def test_wrong_command_lines(here, arguments, words):
    done = run("report", *arguments.split(), cwd=here)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (here / "r.html").exists()
    assert not (here / "-").exists()
