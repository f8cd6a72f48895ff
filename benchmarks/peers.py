"""The other programs' virtual environments, and worker processes in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

# What each environment holds. semantic-id 0.2.5 has the name of this package, so it needs one to itself.
ENVIRONMENTS = {
    "semantic-id-0.2.5": ["semantic-id==0.2.5"],
    "peers": ["faiss-cpu==1.15.1", "scikit-learn==1.9.1", "superkmeans==0.2.0"],
    "k-means-constrained": ["k-means-constrained==0.9.1"],
}
_PAUSE = 0.2  # seconds before each turn, in which the threads of the program before it go to sleep


class MissingError(Exception):
    """Something that a measurement needs is not here; the text says what."""


def python_of(program: str) -> str:
    """Return the interpreter to run `program` with; an environment that lacks is made first."""
    if program.startswith("ours"):
        return sys.executable
    name = "semantic-id-0.2.5" if program.startswith("0.2.5") else program if program in ENVIRONMENTS else "peers"
    folder = HERE / f".venv-{name}"
    python = folder / "bin" / "python"
    made = folder / ".made"
    wanted = "\n".join(ENVIRONMENTS[name])
    if not made.exists() or made.read_text() != wanted:
        print(f"making an environment for {', '.join(ENVIRONMENTS[name])}", flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, *ENVIRONMENTS[name]], check=True)
        except subprocess.CalledProcessError as error:
            raise MissingError(f"{', '.join(ENVIRONMENTS[name])} did not install") from error
        made.write_text(wanted)
    return str(python)


def environ(threads: int) -> dict[str, str]:
    """The environment variables of every process measured."""
    names = ("OMP", "OPENBLAS", "MKL", "SEMANTIC_ID")
    return os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names} | {"GOMAXPROCS": str(threads)}


class Worker:
    """A program in a process of its own, which answers one request at a time. See worker.py for the requests."""

    def __init__(self, program: str, data: Path | int, rows: int, threads: int) -> None:
        self.program = program
        self._process = subprocess.Popen(
            [python_of(program), str(HERE / "worker.py"), program, str(data), str(rows), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ(threads),
            cwd=HERE,  # not the repository's root: nothing there is to be imported
            text=True,
        )
        self.versions = str(self._answer())

    def ask(self, task: str, **arguments: Any) -> float:
        """Return the answer to a request of worker.py."""
        assert self._process.stdin is not None
        time.sleep(_PAUSE)
        self._process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return 0.0 if answer is None else float(answer)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.program} ended with exit code {self._process.wait()}; its last words are above")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
