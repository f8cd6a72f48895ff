"""The door to the native library: its functions, its errors, and the platforms it does not run on."""

import importlib
import inspect
import re
import sys

import numpy as np
import pytest
from semantic_id import _native, _native_metrics, _native_resolve, _native_rqvae, _native_sinkhorn, _native_stores
from semantic_id._facade import Facade
from semantic_id.exceptions import (
    CodeError,
    DeviceError,
    DivergenceError,
    ModelFileError,
    NativeLibraryError,
    SemanticIdError,
    ShapeMismatchError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
)

FUNCTIONS = [name for name, value in vars(Facade).items() if inspect.isfunction(value) and name[0].isupper()]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_type_of_the_extension_is_that_of_the_extension(name):
    extension = importlib.import_module("semantic_id._gopy._native")
    text = getattr(extension, f"facade_{name}").__doc__
    types = dict(re.findall(r"type: (\w+): (\w+)", text))
    types.pop("goRun", None)  # gopy's own, of functions that return nothing
    signature = inspect.signature(getattr(Facade, name))
    ours = {p.name: p.annotation for p in signature.parameters.values() if p.name != "self"}
    assert list(types) == list(ours)
    assert {n: float if t == "double" else int for n, t in types.items()} == ours
    assert callable(getattr(importlib.import_module("semantic_id._gopy.facade"), name))


def test_all_functions_in_use_are_in_the_type():
    modules = (_native, _native_metrics, _native_resolve, _native_rqvae, _native_sinkhorn, _native_stores)
    source = "".join(map(inspect.getsource, modules))
    assert set(re.findall(r"\b_?lib\.([A-Z]\w+)", source)) == set(FUNCTIONS)


def test_kinds_are_those_of_the_facade():
    facade = importlib.import_module("semantic_id._gopy.facade")
    want = {
        "Param": ValueError,
        "Shape": ShapeMismatchError,
        "NotFinite": ValueError,
        "ZeroRow": ValueError,
        "Code": CodeError,
        "Format": ModelFileError,
        "Type": ValueError,
        "Version": ModelFileError,
        "Handle": SemanticIdError,
        "Device": DeviceError,
        "IO": OSError,
        "Internal": SemanticIdError,
        "Store": StoreError,
        "Locked": StoreLockedError,
        "ReadOnly": StoreReadOnlyError,
        "Corrupt": StoreCorruptError,
        "Diverged": DivergenceError,
    }
    assert {getattr(facade, f"Kind{name}"): error for name, error in want.items()} == _native._EXCEPTIONS
    assert facade.KindCanceled == _native._CANCELED
    words = [getattr(facade, f"Control{word}") for word in ("Cancel", "Level", "Done", "Len")]
    ours = [_native._CANCEL, _native._LEVEL, _native._DONE, _native._CONTROL_WORDS]
    assert words == ours
    assert (facade.FlagNotConverged, facade.FlagNotDistinct) == (_native.NOT_CONVERGED, _native.NOT_DISTINCT)
    assert (facade.StylePlain, facade.StyleToken) == tuple(range(len(_native.STYLES)))


def test_texts_of_errors():
    text = np.zeros(_native._TEXT_BYTES, np.uint8)
    raw = "rqkmeans: Ünfug".encode()
    text[: len(raw)] = np.frombuffer(raw, np.uint8)
    with pytest.raises(CodeError, match=r"^Ünfug$"):
        _native._raise(5, text)
    with pytest.raises(SemanticIdError):
        _native._raise(99, text)
    text[len(raw) - 4] = 0xC3  # cut inside a character
    text[len(raw) - 3 :] = 0
    with pytest.raises(ValueError, match=r"\ufffd$"):
        _native._raise(1, text)


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        (("win32", "", False), "Linux and macOS, not on win32; on Windows use WSL"),
        (("linux", "", False), r"glibc.*Debian"),
        (("linux", "musl", False), "Alpine"),
        (("linux", "glibc", True), "free-threaded"),
        (("darwin", "", True), "free-threaded"),
    ],
)
def test_platforms_without_a_library(platform, words, monkeypatch):
    assert re.search(words, _native.unsupported(*platform))
    monkeypatch.setattr(_native, "unsupported", lambda *args: "no library here")
    with pytest.raises(NativeLibraryError, match="no library here") as caught:
        _native._import_extension()
    assert isinstance(caught.value, SemanticIdError)
    assert isinstance(caught.value, ImportError)


def test_platforms_with_a_library():
    assert _native.unsupported("linux", "glibc", False) == ""
    assert _native.unsupported("darwin", "", False) == ""


def test_a_missing_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "semantic_id._gopy.facade", None)
    with pytest.raises(NativeLibraryError, match=r"does not load .*pip install \..*wheel for Python 3"):
        _native._import_extension()


def test_a_library_of_another_version(monkeypatch):
    monkeypatch.setattr(_native, "_lib", _native._Unloaded())
    monkeypatch.setattr(_native, "__version__", "0.0.1")
    with pytest.raises(NativeLibraryError, match=r"library is of version .*, semantic_id of 0\.0\.1: install it anew"):
        _native.num_threads()


def test_loading_keeps_the_working_directory_and_prints_nothing(python, tmp_path):
    out = python(
        f"""
        import os
        os.chdir({str(tmp_path)!r})
        import semantic_id
        semantic_id.RQKMeans().semantic_id([[1, 2]])
        print(os.getcwd())
        """
    )
    assert out == f"{tmp_path}\n"
