"""Ctrl-C, SIGTERM and crashes during native calls."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PRELUDE = """
    import time
    import numpy as np
    from semantic_id import RQKMeans
    X = np.random.default_rng(0).normal(size=(30_000, 64)).astype(np.float32)
    model = RQKMeans(2, 400, random_state=0, max_iter=10**6, tol=0, n_init=1000)
"""
LONG_FIT = """
    print("ready", flush=True)
    model.fit(X)
"""


def start(code, **env):
    """Start Python with the code and return it half a second after it said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PRELUDE + code)],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    return process


def interrupt(process, number):
    """Send a signal and return what the process printed until its end."""
    process.send_signal(number)
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()


def end(code, number, **env):
    """Run code, end it by a signal, and return its stderr. It must end within a second and the interpreter's own end.

    It may try three times, as the machine may be busy with something else.
    """
    for _ in range(3):
        process = start(code, **env)
        begin = time.monotonic()
        _, err = interrupt(process, number)
        seconds = time.monotonic() - begin
        assert process.returncode == -number
        if seconds < 1.3:
            return err
    raise AssertionError(f"it took {seconds:.1f} s to end")


def test_ctrl_c_ends_a_fit():
    assert end(LONG_FIT, signal.SIGINT).strip().endswith("KeyboardInterrupt")


def test_after_ctrl_c_all_is_as_before():
    code = """
    model.set_params(max_iter=1, n_init=1, tol=1e9).fit(X[:1000])
    before = dict(vars(model))
    codes = model.encode(X[:10]).tolist()
    model.set_params(max_iter=10**6, n_init=1000, tol=0)
    print("ready", flush=True)
    try:
        model.fit(X)
    except KeyboardInterrupt:
        print("interrupted")
    assert model.codebooks_ is before["codebooks_"] and model.n_iter_ is before["n_iter_"]
    assert model.encode(X[:10]).tolist() == codes
    fresh = RQKMeans(2, 4, random_state=0)
    assert fresh.fit(X[:1000]).encode(X[:10]).shape == (10, 2)
    print("goes on")
    """
    process = start(code)
    out, err = interrupt(process, signal.SIGINT)
    assert (process.returncode, out, err) == (0, "interrupted\ngoes on\n", "")


def test_ctrl_c_ends_an_encode():
    code = """
    model = RQKMeans(4, 400)
    model.codebooks_ = [X[i * 400 : (i + 1) * 400] for i in range(4)]
    X = np.tile(X, (10, 1))
    print("ready", flush=True)
    model.encode(X)
    """
    slow = {"SEMANTIC_ID_CPU": "generic", "SEMANTIC_ID_NUM_THREADS": "1"}
    assert end(code, signal.SIGINT, **slow).strip().endswith("KeyboardInterrupt")


def test_a_handler_of_ones_own():
    code = """
    import signal
    def handler(number, frame):
        raise TimeoutError("enough")
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 1)
    print("ready", flush=True)
    try:
        model.fit(X)
    except TimeoutError as error:
        print(error)
    """
    process = start(code)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "enough\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_other_signals_do_what_they_always_do(number):
    no_core = """
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    """
    assert "goroutine" not in end(no_core + LONG_FIT, number)


def test_ctrl_c_that_is_ignored():
    """As under nohup: the library installs no handler of its own."""
    code = """
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("ready", flush=True)
    begin = time.monotonic()
    while time.monotonic() - begin < 1.5:
        RQKMeans(1, 50, random_state=0, tol=1e9).fit(X)
    print("goes on")
    """
    process = start(code)
    out, err = interrupt(process, signal.SIGINT)
    assert (process.returncode, out, err) == (0, "goes on\n", "")


@pytest.mark.parametrize("when", ["before the import", "after the import", "after a fit"])
@pytest.mark.parametrize("crash", ["ctypes.string_at(0)", "faulthandler._sigsegv()", "os.abort()"])
def test_faulthandler(when, crash):
    code = f"""
        import ctypes, faulthandler, os, resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        when = {when!r}
        if when == "before the import":
            faulthandler.enable()
        import numpy as np
        from semantic_id import RQKMeans
        if when == "after the import":
            faulthandler.enable()
        X = np.random.default_rng(0).normal(size=(5000, 32)).astype(np.float32)
        model = RQKMeans(2, 50, random_state=0, tol=1).fit(X)
        if when == "after a fit":
            faulthandler.enable()
        model.encode(X)
        print("fits and encodes", flush=True)
        def this_crashes():
            {crash}
        this_crashes()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "fits and encodes\n"
    assert done.returncode == -(signal.SIGABRT if "abort" in crash else signal.SIGSEGV)
    assert "Fatal Python error" in done.stderr
    assert "in this_crashes" in done.stderr
    assert "goroutine" not in done.stderr


@pytest.mark.parametrize("options", [(), ("-X", "faulthandler"), ("-X", "dev")])
def test_a_fit_leaves_handlers_as_they_are(options):
    code = """
        import signal, sys
        import numpy as np
        from semantic_id import RQKMeans
        def handlers():
            return {n: signal.getsignal(n) for n in signal.valid_signals()}
        before = handlers()
        RQKMeans(1, 5, tol=1).fit(np.random.default_rng(0).normal(size=(1000, 4)))
        assert handlers() == before
    """
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=os.environ
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
