"""Builds the one shared library: gopy's bindings of core/facade with the C ABI of capi beside them.

gopy (pinned in go.mod here) writes Go shims, pybindgen writes the C that Python sees. Of both only what the flat facade
needs is kept, about a tenth: without strings, slices and classes there is nothing to convert, count or leak. What else
differs from gopy's own build, and why:

- The C side lets go of the GIL, not the Go side: two crossings between C and Go fewer, 0.27 µs a call instead of 0.34.
- No facade.py and go.py of gopy's, which change the working directory at import; ours names the same functions.
- The extension keeps to Python's stable ABI (pyabi/Python.h): one file for 3.10 and all later ones, no Python headers.
- It exports the module's entry and the C ABI and nothing else, so two Go libraries in a process do not mix.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import golang
from golang import ROOT, BuildError

MODULE = "github.com/semantic-id/semantic-id"
EXTENSION = "_native.abi3.so"
FILES = ("__init__.py", "facade.py", EXTENSION)  # the package semantic_id._gopy
EXPORTS = ["PyInit__native", "sid_*"]  # all that the library shows, of the first only the extension


def check_platform() -> None:
    """Ends with a message on a platform there is no build for."""
    if platform.system() == "Windows":
        raise BuildError("there is no build for Windows yet. It runs under WSL 2.")
    if platform.python_implementation() != "CPython":
        raise BuildError(f"it needs CPython, this is {platform.python_implementation()}.")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise BuildError("there is no build for free-threaded Python yet. Use the ordinary build of the same version.")
    if struct.calcsize("P") != 8:
        raise BuildError("it needs a 64-bit Python.")
    if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") + (sysconfig.get_config_var("SOABI") or ""):
        raise BuildError(
            "there is no build for musl (Alpine Linux): the Go runtime cannot be loaded into a running process there. "
            "Use an image with glibc, such as one of Debian's."
        )


def compiler() -> list[str]:
    """The C compiler, CC if that is set, after a trial."""
    given = os.environ.get("CC", "").split()
    for command in [given] if given else [["gcc"], ["cc"], ["clang"]]:
        if shutil.which(command[0]) is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "trial.c")
            program = str(Path(folder, "trial"))
            source.write_text("#include <pthread.h>\n#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
            trial = subprocess.run([*command, str(source), "-o", program], capture_output=True, text=True)
        if trial.returncode == 0:
            return command
        raise BuildError(
            f"the C compiler {' '.join(command)} cannot build a small program:\n{trial.stderr}\n"
            "Headers may be missing (Debian and Ubuntu: apt-get install libc6-dev; Fedora: dnf install glibc-devel)."
        )
    raise BuildError(
        f"building needs a C compiler, and {' '.join(given) or 'gcc, cc or clang'} is not there. Install one (Debian "
        "and Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc glibc-devel), or set CC."
    )


@contextmanager
def workplace() -> Iterator[Path]:
    """The folder all that is generated goes to, held by one build at a time. Its underscore hides it from `./...`."""
    folder = ROOT / "build" / "_native"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


class Toolchain:
    """Go and the C compiler, found once."""

    def __init__(self) -> None:
        cc = compiler()
        self.go = golang.need()
        self.env = self.go.environ() | {"CGO_ENABLED": "1", "CC": " ".join(cc)}

    def run(self, *command: str, cwd: Path = ROOT) -> None:
        """Runs a command; its output is shown only if it fails."""
        done = subprocess.run(command, cwd=cwd, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            output = done.stdout + done.stderr
            raise BuildError(f"{' '.join(command)}\nin {cwd} ended with {done.returncode}:\n{output}")

    def tool(self, package: str) -> str:
        """Builds a program that tools/go.mod pins."""
        out = ROOT / "build" / "_tools" / package.rsplit("/", 1)[-1]
        self.run("go", "build", "-trimpath", "-o", str(out), package, cwd=ROOT / "tools")
        return str(out)

    def library(self, package: str, out: Path, exports: list[str]) -> None:
        """Links the package main at a path as a shared library that exports those names and no others."""
        out.parent.mkdir(exist_ok=True)
        names = out.with_suffix(".exports")
        if sys.platform == "darwin":
            names.write_text("".join(f"_{name}\n" for name in exports), encoding="utf-8")
            option = f"-Wl,-exported_symbols_list,{names}"
        else:
            names.write_text(f"{{ global: {' '.join(f'{name};' for name in exports)} local: *; }};\n", encoding="utf-8")
            option = f"-Wl,--version-script={names}"
        flags = f"-ldflags=-s -w -buildid= \"-extldflags='{option}'\""  # both quotes: paths with spaces
        self.run("go", "build", "-trimpath", flags, "-buildmode=c-shared", "-o", str(out), package)


def build_extension(folder: Path) -> None:
    """Makes folder the importable package `_gopy`."""
    check_platform()
    tools = Toolchain()
    with workplace() as work:
        out = work / "out"
        names = generate(tools, work)
        tools.library(f"./{work.relative_to(ROOT)}", out / EXTENSION, EXPORTS)
        (out / "__init__.py").write_text("", encoding="utf-8")
        (out / "facade.py").write_text(names, encoding="utf-8")
        install_extension(out, folder)


def install_extension(built: Path, folder: Path) -> None:
    """Copies the package; each file appears whole, as a process may have the old one mapped."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(built / name, folder / f"{name}.new")
        os.replace(folder / f"{name}.new", folder / name)


def generate(tools: Toolchain, work: Path) -> str:
    """Writes native.go and native.c, and returns the text of facade.py."""
    gopy = work / "gopy"
    shutil.rmtree(gopy, ignore_errors=True)
    options = [f"-output={gopy}", "-name=native", f"-vm={sys.executable}", "-no-make"]
    tools.run(tools.tool("github.com/go-python/gopy"), "gen", *options, "./core/facade")
    (work / "native.go").write_text(go_source((gopy / "native.go").read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copy(ROOT / "tools" / "pyabi" / "Python.h", work)

    # The header of the Go functions, without a link: cgo's part of a build.
    (work / "cgo").mkdir(exist_ok=True)
    tools.run("go", "tool", "cgo", "-objdir", f"{work / 'cgo'}/", "-exportheader", "native_go.h", "native.go", cwd=work)

    (work / "build.py").write_text(pybindgen_source((gopy / "build.py").read_text(encoding="utf-8")), encoding="utf-8")
    tools.run(sys.executable, "build.py", cwd=work)
    return python_source((gopy / "facade.py").read_text(encoding="utf-8"))


def go_source(generated: str) -> str:
    """gopy's shims of the functions of the facade, without its preamble and its own releasing and taking of the GIL.

    gopy's order differs from run to run; sorted, equal sources give an equal library.
    """
    shims = "\n".join(f"//export facade_{f.rstrip()}\n" for f in sorted(generated.split("//export facade_")[1:]))
    gil = "\t_saved_thread := C.PyEval_SaveThread()\n\tdefer C.PyEval_RestoreThread(_saved_thread)\n"
    if shims.count(gil) != shims.count("//export "):
        raise BuildError("gopy's Go code is not of the form that tools/native.py knows")
    for name in ("gopyh.", "C.CString", "unsafe.", "C.Py"):
        if name in shims.replace(gil, ""):
            raise BuildError(f"core/facade must keep to int64, uint64 and float64: its bindings use {name}")
    return f"""// Code generated by tools/native.py from gopy's output. DO NOT EDIT.

package main

/*
#cgo CFLAGS: -I${{SRCDIR}}
#cgo linux LDFLAGS: -Wl,-unresolved-symbols=ignore-all
#cgo darwin LDFLAGS: -Wl,-undefined,dynamic_lookup
*/
import "C" // Python's symbols stay open: the program that loads the library has them

import (
	_ "{MODULE}/capi" // the C ABI joins the library
	"{MODULE}/core/facade"
)

func main() {{}}

func boolPyToGo(b C.char) bool {{ return b != 0 }}

{shims.replace(gil, "")}"""


def pybindgen_source(generated: str) -> str:
    """gopy's program for pybindgen with the facade's functions only, each letting go of the GIL while it runs."""
    calls = sorted(re.findall(r"^add_checked_function\(mod, 'facade_.*$", generated, re.MULTILINE))
    return "\n".join(
        [
            "from pybindgen import Module, param, retval",
            "",
            "def add_checked_function(mod, name, result, params):",
            "    mod.add_function(name, result, params, unblock_threads=True)",
            "",
            "mod = Module('_native')",
            "mod.add_include('\"native_go.h\"')",
            *calls,
            "with open('native.c', 'w') as out:",
            "    mod.generate(out)",
            "",
        ]
    )


def python_source(generated: str) -> str:
    """The module that names the functions as the facade does, and its constants."""
    lines = [
        '"""The calls of core/facade. Generated by tools/native.py from gopy\'s output; do not edit."""',
        "",
        "from . import _native",
        "",
    ]
    lines += re.findall(r"^[A-Z]\w* = -?\d+$", generated, re.MULTILINE)
    for name, parameters in sorted(re.findall(r"^def ([A-Z]\w*)\((.*)\):$", generated, re.MULTILINE)):
        if "goRun=False" in parameters:  # gopy's offer to run what returns nothing in a goroutine: not taken
            passed = parameters.replace("goRun=False", "False")
            given = parameters.replace("goRun=False", "").strip(", ")
            lines += ["", f"def {name}({given}):", f"    _native.facade_{name}({passed})", ""]
        else:
            lines.append(f"{name} = _native.facade_{name}")
    return "\n".join(lines) + "\n"


def build_c_library(out: Path) -> None:
    """The C ABI alone, with its header beside it."""
    tools = Toolchain()
    with workplace() as work:
        tools.library("./capi/libsemanticid", work / "out" / out.name, EXPORTS[1:])
        os.replace(work / "out" / out.name, out)
        shutil.copy(ROOT / "capi" / "semantic_id.h", out.parent)


if __name__ == "__main__":
    if sys.argv[1:] != ["libsemanticid"]:
        sys.exit("usage: python tools/native.py libsemanticid")
    build_c_library(ROOT / "build" / ("libsemanticid.dylib" if sys.platform == "darwin" else "libsemanticid.so"))
