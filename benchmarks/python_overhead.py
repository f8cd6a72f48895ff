"""What Python adds: to the arithmetic of encoding one row, and to the start of a program.

Prints one line a measurement. The library's part of a one-row encode is timed with the same addresses again and again;
what a call of `RQKMeans.encode` takes beyond that is Python's.
"""

import resource
import subprocess
import sys
import timeit

import numpy as np
from semantic_id import RQKMeans, _native


def one_row(levels: int = 3, clusters: int = 256, dim: int = 384) -> None:
    rng = np.random.default_rng(0)
    model = RQKMeans(levels, clusters)
    model.codebooks_ = [rng.normal(size=(clusters, dim)).astype(np.float32) for _ in range(levels)]
    for book in model.codebooks_:
        book.flags.writeable = False
    x = rng.normal(size=(1, dim)).astype(np.float32)
    codes = model.encode(x)
    handle, text = model._quantizer().handle, _native._error_text
    at, to = _native._address(x), _native._address(codes)

    def library() -> None:
        _native._lib.QuantizerEncode(handle, at, 1, dim, 0, to, 0, text.address, _native._TEXT_BYTES)

    calls = 1000
    whole, part = 1e9, 1e9
    for _ in range(50):  # in turn, and the least of each: whatever else the machine does only adds
        whole = min(whole, timeit.timeit(lambda: model.encode(x), number=calls) / calls * 1e6)
        part = min(part, timeit.timeit(library, number=calls) / calls * 1e6)
    print(f"one row through Python:  {whole:6.1f} µs")
    print(f"  of it the library:     {part:6.1f} µs")
    print(f"  of it Python:          {whole - part:6.1f} µs   (goal: <= 20)")


def imports(runs: int = 20) -> None:
    def milliseconds(code: str) -> float:
        """CPU time of a Python of its own, which other programs disturb less than the time that passes."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3

    whole, part = 1e9, 1e9
    for _ in range(runs):
        whole, part = min(whole, milliseconds("import semantic_id")), min(part, milliseconds("import numpy"))
    print(f"import over NumPy's:     {whole - part:6.0f} ms   (goal: <= 150)")


if __name__ == "__main__":
    one_row()
    imports()
