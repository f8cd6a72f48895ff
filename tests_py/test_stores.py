"""Stores and the resolver that counts in them: no id twice, whatever happens in between."""

import copy
import json
import os
import pickle
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from semantic_id import (
    InMemoryCollisionStore,
    PostgresCollisionStore,
    SemanticIdError,
    SQLiteCollisionStore,
    UniqueIdResolver,
)
from semantic_id.exceptions import StoreCorruptError, StoreError, StoreLockedError
from semantic_id.uniqueness.stores import CollisionStore


class Counting(CollisionStore):
    """A user's store: it counts and no more."""

    def __init__(self):
        self.counts = {}

    def next_suffix(self, key):
        self.counts[key] = self.counts.get(key, -1) + 1
        return self.counts[key]


def make(kind, request):
    """A new store. The fixtures of a store that is not asked for are not made."""
    if kind == "postgres":
        return PostgresCollisionStore(request.getfixturevalue("postgres").dsn)
    if kind == "sqlite":
        return SQLiteCollisionStore(request.getfixturevalue("tmp_path") / "ids.db")
    return InMemoryCollisionStore() if kind == "memory" else Counting()


@pytest.fixture(params=["memory", "sqlite", "postgres", "own"])
def any_store(request):
    made = make(request.param, request)
    yield made
    getattr(made, "close", bool)()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request):
    made = make(request.param, request)
    yield made
    getattr(made, "close", bool)()


def test_counting(any_store):
    assert any_store.next_suffixes(["a", "b", "a", "ä"]) == [0, 0, 1, 0]
    assert [any_store.next_suffix("a"), any_store.next_suffix("c")] == [2, 0]
    assert any_store.next_suffixes([]) == []


def test_assign(any_store):
    resolver = UniqueIdResolver(any_store)
    assert resolver.assign(["a", "a", "b", "a"]) == ["a", "a-1", "b", "a-2"]
    assert resolver.assign(("c", "c", "d", "c"), item_ids=["x", "y", "z", 7]) == ["c", "c-y", "d", "c-7"]
    assert resolver.assign(["c"]) == ["c-3"]
    assert resolver.assign([]) == []
    assert resolver.assign(["1", "1", "1-1"]) == ["1", "1-2", "1-1"]
    assert resolver.assign(["e", "e"], sep="_") == ["e", "e_1"]
    assert resolver.assign(["e_1"], sep="-") == ["e_1-1"]
    assert len(set(resolver.assign(["f"] * 9, item_ids=["x", 1, 1, 2, 2, "x", "x", 8, 8]))) == 9


def test_nothing_twice(any_store):
    rng = random.Random(0)
    resolver = UniqueIdResolver(any_store)
    given = set()
    for _ in range(60):
        ids = [
            "-".join(str(rng.randrange(3)) for _ in range(1 + rng.randrange(3))) for _ in range(1 + rng.randrange(9))
        ]
        names = [rng.choice([1, 2, "x", "1-1"]) for _ in ids] if rng.random() < 0.5 else None
        unique = resolver.assign(ids, item_ids=names, sep=rng.choice(["-", "-", "_"]))
        assert len(set(unique)) == len(unique)
        assert given.isdisjoint(unique)
        given.update(unique)


def test_items(store):
    resolver = UniqueIdResolver(store)
    assert resolver.assign(["a", "a", "b"], item_keys=[1, "1", np.int64(2)]) == ["a", "a-1", "b"]
    assert resolver.assign(["z", "a", "y"], item_keys=["1", 3, 1]) == ["a-1", "a-2", "a"]
    assert [store.lookup(i) for i in ("a", "a-1", "b", "q")] == [1, "1", 2, None]
    assert store.release([1, "nobody"]) == 1
    assert store.lookup("a") is None
    assert resolver.assign(["a", "a"], item_keys=[8, 1]) == ["a", "a-3"]


def test_a_store_of_ones_own_does_not_know_items():
    with pytest.raises(SemanticIdError, match=r"Counting only counts \(next_suffix\): derive"):
        UniqueIdResolver(Counting()).assign(["a"], item_keys=[1])


def test_a_store_that_does_not_count():
    class Fixed(CollisionStore):
        def next_suffix(self, key):
            return 5

    with pytest.raises(SemanticIdError, match="no free suffix of 'a'"):
        UniqueIdResolver(Fixed()).assign(["a"])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sep": ""}, ValueError, "sep=''"),
        ({"sep": "-1"}, ValueError, "sep='-1'"),
        ({"item_ids": ["x"]}, ValueError, "2 semantic ids and 1 of item_ids"),
        ({"item_keys": ["x"]}, ValueError, "2 semantic ids and 1 of item_keys"),
        ({"item_ids": [1, None]}, TypeError, r"item_ids\[1\] is None"),
        ({"item_keys": [1.5, 1]}, TypeError, r"item_keys\[0\] is 1.5"),
        ({"item_keys": ["x", "x"]}, ValueError, 'item key "x" is at positions 0 and 1'),
        ({"item_keys": [1, 2], "item_ids": [1, 2]}, ValueError, "both given"),
        ({"semantic_ids": ["a", None]}, TypeError, r"semantic_ids\[1\] is None"),
        ({"semantic_ids": ["a", "\0"]}, ValueError, r"semantic_ids\[1\].*zero bytes"),
        ({"semantic_ids": ["a", ""]}, ValueError, "position 1 is empty"),
        ({"semantic_ids": "ab"}, TypeError, "want a list"),
    ],
)
def test_bad_batches(store, arguments, error, words):
    resolver = UniqueIdResolver(store)
    arguments = {"semantic_ids": ["a", "a"]} | arguments
    with pytest.raises(error, match=words):
        resolver.assign(arguments.pop("semantic_ids"), **arguments)
    assert resolver.assign(["a", "b"]) == ["a", "b"]  # nothing was counted


def test_bad_keys(store):
    with pytest.raises(TypeError, match=r"keys\[0\] is None"):
        store.next_suffix(None)
    with pytest.raises(TypeError, match="want a list"):
        store.next_suffixes("abc")


def test_copies_count_apart():
    store = InMemoryCollisionStore()
    store.next_suffixes(["a", "a"])
    for other in (copy.deepcopy(store), copy.copy(store), pickle.loads(pickle.dumps(store))):
        assert pickle.loads(pickle.dumps(other)).next_suffix("a") == 2
        assert other.next_suffix("a") == 2
    assert store.next_suffix("a") == 2


def test_copies_of_a_database_count_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = SQLiteCollisionStore()
    assert store.db_path == "collisions.db"
    assert store.next_suffix("a") == 0
    monkeypatch.chdir("/")
    assert [pickle.loads(pickle.dumps(store)).next_suffix("a"), store.next_suffix("a")] == [1, 2]
    store.close()
    assert store.next_suffix("a") == 3
    store.backup(tmp_path / "copy.db")
    assert SQLiteCollisionStore(tmp_path / "copy.db").next_suffix("a") == 4
    with pytest.raises(FileExistsError):
        store.backup(tmp_path / "copy.db")


def test_a_database_of_025(tmp_path):
    path = tmp_path / "collisions.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE collisions (key TEXT PRIMARY KEY, count INTEGER DEFAULT 0)")
        db.execute("INSERT INTO collisions VALUES ('3-9-1', 3)")
    db.close()
    store = SQLiteCollisionStore(path)
    assert UniqueIdResolver(store).assign(["3-9-1", "3-9-1-2", "3-9-1"]) == ["3-9-1-3", "3-9-1-2-1", "3-9-1-4"]
    store.close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT count FROM collisions WHERE key = '3-9-1'").fetchall() == [(5,)]
    db.close()


def test_a_locked_database(tmp_path):
    path = tmp_path / "ids.db"
    store = SQLiteCollisionStore(path)
    store._timeout = 0.3
    store.next_suffix("a")
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); "
         "db.execute('BEGIN IMMEDIATE'); print('locked', flush=True); input()", path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(StoreLockedError, match=r"ids\.db: the database is locked.*longer timeout"):
        store.next_suffix("a")
    holder.communicate("\n")
    assert store.next_suffix("a") == 1


def test_files_that_are_no_databases(tmp_path):
    path = tmp_path / "x.db"
    path.write_text("no database" * 1000)
    with pytest.raises(StoreCorruptError, match=r"x\.db.*restore it from a backup"):
        SQLiteCollisionStore(path).next_suffix("a")
    assert path.read_text() == "no database" * 1000
    for bad in (tmp_path, tmp_path / "no" / "x.db"):
        with pytest.raises(OSError, match=re.escape(tmp_path.name)):
            SQLiteCollisionStore(bad).next_suffix("a")
    with pytest.raises(ValueError, match="InMemoryCollisionStore"):
        SQLiteCollisionStore(":memory:").next_suffix("a")
    store = SQLiteCollisionStore(tmp_path / "ids.db")
    store.next_suffix("a")
    os.rename(tmp_path / "ids.db", tmp_path / "other.db")
    with pytest.raises(StoreError, match="removed or replaced"):
        store.next_suffix("a")


READER = """
    import os, sys
    from semantic_id import SQLiteCollisionStore
    from semantic_id.core import codes_to_ids
    from semantic_id.exceptions import StoreReadOnlyError
    codes_to_ids([[1]])  # loads the library
    if os.geteuid() == 0:  # who may write everywhere
        os.setgid(65534)
        os.setuid(65534)
    for path in sys.argv[1:]:
        try:
            SQLiteCollisionStore(path).next_suffix("a")
        except StoreReadOnlyError as error:
            assert path in str(error), error
            print("refused")
"""


def test_databases_that_may_only_be_read():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own are hidden from other users
        path, alone = Path(folder, "ids.db"), Path(folder, "sub", "ids.db")
        alone.parent.mkdir()
        for file in (path, alone):
            store = SQLiteCollisionStore(file)
            assert store.next_suffix("a") == 0
            store.close()
            file.chmod(0o444)
        alone.parent.chmod(0o555)
        os.chmod(folder, 0o777)
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(READER), str(path), str(alone)]
        done = subprocess.run(command, capture_output=True, text=True)
        alone.parent.chmod(0o755)
        assert (done.stdout, done.stderr) == ("refused\nrefused\n", "")
        for file in (path, alone):
            file.chmod(0o644)
            store = SQLiteCollisionStore(file)
            assert store.next_suffix("a") == 1
            store.close()


WRITER = """
    import json, random, sys
    from semantic_id import PostgresCollisionStore, SQLiteCollisionStore, UniqueIdResolver
    kind, where, seed = sys.argv[1:]
    store = SQLiteCollisionStore(where) if kind == "sqlite" else PostgresCollisionStore(where)
    rng, resolver, given = random.Random(int(seed)), UniqueIdResolver(store), []
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(200):
        ids = [f"{rng.randrange(20)}-{rng.randrange(20)}-{rng.randrange(100)}" for _ in range(100)]
        given.append((ids, resolver.assign(ids)))
    json.dump(given, sys.stdout)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_eight_processes(kind, request, tmp_path):
    """8 x 20,000 ids in batches of 100: nobody is told to wait, no id comes twice, and the counts add up."""
    postgres = request.getfixturevalue("postgres") if kind == "postgres" else None
    where = postgres.dsn if postgres else str(tmp_path / "ids.db")
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(WRITER), kind, where, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(8)
    ]  # fmt: skip
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 8
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    asked, given = Counter(), []
    for writer in writers:
        out, errors = writer.communicate()
        assert (errors, writer.returncode) == ("", 0)
        for ids, unique in json.loads(out):
            assert all(u == i or u.startswith(f"{i}-") for i, u in zip(ids, unique, strict=True))
            asked.update(ids)
            given += unique
    assert len(set(given)) == len(given) == 160_000
    assert set(given) == {f"{i}-{n}" if n else i for i, holders in asked.items() for n in range(holders)}
    if postgres:
        lines = postgres.psql("SELECT * FROM semantic_id_counts WHERE count > 0").split("\n")
        rows = [line.split("|") for line in lines]
    else:
        db = sqlite3.connect(where)
        rows = db.execute("SELECT * FROM collisions").fetchall()
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.close()
    assert {key: int(n) for key, n in rows} == asked


def test_postgres(postgres):
    store = PostgresCollisionStore(postgres.dsn)
    assert UniqueIdResolver(store).assign(["a", "a", "b"], item_keys=[1, "1", 2]) == ["a", "a-1", "b"]
    assert postgres.psql("SELECT item, id FROM semantic_id_items ORDER BY item") == "i1|a\ni2|b\nt1|a-1"
    assert pickle.loads(pickle.dumps(store)).next_suffixes(["a", "c"]) == [2, 0]
    others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
    assert int(postgres.psql(f"SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity WHERE {others}")) > 0
    assert store.next_suffix("a") == 3  # by a new connection
    store.close()
    assert store.next_suffix("a") == 4
    store.close()


def test_postgres_that_is_not_there():
    with pytest.raises(StoreError, match=r"PostgreSQL at 127\.0\.0\.1:1/x: .*cannot be reached"):
        PostgresCollisionStore("postgresql://u:secret@127.0.0.1:1/x").next_suffix("a")
    with pytest.raises(ValueError, match="want postgresql://user:password@host:port/database") as error:
        PostgresCollisionStore("postgresql://u:secret@host:port/x").next_suffix("a")
    assert "secret" not in str(error.value)
    with pytest.raises(TypeError, match="dsn=None"):
        PostgresCollisionStore(None).next_suffix("a")
