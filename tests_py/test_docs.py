"""Docstrings: the examples run, the sections are those of numpydoc; and what type checkers see."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest
import semantic_id
from numpydoc.validate import validate

MODULES = [
    info.name for info in pkgutil.walk_packages(semantic_id.__path__, "semantic_id.") if "._gopy" not in info.name
]
# Of numpydoc's checks, not these: where the first line stands, how it ends and how long it is; the extended summary;
# the name of a single result, which scikit-learn gives too; sections that would say nothing.
UNWANTED = "GL01 GL02 GL03 SS03 SS05 SS06 ES01 RT01 RT02 RT03 YD01 SA01 SA04 EX01 PR01".split()  # noqa: SIM905


def public():
    """Names of all public classes, functions and methods, by the innermost public module that says them."""
    seen = set()
    for module in (*sorted(MODULES, key=lambda name: -name.count(".")), "semantic_id"):
        if any(part.startswith("_") for part in module.split(".")):
            continue
        for name in getattr(importlib.import_module(module), "__all__", ()):
            value = getattr(importlib.import_module(module), name)
            ours = str(getattr(value, "__module__", "")).startswith("semantic_id")
            if callable(value) and ours and value not in seen:
                seen.add(value)
                yield f"{module}.{name}"
                for method, attribute in vars(value).items() if isinstance(value, type) else ():
                    if not method.startswith("_") and (callable(attribute) or isinstance(attribute, classmethod)):
                        yield f"{module}.{name}.{method}"


@pytest.mark.parametrize("module", ["semantic_id", *MODULES])
def test_examples(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples():
    attempted = {m: len(doctest.DocTestFinder().find(importlib.import_module(m))) for m in MODULES}
    assert attempted["semantic_id.algorithms.rq_kmeans"] > 5


@pytest.mark.parametrize("name", sorted(public()))
def test_numpydoc(name):
    faults = [f"{code} {text}" for code, text in validate(name)["errors"] if code not in UNWANTED]
    assert faults == []


def test_type_checkers_see_the_types(tmp_path):
    user = tmp_path / "user.py"
    user.write_text(
        "import numpy as np\n"
        "from semantic_id import RQKMeans, ids_to_codes\n"
        "model = RQKMeans(n_levels=2, n_clusters=[3, 4]).fit(np.eye(5))\n"
        "reveal_type(model.encode(np.eye(5)))\n"
        "reveal_type(model.semantic_id([[1, 2]]))\n"
        "reveal_type(model.codebooks_)\n"
        "RQKMeans(n_levels='two')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(user)]
    out = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "numpy.ndarray[" in out
    assert 'Revealed type is "list[str]"' in out
    assert 'Revealed type is "list[numpy.ndarray[' in out
    assert 'incompatible type "str"; expected "int"' in out
    assert "Found 1 error" in out
