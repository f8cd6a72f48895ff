"""The examples of docs/metrics.md run, and give what it says; it has all metrics."""

import doctest
import re
from pathlib import Path

from semantic_id.utils import changes, metrics

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"


def test_examples():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 30
    said = []
    failed, _ = doctest.DocTestRunner().run(test, out=said.append)
    assert not failed, "".join(said)


def test_every_metric_has_an_example():
    text = PAGE.read_text(encoding="utf-8")
    apart = {"evaluate_quality", "hierarchical_distance", "find_similar", "compare"}
    for name in {*metrics.__all__, *changes.__all__} - apart:
        assert re.search(rf"^>>> .*\b{name}\(", text, flags=re.MULTILINE), name
