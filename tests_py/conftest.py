"""What the tests share. If SEMANTIC_ID_REQUIRE_ALL is 1, a skipped test is a failure: for machines that have all."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from semantic_id import RQKMeans

# Where a job runs in the background or under nohup, signals are ignored, and the processes the tests start would ignore
# them too.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)

# The kernels of the notebook tests keep a profile, which is not for the home of whoever runs the tests.
os.environ.setdefault("IPYTHONDIR", str(Path(__file__).resolve().parent.parent / "build" / "_ipython"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("SEMANTIC_ID_REQUIRE_ALL") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"SEMANTIC_ID_REQUIRE_ALL=1 and skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if os.environ.get("SEMANTIC_ID_REQUIRE_ALL") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"SEMANTIC_ID_REQUIRE_ALL=1 and skipped: {report.longrepr}"
    return report


@pytest.fixture
def python() -> Callable[..., str]:
    """A function that runs code in a Python of its own, in which warnings are errors, and returns what it printed."""

    def run(code: str, *, options: tuple[str, ...] = ("-W", "error"), timeout: float = 120, **env: str) -> str:
        done = subprocess.run(
            [sys.executable, *options, "-c", textwrap.dedent(code)],
            env=os.environ | env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout}{done.stderr}"
        assert done.stderr == ""
        return done.stdout

    return run


class Postgres:
    """A schema in the server that SEMANTIC_ID_POSTGRES names, and psql to look into it."""

    def __init__(self, url: str) -> None:
        name = f"test_{os.getpid()}_{time.monotonic_ns()}"
        self.dsn = url
        self.psql(f"CREATE SCHEMA {name}")
        self.dsn = f"{url}?options=-csearch_path%3D{name}"
        self.drop = f"DROP SCHEMA {name} CASCADE"

    def psql(self, text: str) -> str:
        """Run a statement, and return what it printed: fields with | between them."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, self.dsn],
            env=os.environ | {"PGOPTIONS": "-cclient_min_messages=warning"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def postgres() -> Generator[Postgres, None, None]:
    """An empty place in a PostgreSQL server."""
    url = os.environ.get("SEMANTIC_ID_POSTGRES")
    if url is None:
        pytest.skip("SEMANTIC_ID_POSTGRES is not set: run the tests by tools/postgres.py, with PostgreSQL installed")
    place = Postgres(url)
    yield place
    place.psql(place.drop)


@pytest.fixture(scope="session")
def blobs() -> np.ndarray:
    """2000 x 12 float32 in 20 lumps."""
    rng = np.random.default_rng(7)
    centres = rng.normal(scale=5, size=(20, 12))
    x = (centres[rng.integers(20, size=2000)] + rng.normal(size=(2000, 12))).astype(np.float32)
    x.flags.writeable = False
    return x


@pytest.fixture(scope="session")
def model(blobs: np.ndarray) -> RQKMeans:
    """A fitted model of 3 levels of 20, 10 and 5 centroids; not to be changed."""
    return RQKMeans(n_levels=3, n_clusters=[20, 10, 5], random_state=0).fit(blobs)
