"""Embeddings to unique ids in one object; not there yet."""

from typing import Any

from ._later import not_yet

__all__ = ["SemanticIdEngine"]


class SemanticIdEngine:
    """An encoder and a resolver of equal ids. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    *args, **kwargs : object
        Not used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise not_yet("SemanticIdEngine", "unique ids")

    @classmethod
    def load(cls, path: str, *, device: str = "cpu", store: Any = None) -> Any:
        """Raise NotImplementedError.

        Parameters
        ----------
        path : str
            Not used.
        device : str, default="cpu"
            Not used.
        store : object, default=None
            Not used.
        """
        raise not_yet("SemanticIdEngine.load", "unique ids")
