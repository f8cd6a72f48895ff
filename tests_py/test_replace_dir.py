"""Saving is all or nothing: faults at every write, sync and rename, kill -9, full disks, savers and readers at once."""

import contextlib
import errno
import itertools
import json
import os
import shutil
import stat
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from semantic_id import _files, _replace_dir

SETTINGS = {"metric": "l2", "implementation": "kmeans", "max_iter": 100, "tol": 1e-4, "n_init": None}
FILES = ["codebooks.npz", "metadata.json"]


def books(seed):
    return [np.float32(seed) + np.arange(k * 3, dtype=np.float32).reshape(k, 3) / 8 for k in (4, 3)]


def save(path, seed):
    _files.save_rq_kmeans(path, {**SETTINGS, "random_state": seed}, books(seed))


def seed_of(path):
    """Load and return which model it is, -1 when there is none; a mix fails."""
    try:
        meta, got = _files.load_model(path)
    except FileNotFoundError:
        return -1
    seed = meta["random_state"]
    assert all(np.array_equal(a, b) for a, b in zip(got, books(seed), strict=True))
    return seed


class Fault(OSError):
    def __init__(self):
        super().__init__(errno.EIO, "injected fault")


class FaultyDisk(_replace_dir.Disk):
    """Counts the calls, and fails at one of them, or from there on, as when the process dies."""

    def __init__(self, fail_at=0, dead=False, exchange=True, mount=None):
        self.fail_at, self.dead, self.can_exchange, self.mount = fail_at, dead, exchange, mount
        self.calls = []

    def step(self, *call):
        self.calls.append(call)
        if len(self.calls) == self.fail_at or (self.dead and 0 < self.fail_at < len(self.calls)):
            raise Fault

    def mkdir(self, path):
        self.step("mkdir", path)
        super().mkdir(path)

    def chmod(self, path, mode):
        self.step("chmod", path)
        super().chmod(path, mode)

    def create(self, path):
        self.step("create", path)
        return FaultyFile(self, path)

    def sync(self, path):
        self.step("sync", path)  # and no more: tests need not wait for the disk

    def rename(self, source, target):
        self.step("rename", source, target)
        if (
            self.mount
            and os.path.dirname(target) == self.mount
            and os.path.dirname(source) == os.path.dirname(self.mount)
        ):
            self.calls[-1] = ("refused",)
            raise OSError(errno.EXDEV, "another file system")
        super().rename(source, target)

    def exchange(self, a, b):
        self.step("exchange", a, b)
        if not self.can_exchange:
            self.calls[-1] = ("refused",)
            raise OSError(errno.EINVAL, "no exchange here")
        super().exchange(a, b)

    def remove_tree(self, path):
        self.step("remove", path)
        super().remove_tree(path)


class FaultyFile:
    def __init__(self, disk, path):
        self.disk, self.path = disk, path
        self.file = open(path, "xb")  # noqa: SIM115 - __exit__ closes it

    def write(self, data):
        try:
            self.disk.step("write", self.path)
        except Fault:
            self.file.write(data[: len(data) // 2])
            raise
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.disk.step("close", self.path)


def add_foreign(parent):
    (parent / "model" / "notes").write_text("mine")
    (parent / "model" / "sub").mkdir()


def working_directory(parent):
    os.chdir(parent / "model")


def link(parent):
    elsewhere = parent.parent / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.mkdir()
    os.rename(parent / "model", elsewhere / "target")
    os.symlink(elsewhere / "target", parent / "model")


def foreign_only(parent):
    (parent / "model").mkdir()
    add_foreign(parent)


# The ways a save can go: whether a model is there before, what else is done to the place, options of the disk, and what
# must stand there besides.
PLACES = {
    "new": (False, lambda parent: None, {}, []),
    "new parents": (False, lambda parent: parent.rmdir(), {}, []),
    "empty": (False, lambda parent: (parent / "model").mkdir(), {}, []),
    "swap": (True, lambda parent: None, {}, []),
    "no exchange": (True, lambda parent: None, {"exchange": False}, []),
    "mount point": (True, lambda parent: None, {"exchange": False, "mount": True}, []),
    "foreign files": (True, add_foreign, {}, ["notes", "sub"]),
    "foreign files only": (False, foreign_only, {}, ["notes", "sub"]),
    "working directory": (True, working_directory, {}, []),
    "symbolic link": (True, link, {}, []),
}


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """A function that prepares parent/model anew and returns parent and a disk."""
    monkeypatch.chdir(tmp_path)  # and back at the end

    def prepare(place, **options):
        had_model, change, disk_options, _ = PLACES[place]
        os.chdir(tmp_path)
        parent = tmp_path / "parent"
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir()
        if had_model:
            monkeypatch.setattr(_replace_dir, "disk", FaultyDisk())
            save(parent / "model", 1)
        change(parent)
        disk = FaultyDisk(**{**disk_options, **options})
        if disk.mount:
            disk.mount = str(parent / "model")
        monkeypatch.setattr(_replace_dir, "disk", disk)
        return parent, disk

    return prepare


def check_tidy(parent, extra, model=True):
    if not model and not (parent / "model").exists():
        return
    assert os.listdir(parent) == ["model"]
    assert sorted(os.listdir(parent / "model")) == sorted([*extra, *(FILES if model else [])])
    if "notes" in extra:
        assert (parent / "model" / "notes").read_text() == "mine"


@pytest.mark.parametrize("dead", [False, True], ids=["goes on", "dies"])
@pytest.mark.parametrize("place", PLACES)
def test_a_fault_at_every_call(setup, monkeypatch, place, dead):
    had_model, _, options, extra = PLACES[place]
    before = 1 if had_model else -1
    for fail_at in itertools.count(1):
        parent, disk = setup(place, fail_at=fail_at, dead=dead)
        error = None
        try:
            save(parent / "model", 2)
        except OSError as e:
            error = e
        reached = len(disk.calls) >= fail_at
        after = seed_of(parent / "model")
        at = f"call {fail_at}: {disk.calls[min(fail_at, len(disk.calls)) - 1]}, error {error}"
        assert after in ((before, 2) if error else (2,)), at
        assert error is None or (error.errno == errno.EIO and "injected fault" in str(error)), at
        if error and not dead and after == before:
            check_tidy(parent, extra, model=had_model)

        monkeypatch.setattr(_replace_dir, "disk", FaultyDisk(exchange=options.get("exchange", True), mount=disk.mount))
        save(parent / "model", 3)
        assert seed_of(parent / "model") == 3, at
        check_tidy(parent, extra)
        if not reached:
            break
    assert fail_at > 10


@pytest.mark.parametrize("place", PLACES)
def test_everything_is_synced_in_order(setup, place):
    parent, disk = setup(place)
    save(parent / "model", 2)
    dirty, renamed = set(), set()
    moving = committed = False
    for name, *paths in disk.calls:
        path = paths[0] if paths else ""
        if name in ("mkdir", "create"):
            dirty |= {path, os.path.dirname(path)}
            if os.path.exists(path):
                renamed.add(os.path.dirname(path))
        elif name == "write":
            dirty.add(path)
        elif name == "sync":
            dirty.discard(path)
            renamed.discard(path)
        elif name in ("rename", "exchange"):
            committed = True
            assert not [p for p in dirty if p == path or p.startswith(path + "/")], "renamed before it was synced"
            from_saved = os.path.basename(os.path.dirname(path)) == _replace_dir.SAVED
            if from_saved and not moving:
                assert os.path.dirname(os.path.dirname(path)) not in renamed, "moved before the commit was synced"
            moving = from_saved
            renamed.add(os.path.dirname(paths[1]))
        elif name == "remove":
            assert not (committed and os.path.dirname(path) in renamed), "removed before the swap was synced"
    assert not renamed, "not synced at the end"
    assert committed
    if place == "working directory":
        assert os.path.samefile(".", parent / "model")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux swaps directories")
def test_a_swap_that_may_not_be_on_the_disk_yet_keeps_what_it_swapped_out(setup, monkeypatch):
    parent, disk = setup("swap")
    save(parent / "model", 2)
    fail_at = [call[0] for call in disk.calls].index("exchange") + 2
    disk = FaultyDisk(fail_at=fail_at)
    monkeypatch.setattr(_replace_dir, "disk", disk)
    with pytest.raises(OSError, match="injected fault"):
        save(parent / "model", 3)
    assert disk.calls[-1][0] == "sync"
    left = [name for name in os.listdir(parent) if name != "model"]
    assert seed_of(parent / left[0]) == 2
    assert seed_of(parent / "model") == 3


def test_an_interrupt_leaves_nothing_behind(setup, monkeypatch):
    for fail_at in itertools.count(1):
        parent, disk = setup("swap", fail_at=fail_at)
        monkeypatch.setattr(sys.modules[__name__], "Fault", KeyboardInterrupt)
        with contextlib.suppress(KeyboardInterrupt):
            save(parent / "model", 2)
        monkeypatch.undo()
        if disk.calls[fail_at - 1 : fail_at] and disk.calls[fail_at - 1][0] == "remove":
            break  # the last call
        assert seed_of(parent / "model") in (1, 2)
        left = set(os.listdir(parent)) - {"model"}
        assert not left or disk.calls[fail_at - 2][0] == "exchange"
    assert fail_at > 10


@pytest.mark.parametrize("place", [place for place in PLACES if place != "working directory"])
def test_savers_and_readers_at_once(setup, monkeypatch, place):
    had_model, _, options, extra = PLACES[place]
    parent, _ = setup(place)
    exchange = options.get("exchange", True)
    done = threading.Event()
    failures = []

    class Disk(FaultyDisk):
        def exchange(self, a, b):
            if not exchange and len(self.calls) % 2:
                raise OSError(errno.EINVAL, "no exchange this time")
            super().exchange(a, b)

    monkeypatch.setattr(_replace_dir, "disk", Disk())

    def saver(first):
        try:
            for seed in range(first, first + 6):
                save(parent / "model", seed)
        except BaseException as e:
            failures.append(e)

    def reader():
        last = -1 if not had_model else 1
        try:
            while not done.is_set():
                seed = seed_of(parent / "model")
                assert seed > 0 or last < 0, "the model was gone"
                last = seed
        except BaseException as e:
            failures.append(e)

    readers = [threading.Thread(target=reader) for _ in range(2)]
    savers = [threading.Thread(target=saver, args=(10 * i,)) for i in (1, 2, 3)]
    for thread in readers + savers:
        thread.start()
    for thread in savers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert not failures
    assert seed_of(parent / "model") >= 10
    check_tidy(parent, extra)


def test_a_second_saver_that_finds_no_directory_either(tmp_path, monkeypatch):
    class Disk(FaultyDisk):
        def rename(self, source, target):
            if not os.path.exists(target):
                monkeypatch.setattr(_replace_dir, "disk", FaultyDisk())
                save(target, 1)
            super().rename(source, target)

    monkeypatch.setattr(_replace_dir, "disk", Disk())
    save(tmp_path / "model", 2)
    assert seed_of(tmp_path / "model") == 2
    check_tidy(tmp_path, [])


@pytest.mark.parametrize("checksums", [True, False])
def test_a_load_between_whose_files_another_model_is_saved(tmp_path, monkeypatch, checksums):
    save(tmp_path / "model", 1)
    if not checksums:  # a model of 0.2.5, whose settings would fit the other's codebooks
        metadata = tmp_path / "model" / "metadata.json"
        keys = json.loads(metadata.read_text())
        metadata.write_text(
            json.dumps({key: keys[key] for key in keys if key != "format_version" and "sha256" not in key})
        )
    open_checked = _files.open_checked

    def save_first(path, name, sums):
        monkeypatch.setattr(_files, "open_checked", open_checked)
        save(tmp_path / "model", 2)
        return open_checked(path, name, sums)

    monkeypatch.setattr(_files, "open_checked", save_first)
    assert seed_of(tmp_path / "model") == 2


def test_kill_9(python, tmp_path):
    """In a process of its own, which forks: a child saves until it is killed, the parent looks."""
    out = python(
        f"""
        import os, random, signal, sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_replace_dir import FILES, add_foreign, check_tidy, save, seed_of
        from pathlib import Path
        for extra in [], ["notes", "sub"]:
            parent = Path({str(tmp_path)!r}, f"parent{{len(extra)}}")
            parent.mkdir()
            path = parent / "model"
            save(path, 0)
            if extra:
                add_foreign(parent)
            seen = set()
            for _ in range(20):
                start = seed_of(path)
                child = os.fork()
                if child == 0:
                    for seed in range(start + 1, start + 10**6):
                        save(path, seed)
                time.sleep(random.uniform(0.001, 0.05))
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                seed = seed_of(path)
                assert start <= seed, (start, seed)
                seen.add(seed)
            save(path, 5)
            check_tidy(parent, extra)
            assert len(seen) > 2, seen
        print("fine")
        """,
        options=("-W", "error", "-W", "ignore:This process:DeprecationWarning"),
    )
    assert out == "fine\n"


def test_the_mode_of_the_directory_is_kept(tmp_path):
    (tmp_path / "model").mkdir(mode=0o700)
    save(tmp_path / "model", 1)
    save(tmp_path / "model", 2)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("", FileNotFoundError, "while saving"),
        ("file", FileExistsError, r"while saving .*file; .*choose a path that is not a file"),
        ("file/model", NotADirectoryError, "choose a path that is not a file"),
        ("odd", IsADirectoryError, "metadata.json"),
        ("loop", OSError, "loop"),
        ("x" * 300, OSError, "too long"),
    ],
)
def test_where_no_model_can_be(tmp_path, path, error, words):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "odd" / "metadata.json" / "x").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(error, match=words):
        save(path and tmp_path / path, 1)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "loop", "odd"]
    assert os.listdir(tmp_path / "odd") == ["metadata.json"]


def test_a_link_to_a_directory_still_to_be_made(tmp_path):
    (tmp_path / "link").symlink_to("there")
    save(tmp_path / "link", 1)
    assert seed_of(tmp_path / "there") == 1
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("foreign", [False, True])
def test_a_tree_of_directories(tmp_path, foreign):
    path = tmp_path / "engine"

    def save_tree(text):
        def write(folder):
            os.makedirs(f"{folder}/a/b")
            for name in "a/b/deep", "top":
                Path(folder, name).write_text(text)

        _replace_dir.replace_dir(str(path), write)

    save_tree("old")
    if foreign:
        (path / "a" / "mine").write_text("mine")
    save_tree("new")
    texts = {str(p.relative_to(path)): p.read_text() for p in path.rglob("*") if p.is_file()}
    assert texts == {"a/b/deep": "new", "top": "new"} | ({"a/mine": "mine"} if foreign else {})


def test_a_full_disk(tmp_path, monkeypatch):
    """Every write fails as on a full disk."""
    save(tmp_path / "model", 1)

    class Full(_replace_dir.Disk):
        def create(self, path):
            return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr(_replace_dir, "disk", Full())
    with pytest.raises(OSError, match=r"while saving .*model; free some space and save again") as raised:
        save(tmp_path / "model", 2)
    assert raised.value.errno == errno.ENOSPC
    assert seed_of(tmp_path / "model") == 1
    check_tidy(tmp_path, [])


@pytest.mark.parametrize(
    ("parent_mode", "mode", "foreign", "saved"),
    [
        (0o555, 0o555, False, False),
        (0o777, 0o555, False, False),
        (0o777, 0o555, True, False),
        (0o555, 0o777, False, True),
    ],
)
def test_read_only_directories(python, parent_mode, mode, foreign, saved):
    """As a user who owns nothing, in a process of its own, since root may write everywhere."""
    out = python(
        f"""
        import os, shutil, sys, tempfile
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_replace_dir import add_foreign, check_tidy, save, seed_of
        parent = Path(tempfile.mkdtemp(prefix="readonly"))
        try:
            save(parent / "model", 1)
            if {foreign}:
                add_foreign(parent)
            assert seed_of(parent / "model") == 1  # and all is imported while it can be
            os.chmod(parent / "model", {mode})
            os.chmod(parent, {parent_mode})
            root = os.geteuid() == 0
            if root:
                os.setegid(65534)
                os.seteuid(65534)
            try:
                save(parent / "model", 2)
                print("saved")
            except PermissionError as e:
                print(e)
            assert seed_of(parent / "model") == (2 if {saved} else 1)
            if root:
                os.seteuid(0)
            check_tidy(parent, ["notes", "sub"] if {foreign} else [])
        finally:
            if os.geteuid() != 0 and root:
                os.seteuid(0)
            os.chmod(parent, 0o777)
            os.chmod(parent / "model", 0o777)
            shutil.rmtree(parent)
        """
    )
    if saved:
        assert out == "saved\n"
    else:
        assert "Permission denied, while saving" in out
        assert "save to a directory you may write to" in out
