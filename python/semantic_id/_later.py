"""The error of names that are importable before what they stand for has landed."""

from ._version import __version__


def not_yet(name: str, part: str) -> NotImplementedError:
    """Return the error that says what `name` waits for."""
    return NotImplementedError(f"{name} is not in semantic-id {__version__} yet: it comes with {part}")
