"""Builds the extension of semantic-id; everything that is not about it stands in pyproject.toml."""

import re
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PACKAGE = "semantic_id/_gopy"
sys.path.insert(0, str(ROOT / "tools"))

import native  # noqa: E402  (tools/native.py)

native.check_platform()


class BuildNative(build_ext):
    """Makes the package semantic_id._gopy: in the build folder, and for an editable install also in the source tree."""

    def build_extension(self, ext: Extension) -> None:
        native.build_extension(Path(self.build_lib, PACKAGE).resolve())

    def copy_extensions_to_source(self) -> None:
        native.install_extension(Path(self.build_lib, PACKAGE), ROOT / "python" / PACKAGE)

    def get_outputs(self) -> list[str]:
        return [str(Path(self.build_lib, PACKAGE, name)) for name in native.FILES]

    def get_output_mapping(self) -> dict[str, str]:
        return {built: str(ROOT / "python" / PACKAGE / Path(built).name) for built in self.get_outputs()}


def version() -> str:
    """The one place that says it is core/version.go."""
    source = (ROOT / "core" / "version.go").read_text(encoding="utf-8")
    match = re.search(r'^const Version = "(.+)"$', source, re.MULTILINE)
    assert match is not None
    return match[1]


# A wheel takes in all of build/lib, so modules that are gone from the tree must be gone from there too.
for old in (ROOT / "build").glob("lib*"):
    if old.is_dir():
        shutil.rmtree(old)

setup(
    version=version(),
    ext_modules=[Extension("semantic_id._gopy._native", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
