"""The programs under test, each through its public Python API: fit, encode, decode, and what encode needs beside.

A program is imported when its class is made, so that an environment needs no other.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from programs_rqvae import Autoencoder, PlainTorch

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[Any]

PEER_ITERATIONS = 25  # of programs that have no tolerance of their own, or are run without it


class SemanticId:
    """RQKMeans of this package, or of semantic-id 0.2.5: whichever is installed here."""

    package = "semantic-id"

    def __init__(self, threads: int) -> None:
        import semantic_id

        self.api = semantic_id
        if hasattr(semantic_id, "set_num_threads"):  # this package
            semantic_id.set_num_threads(threads)
            one = np.ones((1, 1), np.float32)
            semantic_id.RQKMeans(n_levels=1, n_clusters=1).fit(one)  # loads its library now, as the others' imports do

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, **settings: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few iterations do not converge
            self.model = self.api.RQKMeans(n_levels=levels, n_clusters=clusters, random_state=seed, **settings).fit(x)

    def iterations(self) -> int:
        """Return the iterations over all rows, of all levels; 0 of 0.2.5, which does not tell."""
        return int(sum(getattr(self.model, "n_iter_", [0])))

    def encode(self, x: Floats) -> Codes:
        return self.model.encode(x)

    def decode(self, codes: Codes) -> Floats:
        return self.model.decode(codes)

    def evaluate(self, x: Floats, codes: Codes, **settings: Any) -> dict[str, Any]:
        values: dict[str, Any] = self.api.evaluate(x, codes, self.model, **settings)
        return values

    def neighbors(self, x: Floats, codes: Codes, k: int) -> None:
        """Find the neighbors of all rows, and what `codes` make of them: there is no function for the former alone."""
        self.api.utils.metrics.recall_at_k(x, codes, k, sample_size=None)

    def unique_ids(self, codes: Codes) -> list[str]:
        ids: list[str] = self.api.UniqueIdResolver().assign(self.api.RQKMeans().semantic_id(codes))
        return ids

    def sqlite(self, path: str) -> Any:
        return self.api.SQLiteCollisionStore(path)

    def count(self, store: Any, keys: list[str]) -> list[int]:
        if hasattr(store, "next_suffixes"):  # this package
            suffixes: list[int] = store.next_suffixes(keys)
            return suffixes
        return [store.next_suffix(key) for key in keys]

    def save(self, path: str) -> None:
        self.model.save(path)
        np.save(path + ".books.npy", np.stack(self.model.codebooks_))

    def load(self, path: str) -> None:
        self.model = self.api.RQKMeans.load(path)


class SemanticIdBatches(SemanticId):
    """The same, encoding in batches that stay in a cache."""

    def encode(self, x: Floats) -> Codes:
        return self.model.encode(x, batch_size=2048)


class SemanticIdBeam(SemanticId):
    """This package, encoding with a beam, and refined for one if asked."""

    beam = 1

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, refine: int = 0, **settings: Any) -> None:
        super().fit(x, levels, clusters, seed, **settings)
        if refine:
            self.model.refine(x, beam_size=refine)

    def encode(self, x: Floats) -> Codes:
        return self.model.encode(x, beam_size=self.beam)


class FaissFlat:
    """faiss.IndexFlatL2: exact neighbors by brute force."""

    package = "faiss-cpu"

    def __init__(self, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.api = faiss

    def neighbors(self, x: Floats, codes: Codes, k: int) -> None:
        index = self.api.IndexFlatL2(x.shape[1])
        index.add(x)
        index.search(x, k + 1)  # the row itself is among them


class SemanticIdBalanced(SemanticId):
    """This package with balanced codebooks, whose balanced codes are encoded unless `plain` is set."""

    plain = False

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.certificates: list[Any] = []
        log = logging.getLogger("semantic_id")
        log.setLevel(logging.INFO)
        log.addFilter(self._look)  # encode gives its certificates to the log alone

    def _look(self, record: logging.LogRecord) -> bool:
        if record.msg.startswith("balanced the codes") and isinstance(record.args, tuple):
            self.certificates = list(record.args[1])  # type: ignore[call-overload]
        return False

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, **settings: Any) -> None:
        super().fit(x, levels, clusters, seed, **{"implementation": "constrained"} | settings)
        self.certificates = getattr(self.model, "certificate_", [])

    def encode(self, x: Floats) -> Codes:
        return self.model.encode(x, balanced=not self.plain)


class FaissRQ:
    """faiss.ResidualQuantizer, beam 1."""

    package = "faiss-cpu"
    lut = 0

    def __init__(self, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.api = faiss

    def _empty(self, levels: int, clusters: int, dim: int) -> None:
        self.rq = self.api.ResidualQuantizer(dim, levels, int(clusters).bit_length() - 1)
        self.rq.max_beam_size = 1
        self.rq.use_beam_LUT = self.lut

    def fit(self, x: Floats, levels: int, clusters: int, seed: int) -> None:
        self._empty(levels, clusters, x.shape[1])
        self.rq.cp.seed = seed
        self.rq.train(x)

    def iterations(self) -> int:
        return 0  # it counts them in subspaces

    def encode(self, x: Floats) -> Codes:
        codes: Codes = self.rq.compute_codes(x)
        return codes  # packed; with 256 clusters one byte per level

    def decode(self, codes: Codes) -> Floats:
        decoded: Floats = self.rq.decode(np.ascontiguousarray(codes, np.uint8))
        return decoded

    def load(self, path: str) -> None:
        books = np.load(path + ".books.npy")
        self._empty(*books.shape)
        self.api.copy_array_to_vector(books.ravel(), self.rq.codebooks)
        self.rq.is_trained = True
        if self.lut:
            self.rq.compute_codebook_tables()


class FaissRQTables(FaissRQ):
    """The same, encoding by tables of scalar products."""

    lut = 1


class FaissRQBeam(FaissRQTables):
    """The same, trained and encoding with beams."""

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, beam: int = 1, way: str = "default") -> None:
        rq = self.api.ResidualQuantizer
        self._empty(levels, clusters, x.shape[1])
        self.rq.train_type |= {
            "default": 0,
            "top_beam": rq.Train_top_beam,
            "refine_codebook": rq.Train_refine_codebook,
        }[way]
        self.rq.max_beam_size = beam
        self.rq.cp.seed = seed
        self.rq.cp.min_points_per_centroid = 1  # or it warns of few rows
        self.rq.use_beam_LUT = 0  # the tables are not there before the end
        self.rq.train(x)
        self.rq.use_beam_LUT = 1

    @property
    def beam(self) -> int:
        return int(self.rq.max_beam_size)

    @beam.setter
    def beam(self, beam: int) -> None:
        self.rq.max_beam_size = beam


class Levels:
    """Residual levels over a k-means that knows one level; codes are those of its own search."""

    def level(
        self, x: Floats, clusters: int, seed: int, iterations: int
    ) -> tuple[Floats, Callable[[Floats], Codes], Codes | None]:
        """Return the centroids, the search for the nearest, and the labels of `x` if it has them."""
        raise NotImplementedError

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, iterations: int = PEER_ITERATIONS) -> None:
        self.books: list[tuple[Floats, Callable[[Floats], Codes]]] = []
        self.done = levels * iterations
        rest = x
        for level in range(levels):
            book, assign, labels = self.level(rest, clusters, seed + level, iterations)
            self.books.append((book, assign))
            if level + 1 < levels:
                rest = rest - book[assign(rest) if labels is None else labels]

    def iterations(self) -> int:
        """Return the iterations over all rows, of all levels."""
        return self.done

    def encode(self, x: Floats) -> Codes:
        codes = []
        for book, assign in self.books:
            codes.append(assign(x))
            x = x - book[codes[-1]]
        return np.stack(codes, axis=1)

    def decode(self, codes: Codes) -> Floats:
        decoded: Floats = np.sum([book[codes[:, i]] for i, (book, _) in enumerate(self.books)], axis=0)
        return decoded


class FaissKMeans(Levels):
    """faiss.Kmeans on all rows."""

    package = "faiss-cpu"
    settings: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.api = faiss

    def level(
        self, x: Floats, clusters: int, seed: int, iterations: int
    ) -> tuple[Floats, Callable[[Floats], Codes], Codes | None]:
        kmeans = self.api.Kmeans(
            x.shape[1], clusters, niter=iterations, seed=seed, max_points_per_centroid=len(x), nredo=1, **self.settings
        )
        kmeans.train(x)
        index = self.api.IndexFlatL2(x.shape[1])
        index.add(kmeans.centroids)
        return kmeans.centroids, lambda rest: index.search(rest, 1)[1][:, 0], None


class FaissProgressive(FaissKMeans):
    """The same, in six growing principal subspaces, with so many iterations in each."""

    settings = {"progressive_dim_steps": 6}  # noqa: RUF012


class SklearnLloyd(Levels):
    """scikit-learn's KMeans from a random start."""

    package = "scikit-learn"

    def __init__(self, threads: int) -> None:
        import sklearn.cluster

        self.api = sklearn.cluster  # takes its threads from OMP_NUM_THREADS

    def level(
        self, x: Floats, clusters: int, seed: int, iterations: int
    ) -> tuple[Floats, Callable[[Floats], Codes], Codes | None]:
        kmeans = self.api.KMeans(
            clusters, init="random", n_init=1, max_iter=iterations, tol=0, algorithm="lloyd", random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kmeans.fit(x)
        return kmeans.cluster_centers_, kmeans.predict, kmeans.labels_


class KMeansConstrained(Levels):
    """k-means-constrained with sizes that differ by at most one; joblib's processes cannot run it on such data."""

    package = "k-means-constrained"

    def __init__(self, threads: int) -> None:
        import joblib
        import k_means_constrained

        self.api, self.backend, self.threads = k_means_constrained, joblib.parallel_backend, threads

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, **settings: Any) -> None:
        assert levels == 1, "its assignments are those of its own rows"
        size = len(x) // clusters
        self.kmeans = self.api.KMeansConstrained(
            clusters, size_min=size, size_max=-(-len(x) // clusters), random_state=seed, n_jobs=self.threads, **settings
        )
        with self.backend("threading", n_jobs=self.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.kmeans.fit(x)
        self.done = int(self.kmeans.n_iter_)
        self.books = [(self.kmeans.cluster_centers_, lambda _: self.kmeans.labels_)]


class SuperKMeans(Levels):
    """superkmeans on all rows, with its own early end."""

    package = "superkmeans"

    def __init__(self, threads: int) -> None:
        import superkmeans

        self.api, self.threads = superkmeans, threads

    def settings(self, iterations: int) -> dict[str, Any]:
        return {"hierarchical": False, "iters": iterations}

    def level(
        self, x: Floats, clusters: int, seed: int, iterations: int
    ) -> tuple[Floats, Callable[[Floats], Codes], Codes | None]:
        kmeans = self.api.SuperKMeans(
            clusters, x.shape[1], sampling_fraction=1.0, max_points_per_cluster=len(x), n_threads=self.threads,
            seed=seed, **self.settings(iterations),
        )  # fmt: skip
        book = np.array(kmeans.train(x), np.float32)
        return book, lambda rest: kmeans.assign(rest, book), None


class SuperKMeansHierarchical(SuperKMeans):
    """The same from its hierarchical start, with so many iterations over all clusters after it."""

    def settings(self, iterations: int) -> dict[str, Any]:
        return {"hierarchical": True, "iters_refinement": iterations}


PROGRAMS: dict[str, type[Any]] = {
    "ours": SemanticId,
    "ours-beam": SemanticIdBeam,
    "ours-balanced": SemanticIdBalanced,
    "0.2.5": SemanticId,
    "0.2.5-batches": SemanticIdBatches,
    "ours-rqvae": Autoencoder,
    "0.2.5-rqvae": Autoencoder,
    "0.2.5-torch": PlainTorch,  # which is in the environment of 0.2.5
    "faiss-flat": FaissFlat,
    "faiss-rq": FaissRQ,
    "faiss-rq-tables": FaissRQTables,
    "faiss-beam": FaissRQBeam,
    "faiss-kmeans": FaissKMeans,
    "faiss-progressive": FaissProgressive,
    "sklearn": SklearnLloyd,
    "k-means-constrained": KMeansConstrained,
    "superkmeans": SuperKMeans,
    "superkmeans-hierarchical": SuperKMeansHierarchical,
}
