"""`semantic-id evaluate` and `semantic-id compare`."""

import json

import numpy as np
import pytest
from semantic_id import RQKMeans, compare, evaluate
from semantic_id.utils.metrics import measure_codes
from test_cli import IDS, X, fails, ok, run, write_embeddings


@pytest.fixture(scope="module")
def model():
    return RQKMeans(n_levels=3, n_clusters=5, random_state=0).fit(X)


@pytest.fixture
def here(tmp_path, model):
    """A directory with x.npy, x.jsonl, a model of them, and its ids in all formats."""
    np.save(tmp_path / "x.npy", X)
    write_embeddings(tmp_path / "x.jsonl")
    model.save(tmp_path / "model")
    return tmp_path


def write_ids(path, model, items):
    codes = model.encode(X)
    ids = model.semantic_id(codes)
    if path.suffix == ".npy":
        np.save(path, codes)
    elif path.name == "tokens.json":
        tokens = [[f"<{'abc'[i]}_{code}>" for i, code in enumerate(row)] for row in codes.tolist()]
        path.write_text(json.dumps(dict(zip(items, tokens, strict=True))))
    elif path.suffix == ".json":
        path.write_text(json.dumps(dict(zip(items, ids, strict=True))))
    elif path.name == "other.csv":
        rows = [f"{item};{text}".replace(";", ",") for item, text in zip(items, ids, strict=True)]
        path.write_text("\n".join(["name,sid", *rows]))
    return path


@pytest.mark.parametrize("name", ["ids.csv", "ids.jsonl", "ids.parquet", "ids.json", "tokens.json", "ids.npy"])
@pytest.mark.parametrize("embeddings", ["x.npy", "x.jsonl"])
def test_evaluate_reads_every_format(here, model, name, embeddings):
    items = IDS if embeddings == "x.jsonl" else list(map(str, range(len(X))))
    if name in ("ids.csv", "ids.jsonl", "ids.parquet"):
        if name == "ids.parquet":
            pytest.importorskip("pyarrow")
        ok("encode", embeddings, "--model", "model", "--out", name, cwd=here)
    else:
        write_ids(here / name, model, items)
    if name == "ids.npy" and embeddings == "x.jsonl":
        fails("evaluate", embeddings, name, cwd=here, words=["ids.npy", "no id for 300 of the 300", "'item 0'"])
        return
    got = json.loads(ok("evaluate", embeddings, name, "--json", cwd=here))
    assert got == evaluate(X, model.encode(X), full=True) | {"n_unused_ids": 0}


def test_settings_reach_evaluate(here, model):
    write_ids(here / "ids.npy", model, None)
    settings = "--k 5 --sample-size all --seed 3 --n-pairs 100 --model model --threads 1"
    got = json.loads(ok("evaluate", "x.npy", "ids.npy", "--json", *settings.split(), cwd=here))
    want = evaluate(X, model.encode(X), model, k=5, sample_size=None, seed=3, n_pairs=100, full=True)
    assert got == want | {"n_unused_ids": 0}
    write_ids(here / "other.csv", model, range(len(X)))
    columns = ["--item-column", "name", "--semantic-id-column", "sid"]
    assert json.loads(ok("evaluate", "x.npy", "other.csv", *columns, "--json", *settings.split(), cwd=here)) == got


def test_tables_for_people(here, model):
    write_ids(here / "ids.json", model, range(len(X)))
    said = ok("evaluate", "x.npy", "ids.json", "--model", "model", cwd=here)
    values = evaluate(X, model.encode(X), model, full=True)
    lines = {line[:30].strip(): line[30:].strip() for line in said.split("\n\n")[0].splitlines()}
    assert lines["items"] == "300"
    assert lines["different ids"] == str(values["n_unique_codes"])
    assert lines["collision rate"] == f"{100 * values['collision_rate']:.1f} %"
    assert lines["item recall at 10"] == f"{values['item_recall_at_10']:.4g}"
    assert lines["squared error"] == f"{values['quantization_mse']:.4g}"
    levels = said.split("\n\n")[1].splitlines()
    assert " ".join(levels[0].split()) == "level utilization dead entropy perplexity Gini fan-out collisions"
    assert [line.split()[0] for line in levels[1:]] == ["0", "1", "2"]
    assert max(map(len, said.splitlines())) <= 80


def test_ids_of_other_items_are_counted(here, model):
    write_ids(here / "ids.json", model, range(len(X)))
    np.save(here / "few.npy", X[:290])
    assert "10 ids are of other items" in ok("evaluate", "few.npy", "ids.json", cwd=here)
    assert json.loads(ok("evaluate", "few.npy", "ids.json", "--json", cwd=here))["n_unused_ids"] == 10


def test_values_that_are_not_defined(here):
    np.save(here / "same.npy", np.zeros((300, 2), np.int32))
    done = run("evaluate", "x.npy", "same.npy", "--json", cwd=here)
    assert done.returncode == 0
    assert "warning: distance_correlation is NaN" in done.stderr
    assert json.loads(done.stdout)["distance_correlation"] is None
    assert "not defined" in run("evaluate", "x.npy", "same.npy", cwd=here).stdout


def test_compare(here, model):
    write_ids(here / "a.json", model, range(len(X)))
    other = RQKMeans(2, 8, random_state=1).fit(X).encode(X)
    np.save(here / "b.npy", other)
    got = json.loads(ok("compare", "a.json", "b.npy", "--json", cwd=here))
    assert got == compare(model.encode(X), other)
    settings = ["--embeddings", "x.npy", "--k", "3", "--sample-size", "50"]
    got = json.loads(ok("compare", "a.json", "b.npy", "--json", *settings, cwd=here))
    assert got == compare(model.encode(X), other, X, k=3, sample_size=50)
    said = ok("compare", "a.json", "b.npy", *settings, cwd=here)
    assert "recall at 3" in said
    assert "From A to B" in said
    assert "ids of A that B gives to other items" in said
    assert "recall" not in ok("compare", "a.json", "b.npy", cwd=here)


def test_compare_takes_the_common_items(here, model):
    ids = model.semantic_id(model.encode(X))
    (here / "a.json").write_text(json.dumps({"x": ids[0], "item 7": ids[7], "item 2": ids[2]}))
    (here / "b.json").write_text(json.dumps({"item 2": ids[2], "item 7": ids[9]}))
    got = json.loads(ok("compare", "a.json", "b.json", "--embeddings", "x.jsonl", "--k", "1", "--json", cwd=here))
    codes = model.encode(X)
    assert got["b"] == evaluate(X[[7, 2]], codes[[9, 2]], k=1, full=True)
    assert got["churn"]["n_removed"] == 1


BAD = {
    "ids.txt": ("1-2", ["cannot tell the format by the name"]),
    "empty.csv": ("", ["choose the column of semantic ids by --semantic-id-column"]),
    "columns.csv": ("a,b\n1,2\n", ["'a', 'b'", "--semantic-id-column"]),
    "cells.csv": ("id,semantic_id\n1\n", ["line 2 has 1 cells, line 1 has 2"]),
    "twice.csv": ("id,semantic_id\n1,1-2\n1,1-3\n", ["item '1' comes a second time at line 3"]),
    "header.csv": ("id,semantic_id\n", ["holds no items"]),
    "none.csv": ("id,semantic_id\n1,\n", ["the id at line 2 is ''"]),
    "not.json": ("{", ["the file is not JSON"]),
    "list.json": ("[1]", ["not a JSON object, such as {"]),
    "number.json": ('{"0": 3}', ["the id at item '0' is 3"]),
    "key.jsonl": ('{"id": 1, "semantic_id": "1"}\n{"id": 2}\n', ["line 2 has no key 'semantic_id'"]),
    "short.json": ('{"0": "1-2", "1": "1-2-3"}', ["an id of 3 codes for item 1, the first has 2", "before suffixes"]),
    "few.json": ('{"0": "1-2"}', ["no id for 1 of the 2 items of x2.npy", "'1'"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_of_ids(tmp_path, name):
    text, words = BAD[name]
    np.save(tmp_path / "x2.npy", X[:2])
    (tmp_path / name).write_text(text)
    (tmp_path / "good.json").write_text('{"0": "1-2", "1": "1-3"}')
    fails("evaluate", "x2.npy", name, cwd=tmp_path, words=[name, *words])
    if name not in ("few.json",):
        fails("compare", "good.json", name, cwd=tmp_path, words=[name, *words])


def test_other_faults(tmp_path):
    (tmp_path / "a.json").write_text('{"0": "1-2"}')
    (tmp_path / "b.json").write_text('{"1": "1-2"}')
    np.save(tmp_path / "x.npy", X[:1])
    np.save(tmp_path / "floats.npy", X)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    fails("compare", "a.json", "b.json", cwd=tmp_path, words=["a.json and b.json have no item in common"])
    fails(
        "compare", "b.json", "b.json", "--embeddings", "x.npy", cwd=tmp_path, words=["x.npy", "no row for 1 of the 1"]
    )
    fails("evaluate", "x.npy", "floats.npy", cwd=tmp_path, words=["floats.npy", "want 2-D codes, integers"])
    fails("evaluate", "x.npy", "missing.json", cwd=tmp_path, words=["missing.json", "No such file"])
    fails("evaluate", "x.npy", "a.json", "--item-column", "id", cwd=tmp_path, words=["has no columns to choose from"])
    pytest.importorskip("pyarrow")
    fails("evaluate", "x.npy", "broken.parquet", cwd=tmp_path, words=["broken.parquet", "not a complete .parquet"])


def test_measures_alone(tmp_path):
    """compare without embeddings is measure_codes."""
    (tmp_path / "a.json").write_text('{"0": "1-2", "1": "1-3"}')
    got = json.loads(ok("compare", "a.json", "a.json", "--json", cwd=tmp_path))
    assert got["a"] == got["b"] == measure_codes(np.array([[1, 2], [1, 3]], np.int32))
