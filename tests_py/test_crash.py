"""What the promise of stores is worth: writers that are killed, and what is on the disk when a call returns.

SEMANTIC_ID_KILLS is how often a writer is killed; `make crash-test` sets it to 200.
"""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from semantic_id import SQLiteCollisionStore, UniqueIdResolver

WRITER = """
    import sys
    from semantic_id import SQLiteCollisionStore, UniqueIdResolver
    resolver = UniqueIdResolver(SQLiteCollisionStore(sys.argv[1]))
    number, n = sys.argv[2], 0
    while True:
        size = 1 + n % 40
        keys = [f"{number}/{n + i}" for i in range(size)]
        ids = resolver.assign([f"{(n + i) % 11}-{i % 7}" for i in range(size)], item_keys=keys)
        print("".join(f"{key} {id}\\n" for key, id in zip(keys, ids)), end="", flush=True)
        n += size
"""


class Writer:
    """A process that gives ids out for as long as it lives, and what it has reported."""

    def __init__(self, path, name):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.reader.start()

    def kill(self):
        assert self.process.poll() is None, self.process.stderr.read()
        self.process.kill()
        assert self.process.wait() == -9
        self.reader.join()
        assert self.process.stderr.read() == ""
        self.process.stdout.close()
        self.process.stderr.close()
        return [line.split() for line in self.lines if line.endswith("\n")]


def test_killed_writers_lose_nothing(tmp_path):
    """kill -9 of one of four writers or all of them: what they had reported is there, unchanged, and nobody else's."""
    path, rng = tmp_path / "ids.db", random.Random(0)
    kills = int(os.environ.get("SEMANTIC_ID_KILLS", "8"))
    writers, reported, started = [], [], 0
    for kill in range(kills + 1):
        while len(writers) < 4:
            writers.append(Writer(path, str(started)))
            started += 1
        deadline = time.monotonic() + 60
        while not all(writer.lines for writer in writers):
            assert time.monotonic() < deadline, [writer.process.poll() for writer in writers]
            time.sleep(0.001)
        time.sleep(rng.random() * rng.choice([0.001, 0.01, 0.1]))
        count = 4 if kill == kills or rng.randrange(5) == 0 else 1
        rng.shuffle(writers)
        for writer in writers[:count]:
            reported += writer.kill()
        del writers[:count]

    ids = [id for _, id in reported]
    keys = [key for key, _ in reported]
    assert len(set(ids)) == len(ids) == len(set(keys)) > 40 * kills
    store = SQLiteCollisionStore(path)
    assert UniqueIdResolver(store).assign(["0-0"] * len(ids), item_keys=keys) == ids
    store.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    items = dict(db.execute("SELECT item, id FROM semantic_id_items"))
    held = db.execute("SELECT sum(count) FROM collisions").fetchone()[0]
    db.close()
    assert items.items() >= {(f"t{key}", id) for key, id in reported}
    assert len(set(items.values())) == len(items) <= held
    print(f"{kills} kills, {started} writers, {len(ids)} ids reported, {len(items)} committed")


BATCHES = """
    import os, sys
    from semantic_id import SQLiteCollisionStore, UniqueIdResolver
    resolver = UniqueIdResolver(SQLiteCollisionStore(sys.argv[1]))
    resolver.assign(["0"])
    os.write(1, b"begin")
    for size in (1, 1, 100, 1, 50_000, 1, 100):
        resolver.assign([str(i % 30_000) for i in range(size)])
        os.write(1, b"returned")
"""


def test_every_commit_is_on_the_disk(tmp_path):
    """Watch the system calls: a killed process alone would not show that a commit was never synchronized."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    path, log = tmp_path / "ids.db", tmp_path / "calls"
    calls = "trace=write,pwrite64,pwritev,pwritev2,fsync,fdatasync,msync"
    command = [strace, "-f", "-y", "-qq", "-s", "16", "-e", calls, "-o", str(log), sys.executable, "-c"]
    subprocess.run([*command, textwrap.dedent(BATCHES), str(path)], stdout=subprocess.PIPE, check=True, timeout=300)
    syncs, synced, commits, unfinished, begun = 0, True, [], {}, False
    for line in log.read_text().splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text.removesuffix("<unfinished ...>")
            if "write" not in text:
                continue  # it counts when it is done; a write may count from its start
        elif text.startswith("<... "):
            text = unfinished.pop(pid) + text.partition(">")[2]
            if "write" in text:
                continue
        found = re.match(r"(\w+)\(\d+<(.*?)>", text)
        if found is None:
            continue  # a signal, or the end of a thread
        call, file = found.groups()
        if file.endswith("ids.db-wal"):
            assert call in ("pwrite64", "fsync", "fdatasync"), text
            synced = call != "pwrite64"
            syncs += synced
        elif file.endswith("ids.db") and call == "pwrite64" and begun:
            assert synced, "a page is moved from the log to the database before the log is on the disk"
        elif '"begin"' in text:
            begun, syncs = True, 0
        elif '"returned"' in text:
            assert synced, f"commit {len(commits)} returned with writes that are not on the disk"
            commits.append(syncs)
            syncs = 0
    assert len(commits) == 7
    assert all(commits), f"synchronizations of the log for each commit: {commits}"
    print(f"synchronizations of the log for each commit: {commits}")
