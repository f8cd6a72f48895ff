"""The examples of docs/choosing.md run, and its settings are those that benchmarks/measure_vae_quality.py measures."""

import ast
import doctest
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "choosing.md"


def test_examples_and_measured_settings():
    names = {}
    test = doctest.DocTestParser().get_doctest(PAGE.read_text(encoding="utf-8"), names, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 8
    said = []
    failed, _ = doctest.DocTestRunner().run(test, out=said.append, clear_globs=False)
    assert not failed, "".join(said)

    source = (ROOT / "benchmarks" / "measure_vae_quality.py").read_text(encoding="utf-8")
    literal = re.search(r"^FEW: dict\[str, Any\] = (\{.*?^\})", source, flags=re.MULTILINE | re.DOTALL)[1]
    assert test.globs["FEW_COLLISIONS"] == ast.literal_eval(literal)
