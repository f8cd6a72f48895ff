"""Replace a whole directory, all or nothing: core/persist/replace.go in Python, step by step the same (format.md)."""

import ctypes
import errno
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import BinaryIO

_SAVING = ".semantic-id-saving-"  # begins the names of unfinished directories; beside the model, "." and its name first
SAVED = ".semantic-id-saved"  # inside a directory: a complete newer model whose files are being moved into place


class Disk:
    """Every call of a save that changes the file system. Tests put one in place that fails at the n-th call."""

    def mkdir(self, path: str) -> None:
        os.mkdir(path)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def create(self, path: str) -> BinaryIO:
        return open(path, "xb")

    def sync(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        except OSError as e:  # some file systems have no fsync for directories
            if not (os.path.isdir(path) and e.errno in (errno.EINVAL, errno.ENOTSUP)):
                raise
        finally:
            os.close(fd)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def exchange(self, a: str, b: str) -> None:
        _exchange(a, b)

    def remove_tree(self, path: str) -> None:
        shutil.rmtree(path)


disk = Disk()


def replace_dir(path: str, write: Callable[[str], None]) -> None:
    """Make the directory `path` hold what `write` puts into the empty directory it is given, and make it last.

    Whatever fails and whenever the machine stops, `path` holds the old contents or the new ones, whole. Missing parents
    are made; a symbolic link is followed. Files that `write` does not write stay. Of several savers at once the last
    one wins. `write` may be called twice, each time for another directory, and need not sync.

    The new directory is written beside `path` and swapped with it. Where that cannot be - `path` holds other files too,
    is the working directory or a mount point, belongs to someone else, its parent is not writable, or the system has
    no such swap - it is written inside `path`, committed by one rename, and moved into place file by file; readers look
    there first.
    """
    try:
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        target = os.path.realpath(path)
        _make_parents(os.path.dirname(target))
        _Replacement(target, write).run()
    except OSError as e:
        if e.errno is None:
            raise
        raise OSError(e.errno, f"{e.strerror}, while saving {path}{_remedy(e)}", e.filename) from e


def settle(path: str) -> None:
    """Finish a save of `path` that was committed inside it and whose files are still being moved, if there is one."""
    target = os.path.realpath(path)
    if os.path.isdir(os.path.join(target, SAVED)):
        with ExitStack() as cleanup:
            cleanup.callback(_unlock, _lock_dir(target))
            _Replacement(target, lambda folder: None)._settle()


def _remedy(e: OSError) -> str:
    """End the message of a failed save with what to do about it."""
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; free some space and save again"
    if e.errno == errno.EROFS:
        return "; the file system is read-only, save to another directory"
    if isinstance(e, PermissionError):
        return "; save to a directory you may write to, or change its permissions"
    if isinstance(e, (FileExistsError, NotADirectoryError)):
        return "; a model is saved as a directory, choose a path that is not a file"
    return ""


class _InsideOnlyError(Exception):
    """The directory cannot be swapped."""


class _Replacement:
    """One save: `write` is to fill `path`, absolute and without symbolic links."""

    def __init__(self, path: str, write: Callable[[str], None]) -> None:
        self.path = path
        self.write = write

    def run(self) -> None:
        parent, name = os.path.split(self.path)
        prefix = f".{name}{_SAVING}"
        _remove_leftovers(parent, prefix)
        try:
            self._beside(parent, prefix)
        except _InsideOnlyError:
            with ExitStack() as cleanup:
                cleanup.callback(_unlock, _lock_dir(self.path))
                self._inside(None)

    def _beside(self, parent: str, prefix: str) -> None:
        """Write the new directory next to the old one and swap the two."""
        old = _stat(self.path)
        if old is not None:
            if not stat.S_ISDIR(old.st_mode):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.path)
            if not _CAN_EXCHANGE or _is_working_dir(old) or parent == self.path:
                raise _InsideOnlyError
            # As creating a file in it would answer; swapping it does not ask for that permission.
            if not os.access(self.path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.path)
        with ExitStack() as cleanup:
            try:
                stage, lock = _new_stage(parent, prefix)
            except OSError:
                if old is not None:
                    raise _InsideOnlyError from None
                raise
            cleanup.callback(_unlock, lock)
            remove = cleanup.enter_context(ExitStack())
            remove.callback(_remove, stage)  # the unfinished new directory, or the old one
            if old is not None:
                made = os.fstat(lock)
                if (made.st_dev, made.st_uid, made.st_gid) != (old.st_dev, old.st_uid, old.st_gid):
                    raise _InsideOnlyError
                try:
                    disk.chmod(stage, stat.S_IMODE(old.st_mode))
                except OSError:
                    raise _InsideOnlyError from None
            self._fill(stage)
            while True:
                try:
                    target_lock = _lock_dir(self.path)
                except FileNotFoundError:
                    try:
                        disk.rename(stage, self.path)
                    except OSError as e:
                        if e.errno in (errno.EEXIST, errno.ENOTEMPTY):
                            continue  # another saver was faster: replace what it saved
                        raise
                    disk.sync(parent)
                    return
                cleanup.callback(_unlock, target_lock)
                if _compare(stage, self.path) or not self._exchanged(stage):
                    self._inside(stage)
                    return
                keep = remove.pop_all()  # while a power failure may undo the swap, what it swapped stays
                disk.sync(parent)
                keep.close()
                return

    def _exchanged(self, stage: str) -> bool:
        if not _CAN_EXCHANGE:
            return False
        try:
            disk.exchange(stage, self.path)
        except OSError:
            return False
        return True

    def _inside(self, stage: str | None) -> None:
        """Make the new directory part of `path`, whose lock is held, as SAVED, and move its files into place.

        `stage` holds the new directory, unless it is None.
        """
        self._settle()
        _remove_leftovers(self.path, _SAVING)
        journal = os.path.join(self.path, SAVED)
        if stage is None or not _renamed(stage, journal):  # from another file system, it is written again
            with ExitStack() as cleanup:
                stage, lock = _new_stage(self.path, _SAVING)
                cleanup.callback(_unlock, lock)
                cleanup.callback(_remove, stage)
                self._fill(stage)
                _compare(stage, self.path)
                disk.rename(stage, journal)
        disk.sync(self.path)
        self._settle()

    def _settle(self) -> None:
        """Move the files of a committed subdirectory SAVED, if there is one, into place."""
        journal = os.path.join(self.path, SAVED)
        if os.path.isdir(journal):
            self._move(journal, self.path)
            disk.remove_tree(journal)

    def _move(self, source: str, target: str) -> None:
        """Rename all files below `source` to the same places below `target`, and sync `target`."""
        for name in os.listdir(source):
            a, b = os.path.join(source, name), os.path.join(target, name)
            if os.path.isdir(a) and os.path.isdir(b):
                self._move(a, b)
            else:
                disk.rename(a, b)
        disk.sync(target)

    def _fill(self, stage: str) -> None:
        """Let `write` fill `stage` and bring it to the disk."""
        self.write(stage)
        for folder, _, files in os.walk(stage, onerror=_raise):
            disk.sync(folder)
            for name in files:
                disk.sync(os.path.join(folder, name))


def _new_stage(parent: str, prefix: str) -> tuple[str, int]:
    """Make an empty directory in `parent` and lock it, so that no other saver takes it for a leftover."""
    while True:
        stage = os.path.join(parent, prefix + os.urandom(8).hex())
        disk.mkdir(stage)
        try:
            return stage, _lock_dir(stage)
        except FileNotFoundError:  # one took it for a leftover before it was locked
            continue
        except BaseException:
            _remove(stage)
            raise


def _remove_leftovers(parent: str, prefix: str) -> None:
    """Remove what savers that died left in `parent`; those alive hold the lock of theirs."""
    try:
        names = os.listdir(parent)
    except OSError:
        return
    for name in names:
        path = os.path.join(parent, name)
        if not name.startswith(prefix) or os.path.islink(path) or not os.path.isdir(path):
            continue
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        if _flock(fd, wait=False):
            try:
                if _is_at(fd, path):
                    _remove(path)
            finally:
                _unlock(fd)
        else:
            os.close(fd)


def _remove(path: str) -> None:
    """Remove a tree of ours, if it is there. What cannot be removed waits for the next save."""
    if os.path.lexists(path):
        with suppress(OSError):
            disk.remove_tree(path)


def _compare(stage: str, path: str) -> bool:
    """Return whether `path` holds files that `stage` does not, which a swap would lose.

    Where one has a directory and the other a file of that name, the save cannot be: an OSError.
    """
    foreign = False
    for name in os.listdir(path):
        if name.startswith(_SAVING) or name == SAVED:
            continue
        a, b = os.path.join(stage, name), os.path.join(path, name)
        if not os.path.lexists(a):
            foreign = True
        elif os.path.isdir(a) and os.path.isdir(b):
            foreign = _compare(a, b) or os.path.islink(b) or foreign
        elif os.path.isdir(b):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), b)
        elif os.path.isdir(a) and os.path.exists(b):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), b)
    return foreign


def _lock_dir(path: str) -> int:
    """Open and lock the directory that `path` names once the lock is held."""
    while True:
        fd = os.open(path, os.O_RDONLY)
        try:
            _flock(fd, wait=True)
            if _is_at(fd, path):
                return fd
        except BaseException:
            _unlock(fd)
            raise
        _unlock(fd)


def _flock(fd: int, wait: bool) -> bool:
    """Take the lock of an open file, which ends with the file or the process; False when another holds it.

    A file system without locks counts as locked: two savers at once are then on their own.
    """
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _unlock(fd: int) -> None:
    """End a lock and close its file. Closing alone would not do where a child forked meanwhile has the file too."""
    import fcntl

    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _is_at(fd: int, path: str) -> bool:
    there = _stat(path)
    return there is not None and os.path.samestat(os.fstat(fd), there)


def _is_working_dir(info: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat("."), info)
    except OSError:  # removed, or not for us
        return False


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _renamed(source: str, target: str) -> bool:
    try:
        disk.rename(source, target)
    except OSError:
        return False
    return True


def _make_parents(path: str) -> None:
    """Make `path` and its parents where missing, to last."""
    there = _stat(path)
    if there is None:
        _make_parents(os.path.dirname(path))
        with suppress(FileExistsError):
            disk.mkdir(path)
        disk.sync(os.path.dirname(path))
    elif not stat.S_ISDIR(there.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


def _raise(e: OSError) -> None:
    raise e


_CAN_EXCHANGE = sys.platform == "linux"
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276}  # the system call's number, for a C library without the function
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def _exchange(a: str, b: str) -> None:
    """Swap two directories of one file system in one step (Linux 3.15); OSError where that cannot be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    args = (_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(*args)
    elif platform.machine() in _RENAMEAT2:
        failed = libc.syscall(ctypes.c_long(_RENAMEAT2[platform.machine()]), *args)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), a)
    if failed:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), a, None, b)
