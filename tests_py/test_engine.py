"""The engine: embeddings to unique ids, items by key, versions of models, tables of items, and its directory."""

import copy
import csv
import inspect
import itertools
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from semantic_id import (
    CapacityResolver,
    InMemoryCollisionStore,
    NotFittedError,
    PostgresCollisionStore,
    RQKMeans,
    SemanticIdEngine,
    SemanticIdError,
    ShapeMismatchError,
    SinkhornResolver,
    SQLiteCollisionStore,
    UniqueIdResolver,
    _replace_dir,
)
from semantic_id._estimator import Estimator
from semantic_id._versions import fingerprint
from semantic_id.core import codes_to_ids
from semantic_id.exceptions import ModelChangedWarning, ModelFileError
from semantic_id.uniqueness.resolver import BaseResolver
from test_replace_dir import FaultyDisk
from test_stores import Counting, make


@pytest.fixture
def rows():
    return np.random.default_rng(3).normal(size=(60, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    """Two levels of four codes, so that 60 rows share them."""
    rows = np.random.default_rng(3).normal(size=(60, 6)).astype(np.float32)
    return RQKMeans(n_levels=2, n_clusters=4, random_state=0).fit(rows)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def engine(request, small):
    store = make(request.param, request)
    yield SemanticIdEngine(small, UniqueIdResolver(store))
    getattr(store, "close", bool)()


@pytest.fixture(params=["memory", "sqlite"])
def local(request, small):
    """An engine whose store is saved with it."""
    return SemanticIdEngine(small, UniqueIdResolver(make(request.param, request)))


def other_model(rows):
    return RQKMeans(n_levels=2, n_clusters=4, random_state=1).fit(rows[::-1] * 2)


def test_signatures_are_those_of_025_and_more():
    def names(function):
        return list(inspect.signature(function).parameters)

    assert names(SemanticIdEngine) == ["encoder", "unique_resolver", "version"]
    wanted = ["self", "X", "device", "batch_size", "sep", "fmt", "formatter", "item_ids", "item_keys"]
    assert names(SemanticIdEngine.unique_ids) == wanted
    assert names(SemanticIdEngine.fit) == ["self", "X", "device"]
    assert names(SemanticIdEngine.load) == ["path", "device", "store"]


def test_a_default_engine(rows):
    engine = SemanticIdEngine(RQKMeans(n_levels=2, n_clusters=4, random_state=0))
    assert type(engine.unique_resolver) is UniqueIdResolver
    assert type(engine.unique_resolver.store) is InMemoryCollisionStore
    with pytest.raises(NotFittedError):
        engine.unique_ids(rows)
    assert engine.fit(rows) is engine
    plain = engine.encoder.semantic_id(engine.encoder.encode(rows))
    ids = engine.unique_ids(rows, batch_size=7)
    assert len(set(ids)) == 60
    assert [i if i == p else i.rsplit("-", 1)[0] for i, p in zip(ids, plain, strict=True)] == plain
    assert set(engine.unique_ids(rows.tolist())).isdisjoint(ids)
    assert engine.unique_ids(rows[:2], item_ids=["x", 7]) == [plain[0] + "-x", plain[1] + "-7"]


def test_forms_of_ids(engine, rows):
    tokens = engine.unique_ids(rows, fmt="token")
    assert tokens[0].startswith("<a_")
    assert len(set(tokens)) == 60
    own = engine.unique_ids(rows, formatter=lambda row: "p" + "".join(map(str, row)), sep="/")
    assert own[0][0] == "p"
    assert any("/1" in i for i in own)
    with pytest.raises(ValueError, match="fmt='other'"):
        engine.unique_ids(rows, fmt="other")


def test_an_item_keeps_its_id(engine, rows):
    keys = [n if n % 2 else str(n) for n in range(60)]
    ids = engine.unique_ids(rows, item_keys=keys)
    assert engine.unique_ids(rows, item_keys=keys) == ids
    assert engine.unique_ids(rows[::-1], item_keys=keys) == ids  # whatever the embedding is
    assert engine.unique_ids(rows[5:9], item_keys=np.array([1, 3, 5, 7])) == [ids[n] for n in (1, 3, 5, 7)]
    more = engine.append(rows[:4], [1, "1", "new", 0])
    assert more[0] == ids[1]
    assert len({*more, *ids}) == 63
    assert engine.lookup(ids) == keys
    assert [engine.lookup(i) for i in (ids[2], more[1], more[3], "nobody's")] == ["2", "1", 0, None]


def test_items_by_prefix(engine, rows):
    codes = engine.encoder.encode(rows)
    engine.append(rows, range(60), fmt="token")
    for level in range(3):
        for prefix in itertools.product(range(5), repeat=level):
            want = {n for n in range(60) if tuple(codes[n, :level]) == prefix}
            got = engine.items(prefix)
            assert (set(got), len(got)) == (want, len(want))
    assert engine.items(codes[0][:1]) == engine.items([int(codes[0, 0])])
    assert engine.items((0, 0, 0)) == []
    with pytest.raises(ValueError, match="a code of prefix=-1"):
        engine.items([-1])
    with pytest.raises(TypeError, match="prefix='3-9'"):
        engine.items("3-9")


def test_release_and_forget(engine, rows):
    a, _ = engine.append(np.repeat(rows[:1], 2, axis=0), ["a", "b"])
    assert engine.forget(["a", "nobody"]) == 1
    assert (engine.lookup(a), engine.items()) == (None, ["b"])
    assert engine.append(rows[:1], ["c"]) == [a + "-2"]
    assert engine.release(["b"]) == 1
    assert engine.append(rows[:1], ["d"]) == [a + "-3"]  # counts go on
    engine.release(["d", "c"])
    assert engine.items() == []
    with pytest.raises(TypeError, match="want a list of keys"):
        engine.release("ab")


def test_versions(engine, rows):
    keys = list(range(60))
    old = engine.unique_ids(rows, item_keys=keys)
    new = SemanticIdEngine(other_model(rows), engine.unique_resolver, version="2")
    ids = new.append(rows, keys)
    assert all(i.startswith("2:") for i in ids)
    assert [i[2:].rsplit("-", i.count("-") - 1)[0] for i in ids] == codes_to_ids(new.encoder.encode(rows))
    assert new.unique_ids(rows, item_keys=keys) == ids
    assert engine.unique_ids(rows, item_keys=keys) == old  # as they were
    assert engine.lookup([*old, *ids]) == keys * 2
    code = int(new.encoder.encode(rows[:1])[0, 0])
    assert set(new.items([code])) == set(np.flatnonzero(new.encoder.encode(rows)[:, 0] == code))
    tokens = SemanticIdEngine(new.encoder, engine.unique_resolver, version="v_3").unique_ids(rows[:1], fmt="token")
    assert tokens[0].startswith("<v_3><a_")
    assert new.release(keys) == 60
    assert engine.lookup(old) == keys
    with pytest.raises(ValueError, match="without a colon"):
        new.append(rows, keys, sep="::")
    for bad in ("a b", "a:", "a-1", "ä"):
        with pytest.raises(ValueError, match="want letters, digits, points and underscores"):
            SemanticIdEngine(engine.encoder, version=bad)
    with pytest.raises(TypeError):
        SemanticIdEngine(engine.encoder, version=2)


def test_another_model_under_one_version(engine, rows):
    engine.append(rows, range(60))
    changed = SemanticIdEngine(other_model(rows), engine.unique_resolver)
    ids = engine.unique_ids(rows, item_keys=range(60))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert changed.unique_ids(rows, item_keys=range(60)) == ids  # nothing is new
        same = copy.deepcopy(engine.encoder)
        SemanticIdEngine(same, engine.unique_resolver).append(rows[:1], ["same"])
        changed.unique_ids(rows)
    with pytest.raises(SemanticIdError, match="made by another model"):
        changed.append(rows[:2], ["x", "y"])
    assert "x" not in engine.items()
    with pytest.warns(ModelChangedWarning, match='version="2"'):
        changed.unique_ids(rows[:1], item_keys=["x"])


def test_fingerprints(small):
    """Equal for equal models, other ones for other codes; of what we cannot look into there is none."""

    class Weights(Estimator):
        def __init__(self):
            pass

        encode = fit = load = save = None  # abstract, and no part of a fingerprint

    one, other = Weights(), Weights()
    assert fingerprint(one) == fingerprint(object()) == ""
    one._weights = {"a": np.ones((2, 3), np.float32), "b": np.array(3)}
    other._weights = copy.deepcopy(one._weights)
    assert fingerprint(one) == fingerprint(one) == fingerprint(other) != ""
    other._weights = one._weights | {"a": np.zeros((2, 3), np.float32)}
    assert fingerprint(one) != fingerprint(other)

    model = copy.deepcopy(small)
    assert fingerprint(model) == fingerprint(small)
    model.metric = "cosine"
    assert fingerprint(model) != fingerprint(small)
    model.metric = "l2"
    model.codebooks_ = [book.copy() for book in model.codebooks_]
    assert fingerprint(model) == fingerprint(small)
    model.codebooks_[1][0, 0] += 1
    assert fingerprint(model) != fingerprint(small)


def test_foreign_parts(rows):
    """An encoder and resolvers of other make; a resolver gets what its signature names."""

    class Signs:
        def fit(self, X, *, device="cpu"):
            return self

        def encode(self, X, *, device="cpu", batch_size=None):
            return (np.asarray(X)[:, :2] > 0).astype(np.int64)

        def semantic_id(self, codes, *, sep="-", fmt="plain", formatter=None):
            return codes_to_ids(codes, sep=sep, fmt=fmt, formatter=formatter)

    seen = []

    class Plain(BaseResolver):
        def assign(self, semantic_ids, **kw):
            seen.append(kw)
            return semantic_ids

    class More:
        def assign(self, ids, *, sep, codes, model, item_keys=None):
            seen.append({"sep": sep, "codes": codes.shape, "model": type(model), "item_keys": item_keys})
            return ids

    engine = SemanticIdEngine(Signs()).fit(rows)
    engine.append(rows, range(60))
    assert set(engine.items([0])) == set(np.flatnonzero(rows[:, 0] <= 0))
    plain = SemanticIdEngine(Signs(), Plain())
    plain.unique_ids(rows)
    plain.unique_ids(rows, item_ids=[1], sep="_")
    SemanticIdEngine(Signs(), More()).unique_ids(rows, item_keys="k")
    assert seen == [
        {"sep": "-"},
        {"sep": "_", "item_ids": [1]},
        {"sep": "-", "codes": (60, 2), "model": Signs, "item_keys": "k"},
    ]
    with pytest.raises(SemanticIdError, match=r"Plain\.assign takes no item_keys"):
        plain.unique_ids(rows, item_keys=range(60))
    for call in (lambda: plain.lookup("0"), lambda: plain.append(rows, range(60)), plain.items):
        with pytest.raises(SemanticIdError, match="needs a store that knows items, and the resolver has none"):
            call()


def test_a_store_that_only_counts(small, rows, tmp_path):
    engine = SemanticIdEngine(small, UniqueIdResolver(Counting()))
    assert len(set(engine.unique_ids(rows))) == 60
    with pytest.raises(SemanticIdError, match="Counting only counts"):
        engine.unique_ids(rows, item_keys=range(60))
    with pytest.raises(SemanticIdError, match="Counting only counts"):
        engine.lookup("a")
    engine.save(tmp_path / "e")
    with pytest.raises(SemanticIdError, match="pass it, load"):
        SemanticIdEngine.load(tmp_path / "e")
    assert len(set(SemanticIdEngine.load(tmp_path / "e", store=engine.unique_resolver.store).unique_ids(rows))) == 60


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sep": ""}, ValueError, "sep=''"),
        ({"sep": "x2"}, ValueError, "sep='x2'"),
        ({"item_ids": [1]}, ShapeMismatchError, "2 semantic ids and 1 of item_ids"),
        ({"item_keys": [1, 2, 3]}, ShapeMismatchError, "2 semantic ids and 3 of item_keys"),
        ({"item_keys": [1, 1]}, ValueError, "item key 1 is at positions 0 and 1"),
        ({"item_keys": ["a", None]}, TypeError, r"item_keys\[1\] is None"),
        ({"item_keys": [1, 2], "item_ids": [1, 2]}, ValueError, "both given"),
        ({"formatter": lambda row: ""}, ValueError, "position 0 is empty"),
        ({"formatter": lambda row: None}, TypeError, "formatter returned None"),
    ],
)
def test_bad_input_gives_nothing_out(engine, rows, arguments, error, words):
    with pytest.raises(error, match=words):
        engine.unique_ids(rows[:2], **arguments)
    assert engine.items() == []
    assert engine.unique_ids(rows[:1]) == engine.encoder.semantic_id(engine.encoder.encode(rows[:1]))
    with pytest.raises(ShapeMismatchError):
        engine.unique_ids(rows[:, :3])
    with pytest.raises(ValueError, match="NaN or Inf"):
        engine.unique_ids(rows * np.nan)


def test_repr_pickle_copy(small, rows, tmp_path):
    engine = SemanticIdEngine(RQKMeans(n_levels=2), version="2")
    assert repr(engine) == (
        "SemanticIdEngine(RQKMeans(n_levels=2), UniqueIdResolver(InMemoryCollisionStore()), version='2')"
    )
    assert repr(SinkhornResolver(7)) == "SinkhornResolver(max_iterations=7, store=InMemoryCollisionStore())"
    assert repr(SQLiteCollisionStore("a.db")) == "SQLiteCollisionStore('a.db')"
    for dsn, shown in (
        ("postgresql://me:se@cret@host/db", "postgresql://me***@host/db"),
        ("host=h password='se cret' dbname=d", "host=h password=*** dbname=d"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
    ):
        assert repr(PostgresCollisionStore(dsn)) == f"PostgresCollisionStore({shown!r})"
    engine = SemanticIdEngine(small)
    ids = engine.append(rows, range(60))
    others = [pickle.loads(pickle.dumps(engine)), copy.deepcopy(engine)]
    new = engine.append(rows[:1], ["new"])
    for other in others:  # each counts on for itself
        assert other.append(rows, range(60)) == ids
        assert other.append(rows[:1], ["another"]) == new


# --- tables of items ---


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", ["int", "str", "both", "large"])
def test_export_and_import(engine, rows, tmp_path, extension, kind):
    if extension == "parquet":
        pytest.importorskip("pyarrow")
    keys = {
        "int": list(range(-3, 57)),
        "str": [f'k"{n},\n' if n % 2 else str(n) for n in range(60)],
        "both": [n if n % 2 else f"ä{n}" for n in range(60)],
        "large": [2**80 + n for n in range(60)],
    }[kind]
    ids = engine.append(rows, keys)
    engine.unique_resolver.assign(["without codes"], item_keys=["w"] if kind != "int" else [99])
    path = tmp_path / f"map.{extension}"
    assert engine.export(path) == 61
    fresh = SemanticIdEngine(engine.encoder)
    assert fresh.import_map(path) == 61
    assert fresh.import_map(path) == 0
    assert fresh.lookup(ids) == keys
    assert fresh.items() == engine.items()
    assert fresh.items([1]) == engine.items([1])
    assert fresh.append(rows, keys) == ids
    assert fresh.append(rows, [f"more {n}" for n in range(60)]) == engine.append(rows, [f"more {n}" for n in range(60)])


def test_what_an_export_looks_like(small, rows, tmp_path):
    engine = SemanticIdEngine(small)
    (one,) = engine.append(rows[:1], [7])
    codes = small.encode(rows[:1])[0].tolist()
    engine.export(tmp_path / "m.csv")
    with open(tmp_path / "m.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "semantic_id", "code_0", "code_1", "id_type"],
            ["7", one, *map(str, codes), "int"],
        ]
    engine.export(tmp_path / "m.jsonl")
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"id": 7, "semantic_id": one, "codes": codes}
    assert SemanticIdEngine(small).export(tmp_path / "none.csv") == 0
    with pytest.raises(ValueError, match="cannot tell the format"):
        engine.export(tmp_path / "m.txt")
    assert sorted(os.listdir(tmp_path)) == ["m.csv", "m.jsonl", "none.csv"]


def test_import_takes_ids_that_were_given_out_to_nobody_known(engine, rows, tmp_path):
    """As after years with semantic-id 0.2.5, whose database counts, and a table of one's own."""
    ids = engine.unique_ids(rows)
    (tmp_path / "own.csv").write_text("product,sid\n" + "".join(f"{n},{i}\n" for n, i in enumerate(ids)))
    columns = {"id_column": "sid", "item_column": "product", "item_type": "int"}
    assert engine.import_map(tmp_path / "own.csv", **columns) == 60
    assert engine.append(rows, range(60)) == ids
    assert set(engine.append(rows, map(str, range(60)))).isdisjoint(ids)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("8,0-9\n7,0-8", "item key 7 at position 1 has the id"),
        ("8,{id}", "at position 0 is that of item 7, and not of 8"),
        ("8,0-9\n8,0-8", "item key 8 is at positions 0 and 1"),
        ("8,0-9\n9,0-9", 'id "0-9" is at positions 0 and 1'),
        ("8,0-9\nx,0-8", "line 3: key 'x' is not an integer"),
        ("8,0-9\n9,", "line 3: 'semantic_id' is '', want an id"),
        ("8,0-9\n9", "line 3 has 1 cells, line 1 has 2"),
        ('8,0-9\n"9,0-8', "is not CSV"),
    ],
)
def test_a_bad_map_changes_nothing(engine, rows, tmp_path, lines, words):
    (one,) = engine.append(rows[:1], [7])
    (tmp_path / "m.csv").write_text("id,semantic_id\n" + lines.format(id=one) + "\n")
    with pytest.raises(ValueError, match=words):
        engine.import_map(tmp_path / "m.csv", item_type="int")
    assert (engine.items(), engine.lookup("0-9")) == ([7], None)


def test_maps_of_versions(small, rows, tmp_path):
    engine = SemanticIdEngine(small, version="2")
    engine.append(rows, range(60))
    engine.export(tmp_path / "m.jsonl")
    assert SemanticIdEngine(small, version="2").import_map(tmp_path / "m.jsonl") == 60
    with pytest.raises(ValueError, match="is none of version '3'"):
        SemanticIdEngine(small, version="3").import_map(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text('{"id": 1, "semantic_id": "2:1", "codes": [1, 2.5]}')
    with pytest.raises(ValueError, match=r"codes are \[1, 2.5\]"):
        engine.import_map(tmp_path / "m.jsonl")


# --- directories ---


def test_save_and_load(local, rows, tmp_path):
    ids = local.append(rows, range(60))
    local.unique_ids(rows)
    local.save(tmp_path / "e")
    assert json.loads((tmp_path / "e" / "engine_meta.json").read_text())["encoder_type"] == "RQKMeans"
    again = SemanticIdEngine.load(tmp_path / "e")
    assert again.append(rows, range(60)) == ids
    assert again.items([2]) == local.items([2])
    assert again.unique_ids(rows) == local.unique_ids(rows)  # both count on, apart
    shared = SemanticIdEngine.load(str(tmp_path / "e"), store=local.unique_resolver.store)
    assert set(shared.unique_ids(rows)).isdisjoint(local.unique_ids(rows))
    version = SemanticIdEngine(local.encoder, local.unique_resolver, version="2")
    version.save(tmp_path / "e2")
    assert SemanticIdEngine.load(tmp_path / "e2").version == "2"


def test_loading_and_saving_without_the_native_library(small, rows, tmp_path, python):
    """So an engine can be loaded before a process forks."""
    engine = SemanticIdEngine(small)
    ids = engine.append(rows, range(60))
    engine.save(tmp_path / "e")
    out = python(
        """
        import copy, os, pickle, sys
        from semantic_id import SemanticIdEngine
        import numpy as np
        engine = SemanticIdEngine.load(os.environ["WHERE"])
        engine.save(os.environ["WHERE"] + "2")
        engine = copy.deepcopy(pickle.loads(pickle.dumps(engine)))
        assert "semantic_id._gopy._native" not in sys.modules
        child = os.fork()
        if not child:
            engine = SemanticIdEngine.load(os.environ["WHERE"] + "2")
            print(*engine.append(np.random.default_rng(3).normal(size=(60, 6)), range(60)), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
        WHERE=str(tmp_path / "e"),
    )
    assert out.split() == ids


def test_a_shared_store_is_not_saved(small, tmp_path):
    """Nor its address, which may have a password in it."""
    engine = SemanticIdEngine(small, UniqueIdResolver(PostgresCollisionStore("host=h password=secret")), version="2")
    engine.save(tmp_path / "e")
    assert "secret" not in (tmp_path / "e" / "engine_meta.json").read_text()
    with pytest.raises(SemanticIdError, match=r"pass it, load\(path, store="):
        SemanticIdEngine.load(tmp_path / "e")
    again = SemanticIdEngine.load(tmp_path / "e", store=engine.unique_resolver.store)
    assert (again.version, again.unique_resolver.store) == ("2", engine.unique_resolver.store)


@pytest.mark.parametrize("make_it", [lambda: SinkhornResolver(np.int64(7), 0.01), lambda: CapacityResolver(2)])
def test_resolvers_that_move_items(small, rows, tmp_path, make_it):
    """They are given embeddings, model, version and form; and are saved with what they were made with."""
    resolver = make_it()
    engine = SemanticIdEngine(small, resolver, version="2")
    ids = engine.append(rows[:9], range(9), fmt="token")
    assert len(set(ids)) == 9
    assert all(i.startswith("<2><a_") for i in ids)
    assert engine.append(rows[8::-1], range(8, -1, -1), fmt="token") == ids[::-1]
    prefixes = {i: engine.items([i]) for i in range(4)}
    assert sorted(key for keys in prefixes.values() for key in keys) == list(range(9))
    assert all(ids[key].startswith(f"<2><a_{i}>") for i, keys in prefixes.items() for key in keys)
    engine.save(tmp_path / "e")
    again = SemanticIdEngine.load(tmp_path / "e")
    assert type(again.unique_resolver) is type(resolver)
    for name in {"max_iterations", "sk_epsilon", "fallback_suffix", "capacity", "max_pairs"} & set(vars(resolver)):
        assert getattr(again.unique_resolver, name) == getattr(resolver, name)
    assert again.append(rows[:9], range(9), fmt="token") == ids
    damage(tmp_path / "e", "engine_meta.json", lambda d: d.replace(b'"type": ', b'"nothing": 1, "type": '))
    with pytest.raises(ModelFileError, match="nothing"):
        SemanticIdEngine.load(tmp_path / "e")


def test_meta_is_that_of_025(local, tmp_path):
    local.save(tmp_path / "e")
    meta = json.loads((tmp_path / "e" / "engine_meta.json").read_text())
    sqlite = isinstance(local.unique_resolver.store, SQLiteCollisionStore)
    assert (meta["store_type"], meta["store_config"]) == (
        ("sqlite", {"db_path": "collisions.db"}) if sqlite else ("in_memory", {})
    )
    assert (tmp_path / "e" / "encoder" / "codebooks.npz").exists()
    assert os.listdir(tmp_path / "e" / "resolver")[0].startswith("collisions.db" if sqlite else "contents.json")


def test_saving_into_the_directory_whose_database_is_open(small, rows, tmp_path):
    SemanticIdEngine(small, UniqueIdResolver(SQLiteCollisionStore(tmp_path / "first.db"))).save(tmp_path / "e")
    engine = SemanticIdEngine.load(tmp_path / "e")
    ids = engine.append(rows, range(60))
    for n in range(3):
        engine.encoder = copy.deepcopy(engine.encoder).set_params(max_iter=50 + n)
        engine.save(tmp_path / "e")
        assert engine.append(rows, range(60)) == ids
        engine.append(rows[:1], [f"new {n}"])
    engine.unique_resolver.store.close()
    again = SemanticIdEngine.load(tmp_path / "e")
    assert again.encoder.max_iter == 52
    assert len(again.items()) == 63
    # An own database that lies there under another name stays as well, and a copy of it is saved.
    apart = SemanticIdEngine(small, UniqueIdResolver(SQLiteCollisionStore(tmp_path / "f" / "own.db")))
    (tmp_path / "f").mkdir()
    apart.append(rows, range(60))
    for _ in range(2):
        apart.save(tmp_path / "f")
        assert apart.append(rows, range(60)) == ids
    assert len(SemanticIdEngine.load(tmp_path / "f").items()) == 60


def test_replacing_a_database_that_is_in_use(small, rows, tmp_path):
    """The log of the database that was there must not be taken for that of the new one."""
    user = SemanticIdEngine(
        small, UniqueIdResolver(SQLiteCollisionStore(tmp_path / "e" / "resolver" / "collisions.db"))
    )
    (tmp_path / "e" / "resolver").mkdir(parents=True)
    (tmp_path / "e" / "notes").write_text("mine, so that files are moved one by one")
    user.append(rows, range(60))
    assert (tmp_path / "e" / "resolver" / "collisions.db-wal").stat().st_size > 0
    other = SemanticIdEngine(small, UniqueIdResolver(SQLiteCollisionStore(tmp_path / "other.db")))
    other.append(rows[:3], ["x", "y", "z"])
    other.save(tmp_path / "e")
    with pytest.raises(SemanticIdError, match="removed or replaced while it was open"):
        user.lookup("0-0")
    again = SemanticIdEngine.load(tmp_path / "e")
    assert sorted(again.items()) == ["x", "y", "z"]
    again.unique_resolver.store.close()
    with sqlite3.connect(tmp_path / "e" / "resolver" / "collisions.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert (tmp_path / "e" / "notes").exists()


def damage(path, name, change):
    data = (path / name).read_bytes()
    (path / name).write_bytes(change(data))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("engine_meta.json", lambda d: d[:-9], "not a JSON object"),
        ("engine_meta.json", lambda d: b"[]", "not a JSON object"),
        ("engine_meta.json", lambda d: b"{}", 'no key "encoder_type"'),
        ("engine_meta.json", lambda d: d.replace(b'"format_version": 1', b'"format_version": 2'), "newer version"),
        ("engine_meta.json", lambda d: d.replace(b'"version": ""', b'"version": "a b"'), "version='a b'"),
        ("resolver/contents.json", lambda d: d.replace(b"t1", b"t2"), "damaged or of another engine"),
        ("resolver/contents.json", lambda d: d[:-4], "damaged or of another engine"),
        ("encoder/metadata.json", lambda d: d + b" ", "damaged or of another engine"),
        ("encoder/codebooks.npz", lambda d: d[:-4], "damaged or of another model"),
    ],
)
def test_damaged_directories(small, tmp_path, name, change, words):
    engine = SemanticIdEngine(small)
    engine.unique_resolver.assign(["a"], item_keys=["1"])
    engine.save(tmp_path / "e")
    damage(tmp_path / "e", name, change)
    with pytest.raises(ModelFileError, match=words):
        SemanticIdEngine.load(tmp_path / "e")


def test_incomplete_directories(local, small, tmp_path):
    with pytest.raises(FileNotFoundError):
        SemanticIdEngine.load(tmp_path / "none")
    local.save(tmp_path / "e")
    with pytest.raises(FileNotFoundError, match="not the directory of a saved engine"):
        SemanticIdEngine.load(tmp_path / "e" / "encoder")
    shutil.rmtree(tmp_path / "e" / "resolver")
    with pytest.raises(FileNotFoundError, match="copy the whole directory again"):
        SemanticIdEngine.load(tmp_path / "e")
    with pytest.raises(NotFittedError):
        SemanticIdEngine(RQKMeans()).save(tmp_path / "e3")
    assert not (tmp_path / "e3").exists()

    class Own(RQKMeans):
        pass

    class Foreign(BaseResolver):
        def assign(self, semantic_ids, **kw):
            return semantic_ids

    SemanticIdEngine(small, Foreign()).save(tmp_path / "e4")
    with pytest.raises(SemanticIdError, match="Foreign, which cannot be loaded: make it anew"):
        SemanticIdEngine.load(tmp_path / "e4", store=InMemoryCollisionStore())


# --- saving under faults: the old engine or the new one ---


def state(path):
    """Load an engine and return which it is, by its model and its items, which must fit; -1 for none."""
    try:
        engine = SemanticIdEngine.load(path)
    except FileNotFoundError:
        return -1
    (key,) = engine.items()
    engine.unique_resolver.store = None  # closes a database
    assert key == engine.encoder.max_iter
    return key


@pytest.fixture
def generations(small, tmp_path):
    """Engines of one kind whose number is both in their model and their items."""

    made = {}

    def make(kind, number):
        if (kind, number) in made:
            return made[kind, number]
        encoder = copy.deepcopy(small).set_params(max_iter=number)
        store = InMemoryCollisionStore() if kind == "memory" else SQLiteCollisionStore(tmp_path / f"{kind}{number}.db")
        made[kind, number] = SemanticIdEngine(encoder, UniqueIdResolver(store))
        made[kind, number].unique_resolver.assign(["a"], item_keys=[number])
        return made[kind, number]

    return make


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("place", ["alone", "new", "among others", "no exchange"])
@pytest.mark.parametrize("dead", [False, True])
def test_faults_while_saving(generations, tmp_path, monkeypatch, kind, place, dead):
    path = tmp_path / "p" / "e"
    monkeypatch.setattr(_replace_dir, "disk", FaultyDisk())  # which does not wait for the disk
    for fail_at in itertools.count(1):
        shutil.rmtree(tmp_path / "p", ignore_errors=True)
        (tmp_path / "p").mkdir()
        if place != "new":
            generations(kind, 1).save(path)
        if place == "among others":
            (path / "notes").write_text("mine")
        disk = FaultyDisk(fail_at, dead, exchange=place != "no exchange")
        with monkeypatch.context() as patch:
            patch.setattr(_replace_dir, "disk", disk)
            try:
                generations(kind, 2).save(path)
                saved = True
            except OSError:
                saved = False
        found = state(path)
        assert found == 2 if saved else found in ((-1, 2) if place == "new" else (1, 2))
        generations(kind, 3).save(path)
        assert state(path) == 3
        if len(disk.calls) < fail_at:
            assert saved
            assert fail_at > 15
            return
        if place == "among others":
            assert (path / "notes").read_text() == "mine"


def test_faults_while_saving_beside_the_open_database(generations, small, tmp_path, monkeypatch):
    """Its items stay, whatever happens to the model."""
    path = tmp_path / "e"
    monkeypatch.setattr(_replace_dir, "disk", FaultyDisk())
    generations("sqlite", 1).save(path)
    engine = SemanticIdEngine.load(path)
    for fail_at in itertools.count(1):
        disk = FaultyDisk(fail_at, dead=True)
        before = engine.encoder.max_iter
        engine.encoder = copy.deepcopy(small).set_params(max_iter=100 + fail_at)
        engine.unique_resolver.assign(["b"], item_keys=[f"item {fail_at}"])
        with monkeypatch.context() as patch:
            patch.setattr(_replace_dir, "disk", disk)
            try:
                engine.save(path)
                saved = True
            except OSError:
                saved = False
        again = SemanticIdEngine.load(path)
        assert again.encoder.max_iter in (100 + fail_at, *([] if saved else [before]))
        assert len(again.items()) == 1 + fail_at
        engine.encoder = again.encoder
        if len(disk.calls) < fail_at:
            assert fail_at > 10
            return


def test_savers_and_readers_at_once(generations, tmp_path):
    path = tmp_path / "e"
    generations("memory", 1).save(path)
    stop, faults = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                assert state(path) in range(1, 9)
            except Exception as error:
                faults.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(40):
        if n == 20:
            (path / "notes").write_text("from here on files are moved one by one")
        generations("memory", n % 8 + 1).save(path)
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []


# --- other writers ---

ENGINES = Path(__file__).parents[1] / "tests_go" / "testdata" / "engines"


@pytest.mark.parametrize("name", ["semantic-id-0.2.5", "version-1-go", "version-1-python"])
def test_engines_of_all_formats(tmp_path, name):
    """What each gave out stays given out, and what comes next is what its writer would give."""
    want = json.loads((ENGINES / f"{name}.json").read_text())
    shutil.copytree(ENGINES / name, tmp_path / "e")
    engine = SemanticIdEngine.load(tmp_path / "e")
    x = np.array(want["x"], np.float32)
    assert engine.version == want["version"]
    if "keys" not in want:
        assert engine.unique_ids(x) == want["new"]
        return
    assert engine.append(x[: len(want["known"])], want["known"]) == want["ids"]
    assert engine.lookup(want["ids"]) == want["known"]
    for prefix, keys in want["items"].items():
        assert engine.items(json.loads(prefix)) == keys
    assert engine.append(x[len(want["keys"]) :], ["new", 99]) == want["new"]


def test_go_reads_and_writes_the_same(local, rows, tmp_path):
    if not shutil.which("go"):
        pytest.skip("there is no Go on PATH")
    keys = [n if n % 2 else f"ä{n}" for n in range(60)]
    ids = local.append(rows, keys)
    local.save(tmp_path / "python")
    command = ["go", "run", "./tests_go/testdata/resave", tmp_path / "python", tmp_path / "go"]
    subprocess.run(command, check=True, cwd=ENGINES.parents[2], env=os.environ | {"CGO_ENABLED": "0"})
    again = SemanticIdEngine.load(tmp_path / "go")
    assert (again.append(rows, keys), again.items()) == (ids, local.items())
    assert again.append(rows[:1], ["new"]) == local.append(rows[:1], ["new"])


# --- semantic-id 0.2.5 ---

WITH_PEER = """
import sys, json
import numpy as np
from semantic_id import *
x = np.array(json.load(sys.stdin), np.float32)
path, what = sys.argv[1:]
if what == "load":
    engine = SemanticIdEngine.load(path)
else:
    store = SQLiteCollisionStore(path + ".db") if what == "sqlite" else InMemoryCollisionStore()
    engine = SemanticIdEngine(RQKMeans(n_levels=2, n_clusters=4, random_state=0), UniqueIdResolver(store)).fit(x)
ids = engine.unique_ids(x)
if what != "load":
    engine.save(path)
print(json.dumps(ids))
"""


def with_peer(path, what, rows):
    peer = os.environ.get("SEMANTIC_ID_PEER_PYTHON")
    if not peer:
        pytest.skip("SEMANTIC_ID_PEER_PYTHON names no Python that has semantic-id 0.2.5")
    done = subprocess.run(
        [peer, "-W", "ignore", "-c", WITH_PEER, str(path), what],
        input=json.dumps(rows.tolist()), capture_output=True, text=True, cwd=Path(path).parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_025_loads_ours(local, rows, tmp_path):
    ids = local.unique_ids(rows)
    local.save(tmp_path / "e")
    theirs = with_peer(tmp_path / "e", "load", rows)
    counted = isinstance(local.unique_resolver.store, SQLiteCollisionStore)  # 0.2.5 loses those in memory
    assert set(theirs).isdisjoint(ids) == counted


@pytest.mark.parametrize("what", ["sqlite", "memory"])
def test_we_load_025(rows, tmp_path, what):
    ids = with_peer(tmp_path / "e", what, rows)
    engine = SemanticIdEngine.load(tmp_path / "e")
    assert set(engine.unique_ids(rows)).isdisjoint(ids) == (what == "sqlite")
    assert engine.encoder.n_levels == 2
