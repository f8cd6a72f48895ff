"""The command line as users meet it: real processes, every format, every exit code, and nothing half-written."""

import contextlib
import csv
import errno
import fcntl
import json
import os
import pty
import shutil
import signal
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from semantic_id import RQKMeans, __version__, cli

COMMAND = [sys.executable, "-m", "semantic_id.cli"]
N, D = 300, 6
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
IDS = [f"item {n}" for n in range(N)]
SMALL_FILES = ("bash", "-c", 'ulimit -f 20; exec "$@"', "bash")  # of 20 KiB
FIT = ("--levels", "3", "--clusters", "5")


def run(*arguments, cwd, prefix=(), env=None, **options):
    """Run the command in `cwd` with stdout and stderr in pipes."""
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [*prefix, *COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        **options,
    )


def ok(*arguments, cwd, **options):
    """Run the command, which must succeed without a word on stderr, and return its stdout."""
    done = run(*arguments, cwd=cwd, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def fails(*arguments, cwd, words=(), code=1, **options):
    """Run the command, which must fail with one line that has all the words in it and leave no trace in `cwd`."""
    before = tree(cwd)
    done = run(*arguments, cwd=cwd, **options)
    assert done.returncode == code, done.stderr
    one_line(done.stderr, words)
    assert done.stdout == ""
    assert tree(cwd) == before
    return done.stderr


def one_line(stderr, words=()):
    assert stderr.startswith("semantic-id: ")
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")
    for word in words:
        assert word in stderr


def tree(folder):
    """Map every file below `folder` to its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def write_embeddings(path, x=X, ids=IDS):
    """Write the embeddings `x` with their ids in the format of the name."""
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, vectors=x, id=np.array(ids))
    elif path.suffix == ".parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table({"id": ids, "embedding": list(x)}), path)
    elif path.suffix == ".csv":
        with open(path, "w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "embedding"])
            rows.writerows([row_id, json.dumps(row)] for row_id, row in zip(ids, x.tolist(), strict=True))
    else:
        lines = [json.dumps({"id": row_id, "embedding": row}) for row_id, row in zip(ids, x.tolist(), strict=True)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_ids(path):
    """Return what `encode` wrote as (ids, semantic ids, codes)."""
    if path.suffix == ".csv":
        return csv_ids(path.read_text(encoding="utf-8"))
    if path.suffix == ".parquet":
        records = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    else:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {tuple(record) for record in records} == {("id", "semantic_id", "codes")}
    return tuple([record[name] for record in records] for name in ("id", "semantic_id", "codes"))


def csv_ids(text):
    header, *rows = csv.reader(text.splitlines())
    assert header == ["id", "semantic_id", *(f"code_{level}" for level in range(len(header) - 2))]
    return [row[0] for row in rows], [row[1] for row in rows], [list(map(int, row[2:])) for row in rows]


@pytest.fixture(scope="module")
def python_model():
    return RQKMeans(n_levels=3, n_clusters=5, random_state=0).fit(X)


@pytest.fixture
def here(tmp_path, python_model):
    """A directory with x.npy and a model of it."""
    np.save(tmp_path / "x.npy", X)
    python_model.save(tmp_path / "model")
    return tmp_path


# Fit and encode.


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x.csv", "x.jsonl"])
def test_every_format_in(tmp_path, python_model, name):
    write_embeddings(tmp_path / name)
    said = ok("fit", name, *FIT, "--model", "model", cwd=tmp_path)
    assert "300 rows of 6 numbers" in said
    model = RQKMeans.load(tmp_path / "model")
    for book, want in zip(model.codebooks_, python_model.codebooks_, strict=True):
        np.testing.assert_array_equal(book, want)

    said = ok("encode", name, "--model", "model", "--out", "ids.jsonl", cwd=tmp_path)
    ids, semantic_ids, codes = read_ids(tmp_path / "ids.jsonl")
    assert ids == (list(range(N)) if name == "x.npy" else IDS)
    want = python_model.encode(X)
    assert codes == want.tolist()
    assert semantic_ids == python_model.semantic_id(want)
    assert said == f"wrote 300 ids, {len(set(semantic_ids))} of them distinct, to ids.jsonl\n"


@pytest.mark.parametrize("out", ["ids.csv", "ids.parquet", "ids.jsonl", "-"])
@pytest.mark.parametrize("name", ["x.npy", "x.jsonl"])
def test_every_format_out(here, python_model, name, out):
    if out == "ids.parquet":
        pytest.importorskip("pyarrow")
    write_embeddings(here / name)
    said = ok("encode", name, "--model", "model", "--out", out, cwd=here)
    ids, semantic_ids, codes = csv_ids(said) if out == "-" else read_ids(here / out)
    want = IDS if name == "x.jsonl" else list(range(N))
    assert ids == ([str(row_id) for row_id in want] if out in ("ids.csv", "-") else want)
    assert codes == python_model.encode(X).tolist()
    assert semantic_ids == python_model.semantic_id(np.array(codes))


def test_ids_of_our_own_files_go_round(here):
    """What encode writes as .jsonl and .parquet has lists, so it can be read as embeddings again."""
    ok("encode", "x.npy", "--model", "model", "--out", "ids.jsonl", cwd=here)
    ok("fit", "ids.jsonl", "--column", "codes", "--id-column", "semantic_id", *FIT, "--model", "m2", cwd=here)


def test_format_and_separator(here, python_model):
    codes = python_model.encode(X)
    said = ok("encode", "x.npy", "--model", "model", "--out", "-", "--format", "token", cwd=here)
    assert csv_ids(said)[1] == python_model.semantic_id(codes, fmt="token")
    said = ok("encode", "x.npy", "--model", "model", "--out", "-", "--sep", "/", cwd=here)
    assert csv_ids(said)[1] == python_model.semantic_id(codes, sep="/")


@pytest.mark.parametrize("name", ["x.npy", "x.jsonl"])
def test_balanced(here, name):
    write_embeddings(here / name)
    ok("fit", name, *FIT, "--implementation", "constrained", "--model", "even", cwd=here)
    ok("encode", name, "--model", "even", "--balanced", "--out", "ids.jsonl", cwd=here)
    ids, _, codes = read_ids(here / "ids.jsonl")
    assert ids == (IDS if name == "x.jsonl" else list(range(N)))
    model = RQKMeans(n_levels=3, n_clusters=5, random_state=0, implementation="constrained")
    assert codes == model.fit_encode(X).tolist()
    words = ["beam_size=2 with balanced=True"]
    fails("encode", name, "--model", "even", "--balanced", "--beam-size", "2", "--out", "i.csv", cwd=here, words=words)


def test_settings_reach_the_model(here):
    settings = "--clusters 7,6,5 --metric cosine --max-iter 50 --tol 0.01 --n-init 2 --seed 9 --threads 1"
    ok("fit", "x.npy", *settings.split(), "--model", "m", cwd=here)
    facts = json.loads(ok("info", "m", "--json", cwd=here))
    size = facts.pop("bytes")
    assert size == sum(path.stat().st_size for path in (here / "m").iterdir())
    assert facts == {
        "type": "RQKMeans",
        "levels": 3,
        "clusters": [7, 6, 5],
        "dimension": 6,
        "metric": "cosine",
        "implementation": "kmeans",
        "max_iter": 50,
        "tol": 0.01,
        "n_init": 2,
        "random_state": 9,
        "possible_ids": 210,
    }
    want = RQKMeans(3, [7, 6, 5], metric="cosine", max_iter=50, tol=0.01, n_init=2, random_state=9).fit(X)
    for book, other in zip(RQKMeans.load(here / "m").codebooks_, want.codebooks_, strict=True):
        np.testing.assert_array_equal(book, other)
    said = ok("info", "m", cwd=here)
    assert "7, 6, 5" in said
    assert "cosine" in said


def test_the_default_is_reproducible(here):
    ok("fit", "x.npy", *FIT, "--model", "m", cwd=here)
    ok("fit", "x.npy", *FIT, "--threads", "2", "--model", "m2", cwd=here)
    assert tree(here / "m") == tree(here / "m2") == tree(here / "model")


def test_fit_replaces_a_model(here):
    ok("fit", "x.npy", "--clusters", "4", "--levels", "2", "--model", "model", cwd=here)
    assert RQKMeans.load(here / "model").n_clusters == [4, 4]
    assert sorted(path.name for path in here.iterdir()) == ["model", "x.npy"]


def test_out_is_replaced_through_a_link_and_keeps_usual_permissions(here):
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "real.csv").write_text("old")
    (here / "ids.csv").symlink_to("elsewhere/real.csv")
    ok("encode", "x.npy", "--model", "model", "--out", "ids.csv", cwd=here, umask=0o027)
    assert (here / "ids.csv").is_symlink()
    assert len(csv_ids((here / "elsewhere" / "real.csv").read_text())[0]) == N
    assert stat.S_IMODE((here / "elsewhere" / "real.csv").stat().st_mode) == 0o640


def test_ids_in_any_script_on_any_terminal(here):
    write_embeddings(here / "x.jsonl", X[:2], ["größe", "番号"])
    said = ok("encode", "x.jsonl", "--model", "model", "--out", "-", cwd=here, env={"PYTHONIOENCODING": "ascii"})
    assert csv_ids(said)[0] == ["größe", "番号"]


def test_a_warning_is_one_line(here):
    np.save(here / "same.npy", np.ones((20, 3), np.float32))
    done = run("fit", "same.npy", "--levels", "1", "--clusters", "4", "--model", "m", cwd=here)
    assert done.returncode == 0
    one_line(done.stderr, ["warning", "distinct"])


# Exit codes.


def test_version_and_help(tmp_path):
    assert ok("--version", cwd=tmp_path) == f"semantic-id {__version__}\n"
    said = ok("--help", cwd=tmp_path)
    for word in ("fit", "encode", "info", "demo"):
        assert word in said
    for command in ("fit", "encode"):
        assert ".parquet" in ok(command, "--help", cwd=tmp_path)


def test_the_installed_command(tmp_path):
    script = Path(sys.executable).with_name("semantic-id")
    if not script.exists():
        pytest.skip("semantic-id is not installed in this environment, only importable")
    done = subprocess.run([script, "--version"], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, f"semantic-id {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "nonsense",
        "fit",
        "fit x.npy",
        "fit x.npy --model m --levels 0",
        "fit x.npy --model m --levels two",
        "fit x.npy --model m --clusters 4,,4",
        "fit x.npy --model m --clusters 4,0",
        "fit x.npy --model m --clusters 4,4 --levels 3",
        "fit x.npy --model m --metric manhattan",
        "fit x.npy --model m --seed -1",
        "encode x.npy --model model",
        "encode x.npy --model model --out - --format html",
        "info",
    ],
)
def test_usage_errors(here, arguments):
    done = run(*arguments.split(), cwd=here)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert "Traceback" not in done.stderr
    assert not (here / "m").exists()


def test_debug_shows_the_traceback(here):
    done = run("info", "nowhere", cwd=here, env={"SEMANTIC_ID_DEBUG": "1"})
    assert done.returncode == 1
    assert "Traceback" in done.stderr


# Bad embeddings. (test_tables.py has every fault of every format.)


def test_embeddings_that_are_not_there(here):
    fails("fit", "nope.npy", "--model", "m", cwd=here, words=["nope.npy: No such file", "check the path"])
    fails("fit", "model", "--model", "m", cwd=here, words=["model: is a directory without .parquet files"])
    fails("encode", "nope.npy", "--model", "model", "--out", "ids.csv", cwd=here, words=["nope.npy"])


def test_ragged_csv(here):
    (here / "x.csv").write_text("id,a,b\nq,1,2\nr,3\n")
    words = ["x.csv: line 3 has 2 cells, line 1 has 3"]
    fails("fit", "x.csv", "--clusters", "1", "--model", "m", cwd=here, words=words)
    fails("encode", "x.csv", "--model", "model", "--out", "ids.csv", cwd=here, words=words)


def test_nan_in_the_middle(here):
    x = X.copy()
    x[137, 2] = np.nan
    np.save(here / "nan.npy", x)
    (here / "ids.csv").write_text("old")
    fails("fit", "nan.npy", *FIT, "--model", "model", cwd=here, words=["nan.npy", "NaN or Inf", "137"])
    fails("encode", "nan.npy", "--model", "model", "--out", "ids.csv", cwd=here, words=["nan.npy", "row 137"])
    for out in ("ids.csv", "ids.jsonl"):
        write_embeddings(here / "nan.jsonl", x)
        words = ["nan.jsonl", "line 138", "number 3"]
        fails("encode", "nan.jsonl", "--model", "model", "--out", out, cwd=here, words=words)


def test_wrong_type(here):
    np.save(here / "text.npy", np.array([["a", "b"]]))
    fails("fit", "text.npy", "--clusters", "1", "--model", "m", cwd=here, words=["dtype <U1", "want floats"])
    np.save(here / "flat.npy", X[0])
    fails("encode", "flat.npy", "--model", "model", "--out", "-", cwd=here, words=["shape (6,)", "2-D"])


def test_wrong_width(here):
    np.save(here / "wide.npy", np.ones((4, 7), np.float32))
    words = ["wide.npy", "D=6", "D=7"]
    for out in ("ids.csv", "-"):
        fails("encode", "wide.npy", "--model", "model", "--out", out, cwd=here, words=words)


def test_more_clusters_than_rows(here):
    fails("fit", "x.npy", "--clusters", "301", "--model", "m", cwd=here, words=["x.npy", "301", "300"])


def test_a_zero_row_under_cosine(here):
    x = X.copy()
    x[7] = 0
    np.save(here / "zero.npy", x)
    words = ["zero.npy", "7"]
    fails("fit", "zero.npy", *FIT, "--metric", "cosine", "--model", "m", cwd=here, words=words)


# Bad models.


def bad_model(here, name):
    """Damage here/model in the way `name` says; return words the complaint must have."""
    metadata, codebooks = here / "model" / "metadata.json", here / "model" / "codebooks.npz"
    meta = json.loads(metadata.read_text())
    if name == "missing":
        shutil.rmtree(here / "model")
    elif name == "file":
        shutil.rmtree(here / "model")
        (here / "model").write_text("hello")
    elif name == "empty directory":
        metadata.unlink()
        codebooks.unlink()
    elif name == "no codebooks":
        codebooks.unlink()
    elif name == "truncated codebooks":
        codebooks.write_bytes(codebooks.read_bytes()[:-100])
    elif name == "truncated metadata":
        metadata.write_bytes(metadata.read_bytes()[:-20])
    elif name == "flipped codebooks":
        flipped = bytearray(codebooks.read_bytes())
        flipped[len(flipped) // 2] ^= 1
        codebooks.write_bytes(flipped)
    elif name == "flipped setting":
        metadata.write_text(json.dumps({**meta, "metric": "cosine"}))
    elif name == "foreign":
        metadata.write_text('{"architectures": ["BertModel"], "hidden_size": 384}')
    elif name == "another type":
        metadata.write_text(json.dumps({**meta, "type": "Transformer"}))
    elif name == "newer version":
        metadata.write_text(json.dumps({**meta, "format_version": 99}))
        return ["99"]
    return []


@pytest.mark.parametrize(
    "damage",
    [
        "missing",
        "file",
        "empty directory",
        "no codebooks",
        "truncated codebooks",
        "truncated metadata",
        "flipped codebooks",
        "flipped setting",
        "foreign",
        "another type",
        "newer version",
    ],
)
def test_bad_models(here, damage):
    words = ["model", *bad_model(here, damage)]
    fails("info", "model", cwd=here, words=words)
    fails("encode", "x.npy", "--model", "model", "--out", "ids.csv", cwd=here, words=words)


# Places that cannot be written.


def test_model_path_that_is_a_file(here):
    (here / "taken").write_text("mine")
    fails("fit", "x.npy", *FIT, "--model", "taken", cwd=here, words=["taken", "is a file"])
    fails("fit", "x.npy", *FIT, "--model", "taken/model", cwd=here, words=["taken", "not a directory"])
    fails("fit", "x.npy", *FIT, "--model", "", cwd=here, words=["--model"])


def test_out_path_that_cannot_be(here):
    (here / "dir.csv").mkdir()
    write_embeddings(here / "x.csv")
    os.mkfifo(here / "fifo.csv")
    encode = ("encode", "x.npy", "--model", "model", "--out")
    fails(*encode, "dir.csv", cwd=here, words=["dir.csv", "is a directory"])
    fails(*encode, "fifo.csv", cwd=here, words=["fifo.csv", "not a regular file"])
    fails("encode", "x.csv", "--model", "model", "--out", "./x.csv", cwd=here, words=["x.csv", "embeddings itself"])
    fails(*encode, "ids.txt", cwd=here, words=["ids.txt", ".csv", ".parquet", ".jsonl"])
    fails(*encode, "nowhere/ids.csv", cwd=here, words=["nowhere", "does not exist"])


def test_read_only_directory(here):
    """As root, without the capability that lets root write everywhere."""
    prefix = ()
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root writes everywhere, and there is no setpriv (util-linux) to take that away")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    readonly = here / "readonly"
    readonly.mkdir()
    (readonly / "ids.csv").write_text("old")
    readonly.chmod(0o555)
    try:
        fails("fit", "x.npy", *FIT, "--model", "readonly/m", cwd=here, prefix=prefix, words=["readonly", "permission"])
        encode = ("encode", "x.npy", "--model", "model", "--out", "readonly/ids.csv")
        fails(*encode, cwd=here, prefix=prefix, words=["readonly/ids.csv: Permission denied", "choose another path"])
    finally:
        readonly.chmod(0o755)


@pytest.mark.parametrize("out", ["ids.csv", "ids.jsonl", "ids.parquet"])
def test_full_disk_while_writing_ids(here, out):
    """A limit on the size of files stands for the full disk; test_full_disk has a real one."""
    if out == "ids.parquet":
        pytest.importorskip("pyarrow")
    big = np.tile(X, (60, 1)) + np.arange(60 * N, dtype=np.float32)[:, None] % 7
    np.save(here / "big.npy", big)
    (here / out).write_text("old")
    words = [f"{out}: File too large"]
    fails("encode", "big.npy", "--model", "model", "--out", out, cwd=here, words=words, prefix=SMALL_FILES)


def test_full_disk_while_writing_a_model(here):
    np.save(here / "wide.npy", np.random.default_rng(0).normal(size=(50, 400)))
    arguments = ("fit", "wide.npy", "--levels", "1", "--clusters", "40", "--model", "model")
    fails(*arguments, cwd=here, words=["model", "File too large"], prefix=SMALL_FILES)


def test_full_disk(here):
    """A file system of 64 KiB: what was there stays, what could not be finished is gone."""
    small = here / "small"
    small.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a tmpfs takes root and mount")
    try:
        np.save(here / "big.npy", np.tile(X, (20, 1)))
        np.save(here / "wide.npy", np.random.default_rng(0).normal(size=(500, 400)))
        (small / "ids.csv").write_text("old")
        for out in ("small/ids.csv", "small/ids.jsonl"):
            words = [f"{out}: No space left on device; free some space"]
            fails("encode", "big.npy", "--model", "model", "--out", out, cwd=here, words=words)
        arguments = ("fit", "wide.npy", "--levels", "1", "--clusters", "400", "--model", "small/m")
        fails(*arguments, cwd=here, words=["small/m", "No space left on device", "free some space"])
    finally:
        subprocess.run(["umount", small], check=True)


def test_full_stdout(here):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "w") as full:
        arguments = [*COMMAND, "encode", "x.npy", "--model", "model", "--out", "-"]
        done = subprocess.run(arguments, cwd=here, stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
    assert done.returncode == 1
    one_line(done.stderr, ["No space left on device"])


# Pipes, terminals, signals.


def test_closed_stdout_and_stderr(here):
    info = " ".join([*COMMAND, "info", "model"])
    done = subprocess.run(["bash", "-c", f"{info} >&-"], cwd=here, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(["bash", "-c", f"{info}l 2>&-"], cwd=here, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (1, "")


def test_head(here):
    np.save(here / "big.npy", np.tile(X, (100, 1)))  # its ids are more than a pipe holds
    encode = " ".join([*COMMAND, "encode", "big.npy", "--model", "model", "--out", "-"])
    script = f"{encode} | head -n 2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=here, capture_output=True, encoding="utf-8")
    header, first, status = done.stdout.splitlines()
    assert header == "id,semantic_id,code_0,code_1,code_2"
    assert first.startswith("0,")
    assert status == "141"
    assert done.stderr == ""


@contextlib.contextmanager
def terminal(*arguments, cwd):
    """Run the command with stderr on a terminal; give the process and a function that returns what it has shown."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    shown = bytearray()

    def read():
        with contextlib.suppress(OSError):  # EIO once the other end is closed
            while data := os.read(ours, 4096):
                shown.extend(data)

    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=theirs, encoding="utf-8"
    )
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield process, lambda: shown.decode()
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
        reader.join()
        os.close(ours)


def finish(process):
    """Wait for the end and return the exit code and stdout."""
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


@pytest.fixture
def long_fit(tmp_path):
    """Arguments of a fit that takes some seconds, for one with a terminal or a signal."""
    np.save(tmp_path / "big.npy", np.random.default_rng(0).normal(size=(40_000, 64)).astype(np.float32))
    return ("fit", "big.npy", "--levels", "4", "--clusters", "512", "--tol", "0", "--model", "m")


def test_progress_on_a_terminal(here):
    """Fit shows that it reads; that it fits, test_signals_during_fit waits for."""
    np.save(here / "big.npy", np.tile(X, (100, 1)))
    with terminal("encode", "big.npy", "--model", "model", "--out", "ids.csv", cwd=here) as (process, shown):
        code, out = finish(process)
        time.sleep(0.1)
        assert (code, "30.0k" in shown()) == (0, True), shown()
    assert out.startswith("wrote 30,000 ids")
    write_embeddings(here / "x.csv")
    with terminal("fit", "x.csv", *FIT, "--model", "m", cwd=here) as (process, shown):
        code, _ = finish(process)
        time.sleep(0.1)
        assert (code, "read: " in shown()) == (0, True), shown()


def test_no_progress_in_a_pipe(here, long_fit):
    done = run("fit", long_fit[1], "--levels", "2", "--clusters", "64", "--max-iter", "2", "--model", "m", cwd=here)
    assert done.returncode == 0
    assert "\r" not in done.stderr
    assert [line.split(" did not")[0] for line in done.stderr.splitlines()] == [
        f"semantic-id: warning: level {level}" for level in range(2)
    ]
    assert ok("encode", "big.npy", "--model", "m", "--out", "ids.csv", cwd=here).startswith("wrote 40,000 ids")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_during_fit(tmp_path, long_fit, number, code):
    before = tree(tmp_path)
    with terminal(*long_fit, cwd=tmp_path) as (process, shown):
        deadline = time.monotonic() + 60
        while "level 1/4" not in shown():  # the fit has begun
            assert process.poll() is None, shown()
            assert time.monotonic() < deadline, shown()
            time.sleep(0.01)
        sent = time.monotonic()
        process.send_signal(number)
        assert finish(process) == (code, "")
        took = time.monotonic() - sent
        time.sleep(0.1)
        last = shown().replace("\r\n", "\n").rstrip("\n").replace("\r", "\n").split("\n")[-1]
    assert "Traceback" not in last
    assert last.endswith("semantic-id: interrupted" if number == signal.SIGINT else "semantic-id: terminated")
    assert took < 10
    assert tree(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.npy"]


# Faults that a process of its own cannot easily meet: main() in this one.


@pytest.mark.parametrize("out", ["ids.csv", "ids.jsonl", "ids.parquet"])
@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1), (MemoryError(), 1)],
)
def test_faults_between_two_blocks(here, monkeypatch, capsys, out, error, code):
    """The second block fails: the rows of the first must not be left anywhere."""
    if out == "ids.parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(here)
    monkeypatch.setattr("semantic_id._tables._BLOCK_ROWS", 100)
    (here / out).write_text("old")
    before = tree(here)
    encode, calls = RQKMeans.encode, []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return encode(self, *arguments)

    monkeypatch.setattr(RQKMeans, "encode", failing)
    assert cli.main(["encode", "x.npy", "--model", "model", "--out", out]) == code
    one_line(capsys.readouterr().err)
    assert len(calls) == 2
    assert tree(here) == before


def test_an_interrupted_save_leaves_no_model(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    before = tree(here)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("semantic_id._replace_dir.disk.sync", interrupted)
    for model in ("new", "model"):
        assert cli.main(["fit", "x.npy", *FIT, "--seed", "3", "--model", model]) == 130
        assert tree(here) == before
        assert sorted(path.name for path in here.iterdir()) == ["model", "x.npy"]
    assert capsys.readouterr().err == "semantic-id: interrupted\n" * 2


def test_parquet_out_without_pyarrow(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(["encode", "x.npy", "--model", "model", "--out", "ids.parquet"]) == 1
    one_line(capsys.readouterr().err, ["ids.parquet", "pip install 'semantic-id[parquet]'"])
    assert not (here / "ids.parquet").exists()


def test_ids_that_parquet_cannot_hold(here, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(here)
    write_embeddings(here / "x.jsonl", X[:2], [1, 2**70])
    assert cli.main(["encode", "x.jsonl", "--model", "model", "--out", "ids.parquet"]) == 1
    one_line(capsys.readouterr().err, ["64 bits", ".jsonl"])
    assert cli.main(["encode", "x.jsonl", "--model", "model", "--out", "ids.jsonl"]) == 0
    assert read_ids(here / "ids.jsonl")[0] == [1, 2**70]


def test_encode_with_a_store(tmp_path):
    """Items keep their ids, whatever else is in the file."""
    rows = [{"id": f"i{n}", "embedding": x.tolist()} for n, x in enumerate(X)]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, rows[100:0:-1])))
    (tmp_path / "twice.jsonl").write_text("\n".join(map(json.dumps, [*rows[:2], rows[0]])))
    np.save(tmp_path / "x.npy", X)
    ok("fit", "x.npy", "--model", "m", "--levels", 2, "--clusters", 5, cwd=tmp_path)
    encode = ("encode", "--model", "m", "--store", "ids.db", "--out")
    fails(*encode, "a.csv", "x.npy", cwd=tmp_path, words=("x.npy: has no ids to know items by", "--id-column"))
    said = ok(*encode, "a.jsonl", "all.jsonl", cwd=tmp_path)
    assert said == "wrote 300 ids, no two alike, for 25 distinct codes, to a.jsonl\n"
    ids = {r["id"]: r["semantic_id"] for r in map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())}
    assert len(set(ids.values())) == 300
    ok(*encode, "b.jsonl", "some.jsonl", cwd=tmp_path)
    again = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert [r["semantic_id"] for r in again] == [ids[f"i{n}"] for n in range(100, 0, -1)]
    fails(
        *encode, "c.csv", "twice.jsonl", cwd=tmp_path, words=("twice.jsonl: ", 'item key "i0" is at positions 0 and 2')
    )
    (tmp_path / "ids.db").write_text("no database " * 999)
    fails(*encode, "c.csv", "all.jsonl", cwd=tmp_path, words=("ids.db", "not a SQLite database"))
