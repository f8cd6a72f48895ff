"""What `estimate` foresees, held against what fits take; its advice; and how it refuses."""

import dataclasses
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import semantic_id
from semantic_id import RQKMeans, _threads, estimate

PEAK = """
    import numpy as np
    from semantic_id import RQKMeans

    def status(field):
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field))

    rng = np.random.default_rng(0)
    books = rng.normal(size=(2, 400, {d})).astype(np.float32)
    x = rng.normal(size=({n}, {d}), scale=0.5).astype(np.float32)
    x += books[0][rng.integers(400, size={n})] + books[1][rng.integers(400, size={n})] / 2
    RQKMeans(n_levels=1, n_clusters=1).fit(np.ones((1, 1)))
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")
    before = status("VmRSS")
    RQKMeans(n_levels={levels}, n_clusters={clusters}, random_state=0, max_iter=20).fit(x)
    print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc")
@pytest.mark.parametrize(
    ("n", "d", "levels", "clusters"),
    [
        (120_000, 128, 2, 64),  # by bounds
        (60_000, 192, 2, [256, 32]),
        (100_000, 32, 3, 128),  # plainly
        (20_000, 256, 3, 256),  # by row
        (3_700, 384, 3, 256),
        (10_000, 16, 3, 32),  # so little that nothing is given back
    ],
)
def test_memory_is_what_a_fit_takes(python, n, d, levels, clusters):
    code = PEAK.format(n=n, d=d, levels=levels, clusters=clusters)
    runs = 4 if n * d < 2**21 else 1  # how much garbage piles up differs by megabytes: what is told is the most
    measured = max(int(python(code, options=("-W", "ignore"))) for _ in range(runs))
    told = estimate(n, d, levels, clusters).fit_bytes
    assert told / 1.2 <= measured <= told * 1.2


def test_time_has_a_part_that_does_not_grow(monkeypatch):
    monkeypatch.setattr(semantic_id._estimate, "_time_pass", lambda n, k, d, threads: 1e-11 * n * k * d)
    monkeypatch.setattr(semantic_id._estimate, "seconds_of_work", lambda threads: 4e-10)
    once, twice, thrice = (estimate(n, 128, 1, 64).fit_seconds for n in (100_000, 200_000, 300_000))
    assert twice - once == pytest.approx(thrice - twice)
    start = once - (twice - once)
    assert 0.01 < start < 0.2
    assert estimate(100_000, 128, 3, 64).fit_seconds == pytest.approx(3 * once)


def test_sizes():
    told = estimate(1000, 24, 3, [10, 20, 30])
    assert (told.n, told.d, told.n_clusters) == (1000, 24, (10, 20, 30))
    assert told.input_bytes == 1000 * 24 * 4
    assert told.model_bytes == 60 * 24 * 4
    assert told.encode_bytes == 1000 * 3 * 4
    assert told.capacity == 6000
    assert told.bits == pytest.approx(math.log2(6000))
    assert told.threads >= 1


def test_the_model_is_as_big_as_told(blobs):
    model = RQKMeans(n_levels=3, n_clusters=[20, 10, 5], random_state=0).fit(blobs)
    told = estimate(*blobs.shape, 3, [20, 10, 5])
    assert told.model_bytes == sum(book.nbytes for book in model.codebooks_)
    assert told.encode_bytes == model.encode(blobs).nbytes


def test_defaults_are_those_of_the_model():
    model = RQKMeans()
    told = estimate(100_000, 8)
    assert told.n_clusters == tuple(model.n_clusters)
    assert len(told.n_clusters) == model.n_levels


@pytest.mark.parametrize("clusters", [(4, 4), np.array([4, 4])])
def test_clusters_as_a_sequence(clusters):
    assert estimate(100, 8, 2, clusters).n_clusters == (4, 4)


def test_collisions_are_those_of_even_ids():
    rng = np.random.default_rng(1)
    distinct = np.mean([len(np.unique(rng.integers(4096, size=1000))) for _ in range(200)])
    assert estimate(1000, 8, 3, 16).uniform_collision_rate == pytest.approx(1 - distinct / 1000, abs=2e-3)
    assert estimate(50, 8, 2, 1).uniform_collision_rate == 1 - 1 / 50
    assert estimate(1, 8, 2, 1).uniform_collision_rate == 0
    assert estimate(10, 8, 4096, 256).uniform_collision_rate == 0  # more ids than a float can count
    assert estimate(10, 8, 8, 256).uniform_collision_rate == pytest.approx(9 / 2 / 256**8)
    for n in (16, 17):  # on both sides of where the formula changes
        assert estimate(n, 8, 3, 256).uniform_collision_rate == pytest.approx((n - 1) / 2 / 256**3, rel=1e-5)


def test_more_data_takes_more(monkeypatch):
    monkeypatch.setattr(semantic_id._estimate, "_time_pass", lambda n, k, d, threads: 1e-11 * n * k * d)
    for grown in ({"n": 200_000}, {"d": 256}, {"levels": 4}, {"clusters": 64}):
        shape = {"n": 100_000, "d": 128, "levels": 2, "clusters": 32}
        small, large = estimate(**shape), estimate(**shape | grown)
        assert small.fit_bytes < large.fit_bytes
        assert small.fit_seconds < large.fit_seconds
        assert small.encode_seconds < large.encode_seconds


def test_mapped_input_takes_less():
    told = estimate(1_000_000, 768)
    assert told.mapped_fit_bytes < told.input_bytes / 5 < told.fit_bytes
    assert "if mapped from a .npy file" in str(told)
    small = estimate(1000, 8)
    assert small.mapped_fit_bytes == small.fit_bytes
    assert "mapped" not in str(small)


def test_nothing_to_advise():
    assert estimate(100_000, 64, 4, 256).advice == ()


def test_advice_on_clusters():
    (line,) = estimate(1000, 8, 3, 256).advice
    assert line.startswith("3.91 rows a cluster are few")
    assert "at most 31 clusters a level" in line
    assert estimate(1000, 8, 4, 31).advice == ()
    (line,) = estimate(100, 8, 3, 256).advice
    assert line == "256 clusters of 100 embeddings is an error in fit: at most one a row"
    with pytest.raises(ValueError, match="n_clusters=256"):
        RQKMeans(n_levels=3, n_clusters=256).fit(np.eye(100))


def test_advice_on_levels_is_taken():
    (line,) = estimate(1000, 8, 3, 16).advice
    levels, rate = re.search(r": (\d+) levels of 16 make that ([\d.]+) %", line).groups()
    better = estimate(1000, 8, int(levels), 16)
    assert better.advice == ()
    assert 100 * better.uniform_collision_rate == pytest.approx(float(rate), rel=0.01)
    (line,) = estimate(1000, 8, 2, [31, 16]).advice
    assert "4 levels, the further ones of 16, make that" in line
    assert estimate(1000, 8, 4, [31, 16, 16, 16]).advice == ()


def test_advice_on_memory(monkeypatch):
    monkeypatch.setattr(semantic_id._estimate, "usable_memory", lambda: 4_000_000_000)
    (line,) = estimate(1_000_000, 768).advice
    assert re.search(r"need .* GB, and 4 GB are free: save them as \.npy and fit np\.load\(path, mmap_mode='r'\)", line)
    monkeypatch.setattr(semantic_id._estimate, "usable_memory", lambda: 1000)
    (line,) = estimate(10_000, 8, 4, 64).advice
    assert line.endswith("are free: fit on fewer rows and encode the rest")
    monkeypatch.setattr(semantic_id._estimate, "usable_memory", lambda: None)
    assert estimate(1_000_000, 768).advice == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8), "n=0: want an integer from 1 to 2"),
        ((1.5, 8), "n=1.5: want an integer"),
        ((True, 8), "n=True: want an integer"),
        ((10, -1), "d=-1: want an integer from 1 to 2"),
        ((10, 8, 0), "levels=0: want an integer from 1"),
        ((10, 8, 2, 0), "clusters=0: want an integer >= 1"),
        ((10, 8, 2, "3"), "clusters='3': want an integer"),
        ((10, 8, 2, [3, 0]), r"clusters\[1\]=0: want an integer >= 1"),
        ((10, 8, 3, [3, 4]), "clusters has 2 numbers for levels=3"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        estimate(*arguments)


def test_it_is_read_only_and_printed():
    told = estimate(63_666, 384, 3, 256)
    with pytest.raises(dataclasses.FrozenInstanceError):
        told.n = 1
    lines = str(told).splitlines()
    assert lines[0].startswith("63,666 embeddings of 384 columns, codes of 256 x 256 x 256")
    assert lines[1] == "input     98 MB as float32"
    assert lines[4] == "model     1.2 MB"
    assert lines[5] == "ids       16,777,216 possible, 24.0 bits each"
    assert repr(told) == str(told)
    assert "\nids       2^64 possible, 64.0 bits each\n" in str(estimate(1000, 8, 16, 16))
    assert lines[6].startswith("collide   0.19 % of the rows")


def test_huge_data_is_told_without_work():
    assert estimate(10**12, 4096, 8, 4096).fit_seconds > 1e6


def test_usable_memory(monkeypatch):
    files = {"/proc/meminfo": "MemTotal: 100 kB\nMemAvailable:   50 kB\n"}
    monkeypatch.setattr(_threads, "_read", lambda path: files.get(path, ""))
    assert _threads.usable_memory() == 50 * 1024
    files["/sys/fs/cgroup/memory.max"], files["/sys/fs/cgroup/memory.current"] = "max\n", "7\n"
    assert _threads.usable_memory() == 50 * 1024
    files["/sys/fs/cgroup/memory.max"] = "1000\n"
    assert _threads.usable_memory() == 993
    files.clear()
    assert _threads.usable_memory() is None


def test_command_line():
    def run(*arguments):
        command = [sys.executable, "-m", "semantic_id.cli", "estimate", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    done = run("1000", "64", "--levels", "3", "--clusters", "16", "--threads", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1,000 embeddings of 64 columns, codes of 16 x 16 x 16, 1 threads\n")
    told = json.loads(run("1000", "64", "--clusters", "16,8", "--json").stdout)
    assert (told["n_clusters"], told["capacity"]) == ([16, 8], 128)
    done = run("0", "64")
    assert (done.returncode, done.stdout) == (2, "")
    assert "0 is less than 1" in done.stderr
    assert run("10", "4", "--levels", "3", "--clusters", "2,2").returncode == 2
