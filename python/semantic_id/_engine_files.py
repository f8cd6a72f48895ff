"""The directory of an engine: engine_meta.json, encoder/ and resolver/. core/persist/format.md has the details."""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from . import _replace_dir
from ._files import _is_int64
from ._versions import check_version
from .algorithms import RQVAE, RQKMeans
from .exceptions import ModelFileError, SemanticIdError
from .uniqueness.resolver import CapacityResolver, SinkhornResolver, UniqueIdResolver
from .uniqueness.stores import InMemoryCollisionStore, SQLiteCollisionStore, counts_as_we_do

if TYPE_CHECKING:
    from .engine import SemanticIdEngine

_META, _ENCODER, _RESOLVER = "engine_meta.json", "encoder", "resolver"
_DATABASE, _CONTENTS = "collisions.db", "contents.json"
_FORMAT_VERSION = 1
_MAX_META = 1 << 20  # bytes
_ENCODERS: dict[str, Any] = {"RQKMeans": RQKMeans, "RQVAE": RQVAE}
_RESOLVERS: tuple[Any, ...] = (UniqueIdResolver, SinkhornResolver, CapacityResolver)


def save(engine: SemanticIdEngine, path: str) -> None:
    """Make `path` the directory of an engine, as a whole or not at all."""
    encoder, resolver = engine.encoder, engine.unique_resolver
    store: Any = getattr(resolver, "store", None)
    kind = next((name for name, cls in _ENCODERS.items() if isinstance(encoder, cls)), type(encoder).__name__)
    meta: dict[str, Any] = {"encoder_type": kind, "store_type": "other", "store_config": {}}
    if type(store) is SQLiteCollisionStore:
        meta |= {"store_type": "sqlite", "store_config": {"db_path": _DATABASE}}
    elif isinstance(store, InMemoryCollisionStore) and counts_as_we_do(store):
        meta["store_type"] = "in_memory"
    meta["resolver"] = _settings(resolver)
    meta |= {"version": engine.version, "format_version": _FORMAT_VERSION}

    def write(folder: str) -> None:
        encoder.save(os.path.join(folder, _ENCODER))
        files = [os.path.join(_ENCODER, "metadata.json")] * (kind in _ENCODERS)
        inside = os.path.join(folder, _RESOLVER)
        if meta["store_type"] == "in_memory":
            _replace_dir.disk.mkdir(inside)
            with _replace_dir.disk.create(os.path.join(inside, _CONTENTS)) as file:
                file.write(store._snapshot())
            files.append(os.path.join(_RESOLVER, _CONTENTS))
        elif meta["store_type"] == "sqlite" and not _same(store._path, os.path.join(path, _RESOLVER, _DATABASE)):
            _replace_dir.disk.mkdir(inside)
            store.backup(os.path.join(inside, _DATABASE))
            for side in ("-wal", "-shm"):  # empty ones, in place of those that a database in use there may have
                _replace_dir.disk.create(os.path.join(inside, _DATABASE + side)).close()
        sums = {name.replace(os.sep, "/"): _sha256(os.path.join(folder, name)) for name in files}
        with _replace_dir.disk.create(os.path.join(folder, _META)) as file:
            file.write(json.dumps(meta | {"sha256": sums}, indent=2, default=_plain).encode() + b"\n")

    _replace_dir.replace_dir(path, write)


def _settings(resolver: Any) -> dict[str, Any]:
    """Return the class of a resolver, and of ours what it was made with, but for the store."""
    kind = type(resolver)
    if kind not in _RESOLVERS:
        return {"type": kind.__name__}
    names = [name for name in inspect.signature(kind).parameters if name != "store"]
    return {"type": kind.__name__} | {name: getattr(resolver, name) for name in names}


def _plain(number: Any) -> Any:
    """Return a number of NumPy's as one of Python's."""
    return number.item()


def _same(a: str, b: str) -> bool:
    return os.path.exists(a) and os.path.exists(b) and os.path.samefile(a, b)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def load(cls: type[SemanticIdEngine], path: str, device: str, store: Any) -> SemanticIdEngine:
    """Read what `save` or semantic-id 0.2.5 wrote; while others save there, one of the engines they saved."""
    while True:
        _replace_dir.settle(path)
        before = _look(path)
        try:
            engine = _load(cls, path, before[1], device, store)
        except (OSError, ModelFileError):
            if _changed(path, before):
                continue
            raise
        if not _changed(path, before):
            return engine


def _look(path: str) -> tuple[tuple[int, int], bytes]:
    """Return what changes in the directory whenever it is saved to."""
    info = os.stat(path)
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"not a directory; pass the one that holds {_META}", path)
    try:
        with open(os.path.join(path, _META), "rb") as file:
            return (info.st_dev, info.st_ino), file.read(_MAX_META + 1)
    except FileNotFoundError as e:
        raise FileNotFoundError(errno.ENOENT, f"no {_META}; not the directory of a saved engine", path) from e


def _changed(path: str, before: tuple[tuple[int, int], bytes]) -> bool:
    try:
        return os.path.exists(os.path.join(path, _replace_dir.SAVED)) or _look(path) != before
    except OSError:
        return False


def _load(cls: type[SemanticIdEngine], path: str, raw: bytes, device: str, store: Any) -> SemanticIdEngine:
    meta = _parse(path, raw)
    encoder = _ENCODERS[meta["encoder_type"]].load(os.path.join(path, _ENCODER), device=device)
    for name, want in meta.get("sha256", {}).items():
        where = os.path.join(path, *name.split("/"))
        try:
            got = _sha256(where)
        except FileNotFoundError as e:
            raise FileNotFoundError(
                errno.ENOENT, "the engine is incomplete, copy the whole directory again", where
            ) from e
        if got != want:
            raise ModelFileError(
                f"{where}: damaged or of another engine (SHA-256 {got[:12]}.., in {_META} {want[:12]}..); "
                "copy the whole directory again"
            )
    if store is None:
        store = _load_store(path, meta)
    return cls(encoder, _resolver(path, meta, store), version=meta.get("version", ""))


def _load_store(path: str, meta: dict[str, Any]) -> Any:
    kind, inside = meta["store_type"], os.path.join(path, _RESOLVER)
    if kind == "sqlite":
        where = os.path.join(inside, os.path.basename(meta["store_config"].get("db_path", _DATABASE)))
        if not os.path.isfile(where):  # an empty one in its place would give ids out again
            raise FileNotFoundError(
                errno.ENOENT, "the database of the engine is missing, copy the whole directory again", where
            )
        return SQLiteCollisionStore(where)
    if kind == "in_memory":
        store = InMemoryCollisionStore()
        if f"{_RESOLVER}/{_CONTENTS}" in meta.get("sha256", {}):  # semantic-id 0.2.5 has none
            with open(os.path.join(inside, _CONTENTS), "rb") as file:
                store._contents = file.read()
        return store
    raise SemanticIdError(f"{path}: the store of this engine was not saved with it: pass it, load(path, store=...)")


def _resolver(path: str, meta: dict[str, Any], store: Any) -> Any:
    settings = dict(meta.get("resolver", {"type": "UniqueIdResolver"}))
    kind = settings.pop("type")
    cls = next((cls for cls in _RESOLVERS if cls.__name__ == kind), None)
    if cls is None:
        raise SemanticIdError(
            f"{path}: the engine had a resolver of a class {kind}, which cannot be loaded: make it anew, "
            f"SemanticIdEngine({meta['encoder_type']}.load({os.path.join(path, _ENCODER)!r}), {kind}(...))"
        )
    try:
        return cls(store=store, **settings)
    except TypeError as e:
        raise ModelFileError(f"{os.path.join(path, _META)}: not a valid file of an engine: {e}") from e


def _parse(path: str, raw: bytes) -> dict[str, Any]:
    where = os.path.join(path, _META)

    def error(what: str) -> ModelFileError:
        return ModelFileError(f"{where}: not a valid file of an engine: {what}")

    if len(raw) > _MAX_META:
        raise error(f"more than {_MAX_META} bytes")
    try:
        meta = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise error(f"not a JSON object: {e}") from e
    if not isinstance(meta, dict):
        raise error("not a JSON object")
    for key, kind in (("encoder_type", str), ("store_type", str), ("store_config", dict)):
        if not isinstance(meta.get(key), kind):
            raise error(f'"{key}" is {meta[key]!r:.40}' if key in meta else f'no key "{key}"')
    version = meta.get("format_version", 1)
    if not _is_int64(version) or version < 1:
        raise error(f'"format_version" is {version!r:.40}')
    if version > _FORMAT_VERSION:
        raise ModelFileError(
            f"{where}: engine written by a newer version: format_version {version}, this release reads up to "
            f"{_FORMAT_VERSION}; upgrade semantic-id"
        )
    if meta["encoder_type"] not in _ENCODERS:
        kind = meta["encoder_type"]
        raise SemanticIdError(
            f"{where}: the encoder is of a class {kind!r:.40}, which cannot be loaded: load it yourself, "
            f"SemanticIdEngine({kind}.load({os.path.join(path, _ENCODER)!r}), ...)"
        )
    sums, settings = meta.get("sha256", {}), meta.get("resolver", {"type": ""})
    if not isinstance(sums, dict) or not all(isinstance(v, str) and ".." not in k for k, v in sums.items()):
        raise error(f'"sha256" is {sums!r:.40}')
    if not isinstance(settings, dict) or not isinstance(settings.get("type"), str):
        raise error(f'"resolver" is {settings!r:.40}')
    if not isinstance(meta["store_config"].get("db_path", ""), str):
        raise error(f'"store_config" is {meta["store_config"]!r:.60}')
    try:
        check_version(meta.get("version", ""))
    except (TypeError, ValueError) as e:
        raise error(str(e)) from e
    return meta
