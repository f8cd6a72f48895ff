"""What `device=` may say."""

import re
import warnings

from .exceptions import DeviceError

_warned_mps = False


def check_device(device: object) -> str:
    """Return the device to work on, "cpu", for any accepted device string.

    Raises
    ------
    ValueError
        If `device` is none of "cpu", "cuda", "cuda:N", "auto" and "mps".
    DeviceError
        If it names a CUDA device: this version has no CUDA part.
    """
    global _warned_mps
    name = str(device)  # torch.device prints as its name
    if name in ("cpu", "auto"):
        return "cpu"
    if name == "mps":
        if not _warned_mps:
            _warned_mps = True
            warnings.warn("device='mps': semantic-id has no Metal part and works on the CPU", UserWarning, stacklevel=3)
        return "cpu"
    if re.fullmatch(r"cuda(:\d+)?", name):
        raise DeviceError(
            f"device={name!r}: no CUDA device, this version of semantic-id works on the CPU; use device='cpu' or 'auto'"
        )
    raise ValueError(f"device={device!r}: want 'cpu', 'cuda', 'cuda:N', 'auto' or 'mps'")
