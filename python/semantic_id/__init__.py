"""Semantic ids: a few small integers for each embedding, coarse to fine, written as a string.

The native library is loaded by the first `fit`, `encode`, `decode` or `semantic_id`, not by the import.
"""

from ._atlas import to_embedding_atlas
from ._estimate import Estimate, estimate
from ._native import set_num_threads
from ._report import report
from ._version import __version__
from .algorithms import RQVAE, RQKMeans
from .core import ids_to_codes
from .engine import SemanticIdEngine
from .exceptions import ConvergenceWarning, NotFittedError, SemanticIdError, ShapeMismatchError
from .uniqueness.resolver import CapacityResolver, SinkhornResolver, UniqueIdResolver
from .uniqueness.stores import InMemoryCollisionStore, PostgresCollisionStore, SQLiteCollisionStore
from .utils.changes import churn, compare
from .utils.metrics import evaluate, find_similar, hierarchical_distance, ndcg_at_k

__all__ = [
    "RQVAE",
    "CapacityResolver",
    "ConvergenceWarning",
    "Estimate",
    "InMemoryCollisionStore",
    "NotFittedError",
    "PostgresCollisionStore",
    "RQKMeans",
    "SQLiteCollisionStore",
    "SemanticIdEngine",
    "SemanticIdError",
    "ShapeMismatchError",
    "SinkhornResolver",
    "UniqueIdResolver",
    "__version__",
    "churn",
    "compare",
    "estimate",
    "evaluate",
    "find_similar",
    "hierarchical_distance",
    "ids_to_codes",
    "ndcg_at_k",
    "report",
    "set_num_threads",
    "to_embedding_atlas",
]
