"""`go test` with a short report: python tools/gotest.py NAME [go test's arguments].

Prints go's own closing line of each package, the whole output of a test that fails, and each skipped test with its
reason. If SEMANTIC_ID_REQUIRE_ALL is 1, a skipped test is a failure. The go it runs is the one on PATH.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict


def main(name: str, arguments: list[str]) -> int:
    run = subprocess.Popen(["go", "test", "-json", *arguments], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    outputs: dict[tuple[str, str], list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    print(f"== go test: {name}", flush=True)
    for line in run.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="", flush=True)
            continue
        action, test = event["Action"], event.get("Test", "")
        key = (event.get("Package", event.get("ImportPath", "")), test)
        if action in ("output", "build-output"):
            outputs[key].append(event["Output"])
            closing = not test and event["Output"].startswith(("ok ", "FAIL", "panic"))
            if closing or action == "build-output":
                print(event["Output"], end="", flush=True)
        elif action in ("pass", "fail", "skip") and test:
            counts[action] += 1
            text = "".join(outputs.pop(key, []))
            if action != "pass":
                print(f"--- {action.upper()}: {key[0]} {test}\n{text}", end="", flush=True)
        elif action == "fail":  # a package: what no test of it owns, such as a panic
            print("".join(text for k, lines in outputs.items() if k[0] == key[0] for text in lines), flush=True)
    failed = run.wait() != 0
    strict = os.environ.get("SEMANTIC_ID_REQUIRE_ALL") == "1"
    print(f"== go test: {name}: {counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped", flush=True)
    if strict and counts["skip"]:
        print("SEMANTIC_ID_REQUIRE_ALL=1: a skipped test is a failure", flush=True)
    return int(failed or (strict and counts["skip"] > 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
