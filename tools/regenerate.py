"""Makes all generated files anew and fails if one differs from what is checked in. The go it runs is the one on PATH.

A generated file says so in its first line. All are deleted before the generators run, so one that no generator makes
any more is found too. The tree is left as it was if a generator fails.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(rb"[^\n]*\b(?:[Cc]ode )?generated\b[^\n]*\bDO NOT EDIT\b", re.IGNORECASE)
GENERATORS = [["go", "generate", "./core/..."]]
SKIP = {"build", "dist", "_gopy", "testdata", "__pycache__", "results"}


def generated() -> dict[Path, bytes]:
    found = {}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in SKIP and not f.startswith(".")]
        for file in files:
            path = Path(folder, file)
            if path.suffix in (".go", ".s", ".c", ".h", ".py", ".pyi", ".md", ".ptx") and not path.is_symlink():
                with path.open("rb") as start:
                    if MARK.match(start.read(400)):
                        found[path] = path.read_bytes()
    return found


def main() -> int:
    before = generated()
    for path in before:
        path.unlink()
    try:
        for command in GENERATORS:
            subprocess.run(command, cwd=ROOT, check=True)
        after = generated()
    except (OSError, subprocess.CalledProcessError) as error:
        for path, content in before.items():
            path.write_bytes(content)
        print(error)
        return 1
    changed = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    for path in changed:
        old, new = (x.get(path, b"").decode(errors="replace").splitlines() for x in (before, after))
        diff = difflib.unified_diff(old, new, f"{path} (as it was)", f"{path} (made anew)", lineterm="")
        print("\n".join(list(diff)[:40]))
    print(f"generated files: {len(before)}, {len(changed)} changed")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
