"""Make digits.png and the figures in README.md anew: python docs/images/refresh.py, where semantic-id is installed.

To be run when a change to fits is meant; tests_py/test_demo.py tells.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
TABLE = re.compile(r"^codes shared .*\n(?:.+ %\n)+", flags=re.MULTILINE)

with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-m", "semantic_id.cli", "demo", "--out", folder]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    (HERE / "digits.png").write_bytes((Path(folder) / "digits.png").read_bytes())
found = TABLE.search(out)
assert found, out
README.write_text(TABLE.sub(lambda _: found[0], README.read_text(encoding="utf-8")), encoding="utf-8")
