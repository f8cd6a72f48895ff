"""Runs a command beside a PostgreSQL server of its own: python tools/postgres.py COMMAND [ARGUMENT ...]

The server has a new data folder, listens on a free port of the loopback address and ends with the command, which finds
its URL in SEMANTIC_ID_POSTGRES. Where there is no PostgreSQL (Debian: apt-get install postgresql) the command runs all
the same, and the tests that need a server are skipped. Imports the standard library only.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

URL = "SEMANTIC_ID_POSTGRES"


def programs() -> Path | None:
    """Return the folder of initdb: Debian's newest, as it is not on PATH there, or the one on PATH."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = sorted(debian, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def server(bin: Path) -> Iterator[str]:
    """Run a server and give its URL. Root cannot run one: it is then another user's."""
    user: dict[str, Any] = {}
    home = tempfile.mkdtemp(prefix="postgres-for-tests-")
    try:
        if os.geteuid() == 0:
            name = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
            entry = pwd.getpwnam(name)
            user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(home, entry.pw_uid, entry.pw_gid)
        password, data, secret = secrets.token_hex(16), f"{home}/data", f"{home}/password"
        os.close(os.open(secret, os.O_CREAT, 0o600))
        Path(secret).write_text(password)
        if user:
            os.chown(secret, user["user"], user["group"])
        initdb = [bin / "initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", f"--pwfile={secret}",
                  "-E", "UTF8", "--no-locale", "--no-sync"]  # fmt: skip
        subprocess.run(initdb, stdout=subprocess.DEVNULL, check=True, cwd=home, **user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 60,
                   "log_min_messages": "fatal"}  # fmt: skip
        command = [bin / "postgres", "-D", data, *(x for k, v in options.items() for x in ("-c", f"{k}={v}"))]
        with open(f"{home}/log", "w") as log:
            process = subprocess.Popen(command, cwd=home, stderr=log, start_new_session=True, **user)
        try:
            _wait(process, port, f"{home}/log")
            yield f"postgresql://tester:{password}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    finally:
        shutil.rmtree(home)


def _wait(process: subprocess.Popen[bytes], port: int, log: str) -> None:
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"PostgreSQL did not start:\n{Path(log).read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("PostgreSQL did not start in 30 seconds")


def main(command: list[str]) -> int:
    bin = programs()
    if URL in os.environ or bin is None:
        return subprocess.run(command).returncode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with server(bin) as url:
        return subprocess.run(command, env=os.environ | {URL: url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
