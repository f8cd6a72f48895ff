"""Fork, spawn and forkserver: a model works in a child, or says at once what to do."""

import pytest

PRELUDE = """
    import os, sys, time
    import multiprocessing as mp
    import numpy as np
    from semantic_id import RQKMeans, SemanticIdError
    X = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)

    def encode(model):
        return model.encode(X[:3]).tolist()

    def wait(pid, seconds=60):
        for _ in range(int(seconds / 0.01)):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(pid, 9)
        raise TimeoutError("the child hangs")
"""
QUIET = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")  # of os.fork, about threads, from 3.12 on


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_start_anew(python, tmp_path, method):
    script = tmp_path / "script.py"  # a file, which workers can import
    lines = [line[4:] for line in PRELUDE.splitlines()]
    script.write_text(
        "\n".join(lines)
        + f"""
if __name__ == "__main__":
    model = RQKMeans(2, 9, random_state=0).fit(X)
    with mp.get_context({method!r}).Pool(2) as pool:
        assert pool.map(encode, [model] * 4) == [encode(model)] * 4
    print("done")
"""
    )
    assert python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')") == "done\n"


def test_forked_workers_after_the_library_was_used_get_an_error(python):
    python(
        PRELUDE
        + """
    model = RQKMeans(2, 9, random_state=0).fit(X)
    with mp.get_context("fork").Pool(2) as pool:
        start = time.monotonic()
        for task in (lambda: pool.apply(encode, [model]), lambda: pool.apply(RQKMeans(2, 9).fit, [X]),
                     lambda: pool.apply(model.semantic_id, [[[1, 2]]]), lambda: pool.apply(model.decode, [[[1, 2]]])):
            try:
                task()
            except SemanticIdError as error:
                assert "'spawn' or 'forkserver'" in str(error) and "fork before the first" in str(error)
            else:
                raise AssertionError("no error")
        assert time.monotonic() - start < 30  # it did not wait for anything
    assert encode(model)  # the parent goes on
    """,
        options=QUIET,
    )


def test_a_model_from_before_the_fork_works_in_children_and_parent(python, tmp_path, model):
    model.save(tmp_path / "model")
    python(
        PRELUDE
        + f"""
    X = np.ones((3, 12), np.float32)
    model = RQKMeans.load({str(tmp_path / "model")!r})
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            codes = encode(model)
            assert codes == encode(model)
            RQKMeans(1, 2, random_state=0).fit(np.eye(12))
            os._exit(7)
        assert wait(pid) == 7
    encode(model)
    """,
        options=QUIET,
    )


def test_a_grandchild(python):
    python(
        PRELUDE
        + """
    pid = os.fork()
    if pid == 0:
        model = RQKMeans(2, 9, random_state=0).fit(X)
        pid = os.fork()
        if pid == 0:
            try:
                encode(model)
            except SemanticIdError:
                os._exit(3)
        os._exit(wait(pid) + 1)
    assert wait(pid) == 4
    """,
        options=QUIET,
    )


@pytest.mark.parametrize("leave", ["sys.exit(5)", "os._exit(5)", "del model; gc.collect(); sys.exit(5)"])
def test_a_child_that_only_exits(python, leave):
    python(
        PRELUDE
        + f"""
    import gc, subprocess
    model = RQKMeans(2, 9, random_state=0).fit(X)
    pid = os.fork()
    if pid == 0:
        {leave}
    assert wait(pid) == 5
    assert subprocess.run(["true"]).returncode == 0
    encode(model)
    """,
        options=QUIET,
    )


def test_a_fork_while_another_thread_works(python):
    python(
        PRELUDE
        + """
    import threading
    stop = threading.Event()
    model = RQKMeans(2, 9, random_state=0).fit(X)
    def work():
        while not stop.is_set():
            RQKMeans(2, 9, random_state=0).fit(X)
            encode(model)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            try:
                encode(model)
            except SemanticIdError:
                os._exit(3)
            os._exit(0)
        assert wait(pid) == 3
    stop.set()
    for thread in threads:
        thread.join()
    """,
        options=QUIET,
    )


def test_exit_does_not_wait_for_a_daemon_thread(python):
    python(
        PRELUDE
        + """
    import threading
    X = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    model = RQKMeans(2, 9, random_state=0).fit(X[:500])
    def encode_for_ever():
        while True:
            model.encode(X[:300])
    for target in (encode_for_ever, RQKMeans(2, 500, max_iter=10**6, tol=0, n_init=100).fit):
        threading.Thread(target=target, args=() if target is encode_for_ever else (X,), daemon=True).start()
    time.sleep(0.5)
    """,
    )
