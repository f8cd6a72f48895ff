"""What can be imported, from where, and what is there already."""

import importlib
import importlib.metadata
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import semantic_id

TOP = [
    "RQKMeans",
    "RQVAE",
    "SemanticIdEngine",
    "UniqueIdResolver",
    "SinkhornResolver",
    "InMemoryCollisionStore",
    "SQLiteCollisionStore",
    "SemanticIdError",
    "NotFittedError",
    "ShapeMismatchError",
    "evaluate",
    "find_similar",
    "hierarchical_distance",
    "ndcg_at_k",
    "__version__",
    "CapacityResolver",
    "PostgresCollisionStore",
    "ids_to_codes",
    "set_num_threads",
    "report",
    "compare",
    "churn",
    "to_embedding_atlas",
    "estimate",
]
MODULES = {
    "semantic_id.core": ["BaseSemanticEncoder", "codes_to_ids", "_validate_embeddings"],
    "semantic_id.engine": ["SemanticIdEngine"],
    "semantic_id.io": ["open_rows"],
    "semantic_id.exceptions": ["SemanticIdError", "NotFittedError", "ShapeMismatchError"],
    "semantic_id.algorithms": ["RQKMeans", "RQVAE"],
    "semantic_id.algorithms.rq_kmeans": ["RQKMeans"],
    "semantic_id.algorithms.rq_vae": ["RQVAE"],
    "semantic_id.uniqueness.resolver": ["BaseResolver", "UniqueIdResolver", "SinkhornResolver", "CapacityResolver"],
    "semantic_id.uniqueness.stores": ["CollisionStore", "InMemoryCollisionStore", "SQLiteCollisionStore"],
    "semantic_id.utils.metrics": [
        "code_entropy_per_level",
        "code_utilization_per_level",
        "collision_rate_per_level",
        "distance_correlation",
        "evaluate",
        "evaluate_quality",
        "find_similar",
        "hierarchical_distance",
        "ndcg_at_k",
        "recall_at_k",
    ],
}


@pytest.mark.parametrize("name", TOP)
def test_top_level(name):
    assert hasattr(semantic_id, name)
    assert name in semantic_id.__all__


@pytest.mark.parametrize("module", MODULES)
def test_modules(module):
    for name in MODULES[module]:
        assert hasattr(importlib.import_module(module), name)


def test_versions_agree():
    version = (Path(__file__).parents[1] / "core" / "version.go").read_text()
    assert re.search('Version = "(.*)"', version)[1] == semantic_id.__version__
    assert importlib.metadata.version("semantic-id") == semantic_id.__version__


def test_signature_of_rqkmeans():
    def text(function):
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in inspect.signature(function).parameters.values()]
        return str(inspect.Signature(bare))

    cls = semantic_id.RQKMeans
    assert text(cls.__init__) == (
        "(self, n_levels=4, n_clusters=256, metric='l2', implementation='kmeans', max_iter=100, tol=0.0001, "
        "random_state=None, verbose=False, n_init=None)"
    )
    assert text(cls.fit) == "(self, X, y=None, *, device='cpu', sample_weight=None)"
    assert text(cls.encode) == "(self, X, *, device='cpu', batch_size=None, balanced=False, beam_size=1)"
    assert text(cls.decode) == "(self, codes)"
    assert text(cls.semantic_id) == "(self, codes, *, sep='-', fmt='plain', formatter=None)"
    assert text(cls.save) == "(self, path)"
    assert text(cls.load) == "(path, *, device='cpu')"
    assert text(semantic_id.core._validate_embeddings) == "(X, expected_dim=None)"


def test_signature_of_rqvae():
    def text(function):
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in inspect.signature(function).parameters.values()]
        return str(inspect.Signature(bare))

    cls = semantic_id.RQVAE
    assert text(cls.__init__) == (
        "(self, in_dim=768, num_emb_list=None, e_dim=64, layers=None, dropout_prob=0.0, bn=False, loss_type='mse', "
        "quant_loss_weight=1.0, beta=0.25, kmeans_init=False, kmeans_iters=100, sk_epsilons=None, sk_iters=100, "
        "lr=0.0001, weight_decay=0.0, batch_size=2048, epochs=100, lr_scheduler=None, warmup_epochs=0, "
        "lr_step_size=50, lr_gamma=0.5, device='cpu', verbose=False, random_state=None, loss_reduction='mean', "
        "max_grad_norm=None, patience=None, restart_dead=False, rotation_trick=False, ema_decay=None, "
        "level_dropout=0.0, normalize_input=None)"
    )
    assert text(cls.fit) == (
        "(self, X, y=None, *, device=None, pretrained_codebook_path=None, checkpoint_path=None, checkpoint_every=10)"
    )
    assert text(cls.encode) == "(self, X, *, device=None, batch_size=None)"
    assert text(cls.load) == "(path, *, device='cpu')"


def test_exceptions():
    for name in ("NotFittedError", "ShapeMismatchError", "CodeError", "DeviceError", "ModelFileError", "ForkError"):
        assert issubclass(getattr(semantic_id.exceptions, name), semantic_id.SemanticIdError)
    assert issubclass(semantic_id.ShapeMismatchError, ValueError)
    assert issubclass(semantic_id.exceptions.CodeError, (ValueError, IndexError))
    assert issubclass(semantic_id.exceptions.DeviceError, RuntimeError)


def test_a_base_class_is_abstract_and_can_be_derived_from():
    with pytest.raises(TypeError, match="abstract"):
        semantic_id.core.BaseSemanticEncoder()

    class Signs(semantic_id.core.BaseSemanticEncoder):
        def fit(self, X, *, device="cpu"):
            return self

        def encode(self, X, *, device="cpu", batch_size=None):
            return (np.asarray(X) > 0).astype(np.int32)

        def save(self, path):
            pass

        @classmethod
        def load(cls, path, *, device="cpu"):
            return cls()

    signs = Signs().fit([[1.0, -1.0]])
    assert signs.semantic_id(signs.encode([[1.0, -1.0]])) == ["1-0"]
    with pytest.raises(NotImplementedError):
        signs.decode([[1, 0]])


def test_encoders_are_encoders():
    for cls in (semantic_id.RQKMeans, semantic_id.RQVAE):
        assert issubclass(cls, semantic_id.core.BaseSemanticEncoder)
    for cls in (semantic_id.UniqueIdResolver, semantic_id.SinkhornResolver, semantic_id.CapacityResolver):
        assert issubclass(cls, semantic_id.uniqueness.resolver.BaseResolver)
    for cls in (semantic_id.InMemoryCollisionStore, semantic_id.SQLiteCollisionStore):
        assert issubclass(cls, semantic_id.uniqueness.stores.CollisionStore)


def test_a_store_of_ones_own():
    class Store(semantic_id.uniqueness.stores.CollisionStore):
        def __init__(self):
            self.counts = {}

        def next_suffix(self, key):
            self.counts[key] = self.counts.get(key, -1) + 1
            return self.counts[key]

    assert Store().next_suffixes(["a", "b", "a", "a"]) == [0, 0, 1, 2]


def test_signatures_of_metrics():
    """Those of 0.2.5, and what we add by keyword only."""
    metrics = importlib.import_module("semantic_id.utils.metrics")

    def names(function):
        return {p.name: p.default for p in inspect.signature(function).parameters.values() if p.kind != p.KEYWORD_ONLY}

    empty = inspect.Parameter.empty
    x_codes = {"X": empty, "codes": empty}
    sampled = x_codes | {"k": 10, "sample_size": 1000, "seed": 42, "metric": "hierarchical"}
    assert names(metrics.evaluate) == x_codes | {"encoder": None, "k": 10, "n_pairs": 2000, "seed": 42}
    assert names(metrics.recall_at_k) == names(metrics.ndcg_at_k) == sampled
    assert list(names(metrics.distance_correlation)) == ["X", "codes", "sample_size", "n_pairs", "seed", "metric"]
    assert names(metrics.find_similar) == {"codes": empty, "query": empty, "k": 10}
    assert names(metrics.code_utilization_per_level) == {"codes": empty, "n_clusters": None}
    assert names(metrics.collision_rate_per_level) == names(metrics.code_entropy_per_level) == {"codes": empty}


def test_hierarchical_distance():
    distance = semantic_id.hierarchical_distance
    assert distance([3, 9, 1], [3, 9, 1]) == 0
    assert distance([3, 9, 1], [3, 0, 1]) == 2
    assert distance([3, 9, 1], [0, 9, 1]) == 3
    table = distance(np.array([[1, 2], [1, 3]])[:, None], np.array([[1, 2], [1, 4], [2, 2]]))
    np.testing.assert_array_equal(table, [[0, 1, 2], [1, 1, 2]])


def test_import_takes_neither_the_native_library_nor_optional_packages(python):
    out = python("""
        import sys
        import semantic_id
        print(*sorted(sys.modules))
    """)
    loaded = set(out.split())
    assert not [m for m in loaded if m.startswith("semantic_id._gopy")]
    others = "sklearn scipy pandas polars pyarrow torch tqdm matplotlib plotly jinja2"
    assert not loaded & set(others.split())
