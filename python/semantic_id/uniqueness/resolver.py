"""How equal ids become unique ones."""

from abc import ABC, abstractmethod
from typing import Any

from .._later import not_yet

__all__ = ["BaseResolver", "CapacityResolver", "SinkhornResolver", "UniqueIdResolver"]


class BaseResolver(ABC):
    """What the engine asks of a resolver. Derive from it to make ids unique in a way of your own."""

    @abstractmethod
    def assign(self, semantic_ids: list[str], **kwargs: Any) -> list[str]:
        """Return a unique id for each of `semantic_ids`, in order.

        Parameters
        ----------
        semantic_ids : list of str
            Ids, equal ones among them.
        **kwargs : object
            `sep`, and `item_ids` when there are some.
        """


class UniqueIdResolver(BaseResolver):
    """Appends a counter to equal ids. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    store : CollisionStore, default=None
        Not used.
    """

    def __init__(self, store: Any = None) -> None:
        raise not_yet("UniqueIdResolver", "unique ids")

    def assign(self, semantic_ids: list[str], **kwargs: Any) -> list[str]:
        """Raise NotImplementedError.

        Parameters
        ----------
        semantic_ids : list of str
            Not used.
        **kwargs : object
            Not used.
        """
        raise not_yet("UniqueIdResolver", "unique ids")


class SinkhornResolver(BaseResolver):
    """Re-encodes what collides, evenly. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    *args, **kwargs : object
        Not used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise not_yet("SinkhornResolver", "unique ids")

    def assign(self, semantic_ids: list[str], **kwargs: Any) -> list[str]:
        """Raise NotImplementedError.

        Parameters
        ----------
        semantic_ids : list of str
            Not used.
        **kwargs : object
            Not used.
        """
        raise not_yet("SinkhornResolver", "unique ids")


class CapacityResolver(BaseResolver):
    """Gives each id a fixed number of holders. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    *args, **kwargs : object
        Not used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise not_yet("CapacityResolver", "unique ids")

    def assign(self, semantic_ids: list[str], **kwargs: Any) -> list[str]:
        """Raise NotImplementedError.

        Parameters
        ----------
        semantic_ids : list of str
            Not used.
        **kwargs : object
            Not used.
        """
        raise not_yet("CapacityResolver", "unique ids")
