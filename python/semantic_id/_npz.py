"""The arrays of a model: a compressed .npz of two-dimensional float32 arrays, read without trust. See format.md.

NumPy writes the arrays; the reader is our own, because `numpy.load` allocates what a header asks for.
"""

import errno
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from .exceptions import ModelFileError

_MAX_HEADER = 10000  # bytes before the values of a .npy file, as NumPy bounds it; two dimensions take 118
_MAX_RATIO = 1032  # bytes one byte of a deflate stream can stand for: bounds memory by the length of the file
_CHUNK = 1 << 20
_HEADER = re.compile(
    rb"\{ *'descr': *'([^'\\]*)', *'fortran_order': *(True|False), *"
    rb"'shape': *\(([0-9]{1,10}), *([0-9]{1,10}),?\),? *\} *\n?"
)

# All that zipfile raises for files it cannot read: RuntimeError for encryption, the last two from wild numbers.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError, ArithmeticError)


def write_codebooks(file: BinaryIO, codebooks: Sequence[npt.NDArray[np.float32]]) -> None:
    """Write what `numpy.savez_compressed` does for codebook_0, codebook_1 and so on; equal arrays give equal bytes."""
    with zipfile.ZipFile(file, "w") as z:
        for level, codebook in enumerate(codebooks):
            info = zipfile.ZipInfo(f"codebook_{level}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            with z.open(info, "w", force_zip64=codebook.nbytes >= 1 << 30) as member:
                array = np.ascontiguousarray(codebook, dtype="<f4")
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def read_codebooks(file: BinaryIO, length: int, clusters: Sequence[int], dim: int) -> list[npt.NDArray[np.float32]]:
    """Read one array for each of `clusters`, of that many rows and `dim` columns, from `file` of `length` bytes.

    Nothing is allocated before the declared lengths fit these and the length of the file.

    Raises
    ------
    ModelFileError
        If the file is anything else.
    """
    try:
        with zipfile.ZipFile(file) as z:
            infos = z.infolist()
            if len(infos) != len(clusters):
                raise ModelFileError(f"{len(infos)} arrays, want {len(clusters)}, one a level")
            if sum(info.compress_size for info in infos) > length:
                raise ModelFileError("the arrays declare more bytes than the file has")
            members = {info.filename: info for info in infos}
            codebooks = []
            for level, k in enumerate(clusters):
                name = f"codebook_{level}.npy"
                if name not in members:
                    raise ModelFileError(f"no array {name}")
                codebooks.append(_read_member(z, members[name], k, dim))
            return codebooks
    except ModelFileError:
        raise
    except OSError as e:
        if e.errno == errno.EINVAL:  # a seek to where no file can reach
            raise ModelFileError(f"not a zip archive: {e}") from e
        raise
    except _UNREADABLE as e:
        raise ModelFileError(f"damaged, or not a zip archive: {e}") from e


def _read_member(z: zipfile.ZipFile, info: zipfile.ZipInfo, rows: int, cols: int) -> npt.NDArray[np.float32]:
    name = info.filename
    most = info.compress_size  # the length it can have
    if info.compress_type == zipfile.ZIP_DEFLATED:
        most *= _MAX_RATIO
    elif info.compress_type != zipfile.ZIP_STORED:
        raise ModelFileError(f"{name}: compression method {info.compress_type}, want 8 (deflate)")
    if info.file_size > most:
        raise ModelFileError(f"{name}: declares {info.file_size} bytes in {info.compress_size} compressed ones")
    with z.open(info) as member:

        def take(n: int) -> bytes:
            data = member.read(n)
            if len(data) < n:
                raise ModelFileError(f"{name}: ends too early")
            return data

        start = take(8)
        if start[:6] != b"\x93NUMPY":
            raise ModelFileError(f"{name}: not a .npy array")
        if start[6] not in (1, 2, 3) or start[7] != 0:
            raise ModelFileError(f"{name}: .npy version {start[6]}.{start[7]}, want 1.0, 2.0 or 3.0")
        length_bytes = 2 if start[6] == 1 else 4
        n = int.from_bytes(take(length_bytes), "little")
        if n > _MAX_HEADER:
            raise ModelFileError(f"{name}: .npy header of {n} bytes, want at most {_MAX_HEADER}")
        text = take(n)
        header = _HEADER.fullmatch(text)
        if header is None:
            raise ModelFileError(f"{name}: .npy header {text[:100]!r}, want a two-dimensional array of '<f4' or '<f8'")
        descr, fortran = header[1].decode("latin-1"), header[2] == b"True"
        if descr not in ("<f4", "<f8"):
            raise ModelFileError(f"{name}: dtype {descr[:20]!r}, want '<f4' or '<f8'")
        shape = int(header[3]), int(header[4])
        if shape != (rows, cols):
            raise ModelFileError(f"{name}: shape {shape}, want {(rows, cols)} as in metadata.json")
        dtype = np.dtype(descr)
        if 8 + length_bytes + n + rows * cols * dtype.itemsize != info.file_size:
            raise ModelFileError(f"{name}: {info.file_size} bytes, too few or too many for shape {shape}")

        array = np.empty((cols, rows) if fortran else (rows, cols), dtype)
        into = array.reshape(-1).view(np.uint8).data
        at = 0
        while at < len(into):
            data = take(min(_CHUNK, len(into) - at))
            into[at : at + len(data)] = data
            at += len(data)
        if member.read(1):  # at the end zipfile compares checksums
            raise ModelFileError(f"{name}: too long")
    with np.errstate(over="ignore"):
        codebook = np.ascontiguousarray(array.T if fortran else array, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(codebook).all(axis=1))
    if bad.size:
        raise ModelFileError(f"{name}: NaN or infinity in row {bad[0]}")
    return codebook
