"""Where resolvers keep how often each id was handed out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from .._later import not_yet

__all__ = ["CollisionStore", "InMemoryCollisionStore", "PostgresCollisionStore", "SQLiteCollisionStore"]


class CollisionStore(ABC):
    """Counts the holders of each id. Derive from it to keep the counts in a place of your own."""

    @abstractmethod
    def next_suffix(self, key: str) -> int:
        """Count one more holder of `key`.

        Parameters
        ----------
        key : str
            An id.

        Returns
        -------
        suffix : int
            How many holders there were before: 0 for the first.
        """

    def next_suffixes(self, keys: Iterable[str]) -> list[int]:
        """Count one more holder of each key, in order.

        Parameters
        ----------
        keys : iterable of str
            Ids, equal ones among them or not.

        Returns
        -------
        suffixes : list of int
            What `next_suffix` gives for each.
        """
        return [self.next_suffix(key) for key in keys]


class InMemoryCollisionStore(CollisionStore):
    """Counts in this process. It has not landed yet: making one raises NotImplementedError."""

    def __init__(self) -> None:
        raise not_yet("InMemoryCollisionStore", "unique ids")

    def next_suffix(self, key: str) -> int:
        """Raise NotImplementedError.

        Parameters
        ----------
        key : str
            Not used.
        """
        raise not_yet("InMemoryCollisionStore", "unique ids")


class SQLiteCollisionStore(CollisionStore):
    """Counts in a SQLite database. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    db_path : str, default="collisions.db"
        Not used.
    """

    def __init__(self, db_path: str = "collisions.db") -> None:
        raise not_yet("SQLiteCollisionStore", "unique ids")

    def next_suffix(self, key: str) -> int:
        """Raise NotImplementedError.

        Parameters
        ----------
        key : str
            Not used.
        """
        raise not_yet("SQLiteCollisionStore", "unique ids")


class PostgresCollisionStore(CollisionStore):
    """Counts in a PostgreSQL database. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    *args, **kwargs : object
        Not used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise not_yet("PostgresCollisionStore", "stores shared by many machines")

    def next_suffix(self, key: str) -> int:
        """Raise NotImplementedError.

        Parameters
        ----------
        key : str
            Not used.
        """
        raise not_yet("PostgresCollisionStore", "stores shared by many machines")
