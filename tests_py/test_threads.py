"""Many threads on one model, and how many the library uses."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import semantic_id
from semantic_id import RQKMeans, _native, _threads


def test_encodes_at_once_on_one_model(model, blobs):
    fresh = RQKMeans(n_levels=3, n_clusters=[20, 10, 5])
    fresh.codebooks_ = list(model.codebooks_)  # its native model is yet to be made
    codes = model.encode(blobs)
    start = threading.Barrier(8)

    def work(i):
        start.wait()
        for j in range(20):
            low = 37 * i + j
            np.testing.assert_array_equal(fresh.encode(blobs[low : low + 500]), codes[low : low + 500])
            np.testing.assert_array_equal(fresh.decode(codes[low : low + 9]), model.decode(codes[low : low + 9]))
            assert fresh.semantic_id(codes[low : low + 2])[1] == "-".join(map(str, codes[low + 1]))
            with pytest.raises(IndexError, match=f"code out of range: {100 + i} "):
                fresh.decode([[100 + i, 0, 0]])  # each thread its own text

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_fits_at_once(blobs):
    want = [RQKMeans(2, 20, random_state=seed).fit(blobs).codebooks_[1] for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda seed: RQKMeans(2, 20, random_state=seed).fit(blobs).codebooks_[1], range(4)))
    np.testing.assert_array_equal(got, want)


def test_a_long_call_lets_other_threads_run(blobs):
    """The GIL is free during a fit, in the main thread and in another."""

    def count_during(call):
        counted, stop = 0, threading.Event()

        def count():
            nonlocal counted
            while not stop.wait(0.001):
                counted += 1

        thread = threading.Thread(target=count)
        thread.start()
        call()
        stop.set()
        thread.join()
        return counted

    x = np.random.default_rng(0).normal(size=(10_000, 32)).astype(np.float32)
    fit = lambda: RQKMeans(1, 200, max_iter=10, tol=1e-9, random_state=0).fit(x)  # noqa: E731
    with pytest.warns(semantic_id.ConvergenceWarning):
        assert count_during(fit) > 10
    with ThreadPoolExecutor(1) as pool, pytest.warns(semantic_id.ConvergenceWarning):
        assert count_during(lambda: pool.submit(fit).result()) > 10


def test_set_num_threads(blobs):
    before = _native.num_threads()
    try:
        for n in (1, 3, np.int64(2)):
            semantic_id.set_num_threads(n)
            assert _native.num_threads() == n
    finally:
        semantic_id.set_num_threads(before)
    for n in (0, -1, 1.0, True, "2", None):
        with pytest.raises(ValueError, match="want an integer >= 1"):
            semantic_id.set_num_threads(n)


@pytest.mark.parametrize(
    ("variables", "want"),
    [
        ({"SEMANTIC_ID_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"SEMANTIC_ID_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"OMP_NUM_THREADS": "0"}, None),
        ({}, None),
    ],
)
def test_default_number_of_threads(monkeypatch, variables, want):
    for name in ("SEMANTIC_ID_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _threads.default_threads() == (want or _threads.usable_cores())
    assert 1 <= _threads.usable_cores() <= os.cpu_count()


def test_variables_reach_the_library(python):
    code = "from semantic_id import _native, set_num_threads; {}; print(_native.num_threads())"
    assert python(code.format("pass"), SEMANTIC_ID_NUM_THREADS="3") == "3\n"
    assert python(code.format("set_num_threads(2)"), SEMANTIC_ID_NUM_THREADS="3") == "2\n"
    assert python(code.format("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})")) == "1\n"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "²"])
def test_a_bad_variable(monkeypatch, value):
    monkeypatch.setenv("SEMANTIC_ID_NUM_THREADS", value)
    with pytest.raises(ValueError, match=r"SEMANTIC_ID_NUM_THREADS=.*want an integer >= 1"):
        _threads.default_threads()


@pytest.mark.parametrize(
    ("cgroup", "files", "want"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/../b\n", {"b/cpu.max": "100000 100000\n"}, 1),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, None),
        ("0::/a\n", {"a/cpu.max": "garbage"}, None),
        ("0::/a\n", {}, None),
        ("", {}, None),
        (
            "4:memory:/m\n3:cpu,cpuacct:/d\n",
            {"cpu/d/cpu.cfs_quota_us": "250000\n", "cpu/d/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        ("3:cpu:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1\n", "cpu/d/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_cgroup_quota(tmp_path, cgroup, files, want):
    (tmp_path / "proc").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert _threads._cgroup_quota(str(tmp_path / "proc"), str(tmp_path / "sys")) == want


def test_a_quota_bounds_the_cores(monkeypatch):
    monkeypatch.setattr(_threads.os, "sched_getaffinity", lambda pid: set(range(8)))
    for quota, want in ((None, 8), (2.5, 3), (0.5, 1), (100, 8)):
        monkeypatch.setattr(_threads, "_cgroup_quota", lambda quota=quota: quota)
        assert _threads.usable_cores() == want
