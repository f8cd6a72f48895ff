"""Resolvers that move items to other codes: no id twice, the least added error, and what was given out stays."""

import pickle
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from semantic_id import (
    RQVAE,
    CapacityResolver,
    InMemoryCollisionStore,
    PostgresCollisionStore,
    RQKMeans,
    SemanticIdEngine,
    SemanticIdError,
    ShapeMismatchError,
    SinkhornResolver,
    SQLiteCollisionStore,
    UniqueIdResolver,
)
from semantic_id.core import BaseSemanticEncoder
from semantic_id.exceptions import ApproximationWarning, CodeError, ModelChangedWarning
from semantic_id.uniqueness.stores import CollisionStore

INDUSTRIAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "industrial_3686x384.npy"
RESOLVERS = [CapacityResolver, SinkhornResolver]


@pytest.fixture(scope="module")
def items():
    """600 embeddings, a model whose groups have room for 160 each, its codes and ids, of which many are shared."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(9, 8))[rng.integers(9, size=600)] + 0.3 * rng.normal(size=(600, 8))
    x = x.astype(np.float32)
    x[500:520] = x[:20]  # copies
    model = RQKMeans(n_levels=3, n_clusters=[6, 4, 160], random_state=0).fit(x)
    codes = model.encode(x)
    ids = model.semantic_id(codes)
    assert len(set(ids)) < 500
    return x, model, codes, ids


def errors(model, x, codes):
    return (
        (x.astype(np.float64) - sum(b.astype(np.float64)[c] for b, c in zip(model.codebooks_, codes.T, strict=True)))
        ** 2
    ).sum(1)


def errors_with(model, x, prefix, k):
    """The squared errors of rows with each of the last k codes behind a prefix."""
    rest = x.astype(np.float64) - sum(b.astype(np.float64)[c] for b, c in zip(model.codebooks_, prefix, strict=False))
    return ((rest[:, None] - model.codebooks_[-1].astype(np.float64)) ** 2).sum(2)


def least_added(model, x, codes, capacity=1, held=()):
    """The least sum of added errors where all can stay under their first codes, by scipy; and how many have to move."""
    taken = Counter(map(tuple, codes.tolist()))
    held = Counter(held)
    total, moving = 0.0, 0
    for prefix in sorted({tuple(c[:-1]) for c in taken}):
        k = len(model.codebooks_[-1])
        room = {j: max(0, capacity - held[(*prefix, j)]) for j in range(k)}
        crowded = [j for j in range(k) if taken[(*prefix, j)] > room[j]]
        if not crowded:
            continue
        rows = [i for i, c in enumerate(codes.tolist()) if tuple(c[:-1]) == prefix and c[-1] in crowded]
        added = errors_with(model, x[rows], prefix, k)
        own = codes[rows, -1]
        added -= added[np.arange(len(rows)), own][:, None]
        columns, costs = 0, []
        for j in range(k):
            if j in crowded:
                stay = np.where(own == j, -1e6, np.inf)  # they are all taken
                costs += [stay] * room[j]
                columns += room[j]
            else:
                costs += [added[:, j]] * (room[j] - taken[(*prefix, j)])
        costs = np.stack(costs, axis=1)
        moving += len(rows) - columns
        row, column = linear_sum_assignment(costs)
        assert len(row) == len(rows)
        total += costs[row, column].sum() + 1e6 * columns
    return total, moving


@pytest.mark.parametrize("capacity", [1, 2, 5])
@pytest.mark.parametrize("with_store", [False, True])
def test_capacity_is_what_scipy_finds(items, capacity, with_store):
    x, model, codes, ids = items
    resolver = CapacityResolver(capacity)
    held = []
    if with_store:
        held = [tuple(c) for c in codes[::7].tolist()] + [(0, 0, j) for j in range(5)]
        UniqueIdResolver(resolver.store).assign(model.semantic_id(held))
    want, moving = least_added(model, x, codes, capacity, held)
    assert moving > {1: 150, 2: 50, 5: 0}[capacity]
    done = resolver.resolve(ids, embeddings=x, model=model)
    assert done.exact
    assert len(done.moved) == moving
    assert done.added_error.sum() == pytest.approx(want, rel=1e-5)
    before, after = (errors(model, x, c) for c in (codes, done.codes))
    np.testing.assert_allclose(done.added_error, (after - before)[done.moved], rtol=1e-4, atol=1e-5)
    assert max((Counter(map(tuple, done.codes.tolist())) + Counter(held)).values()) <= max(
        capacity, max(Counter(held).values(), default=0)
    )
    np.testing.assert_array_equal(np.flatnonzero((codes != done.codes).any(axis=1)), done.moved)
    assert (codes[:, :-1] == done.codes[:, :-1]).all()
    assert len(set(done.ids)) == len(ids)
    if capacity == 1:
        assert done.ids == model.semantic_id(done.codes)


@pytest.mark.parametrize("k", [[4, 8], [2, 3, 7]])
def test_capacity_level_above_is_what_scipy_finds(k):
    """Of the groups that lack codes as few items leave as can, all together at the least added error."""
    rng = np.random.default_rng(5)
    room = int(np.prod(k))
    x = (rng.normal(size=(3, 4))[rng.integers(3, size=room - 3)] + rng.normal(size=(room - 3, 4))).astype(np.float32)
    model = RQKMeans(n_levels=len(k), n_clusters=k, random_state=0).fit(x)
    codes = model.encode(x)
    done = CapacityResolver().resolve(model.semantic_id(codes), embeddings=x, model=model)
    assert done.exact
    assert len(set(done.ids)) == len(x)
    assert len(done.moved) == len(x) - len(set(map(tuple, codes.tolist())))  # as few as can be
    if len(k) > 2:
        return
    groups = Counter(codes[:, 0].tolist())
    full = [p for p, n in groups.items() if n > k[1]]
    left = (codes[:, 0] != done.codes[:, 0]).sum()
    assert left == sum(groups[p] - k[1] for p in full) > 0
    # The groups with room are settled first; what they leave is open to the others.
    taken = Counter(map(tuple, codes.tolist()))
    small = [i for i in range(len(x)) if codes[i, 0] not in full]
    want, _ = least_added(model, x[small], codes[small])
    alone = {tuple(c) for c, n in taken.items() if n == 1} | {tuple(done.codes[i]) for i in small}
    rows = [i for i in range(len(x)) if codes[i, 0] in full and taken[tuple(codes[i])] > 1]
    slots = sorted({(a, b) for a in range(k[0]) for b in range(k[1])} - alone)
    every = np.array([errors(model, x[rows], np.tile(s, (len(rows), 1))) for s in slots]).T
    every -= errors(model, x[rows], codes[rows])[:, None]
    for n, slot in enumerate(slots):
        if taken[slot] > 1:  # its own rows alone, and one of them
            every[:, n] = np.where((codes[rows] == slot).all(axis=1), -1e7, np.inf)
        elif slot[0] in full:
            every[:, n] += np.where(codes[rows, 0] == slot[0], -1e4, 1e4)
        else:
            every[:, n] += 1e4
    row, column = linear_sum_assignment(every)
    pairs = zip(row.tolist(), column.tolist(), strict=True)
    moving = [(rows[r], slots[c]) for r, c in pairs if tuple(codes[rows[r]]) != slots[c]]
    assert sum(codes[i, 0] != s[0] for i, s in moving) == left
    for i, slot in moving:
        want += errors(model, x[[i]], np.array([slot]))[0] - errors(model, x[[i]], codes[[i]])[0]
    assert done.added_error.sum() == pytest.approx(want, rel=1e-5)


def test_a_group_too_large_is_settled_by_rule_of_thumb(items):
    x, model, _, ids = items
    exact = CapacityResolver().resolve(ids, embeddings=x, model=model)
    with pytest.warns(ApproximationWarning, match="too large for the least added error"):
        rough = CapacityResolver(max_pairs=10).resolve(ids, embeddings=x, model=model)
    assert not rough.exact
    assert len(set(rough.ids)) == len(ids)
    assert len(rough.moved) == len(exact.moved)
    ratio = rough.added_error.sum() / exact.added_error.sum()
    assert 1 < ratio < 1.5


def test_too_few_codes(items):
    x, _, _, _ = items
    model = RQKMeans(n_levels=2, n_clusters=4, random_state=0).fit(x)
    ids = model.semantic_id(model.encode(x))
    resolver = CapacityResolver()
    assert len(set(resolver.assign(ids[:10], embeddings=x[:10], model=model))) == 10
    with pytest.raises(ValueError, match=r"600 items, and all codes together take 16, of which at least \d+ are held"):
        resolver.assign(ids, embeddings=x, model=model)
    done = CapacityResolver(capacity=38).resolve(ids, embeddings=x, model=model)  # there is room for 608
    assert len(set(done.ids)) == 600
    assert max(Counter(map(tuple, done.codes.tolist())).values()) == 38


def test_sinkhorn(items):
    x, model, codes, ids = items
    resolver = SinkhornResolver()
    done = resolver.resolve(ids, embeddings=x, model=model)
    assert done is resolver.resolved_
    assert len(set(done.ids)) == 600
    assert done.ids == model.semantic_id(done.codes)  # 160 codes a group were enough
    groups = SinkhornResolver._find_collision_groups(ids)
    assert set(done.moved.tolist()) <= {i for group in groups for i in group}
    assert (codes[:, :-1] == done.codes[:, :-1]).all()
    again = SinkhornResolver().resolve(ids, embeddings=x, model=model)
    np.testing.assert_array_equal(again.codes, done.codes)
    few = SinkhornResolver(max_iterations=0).assign(ids, embeddings=x, model=model)
    assert few == UniqueIdResolver().assign(ids)
    capacity = CapacityResolver().resolve(ids, embeddings=x, model=model)
    assert capacity.added_error.sum() < done.added_error.sum()
    assert capacity.added_error.mean() < done.added_error.mean()


def test_find_collision_groups():
    assert SinkhornResolver._find_collision_groups(["b", "a", "c", "a", "b", "a"]) == [[0, 4], [1, 3, 5]]
    assert SinkhornResolver._find_collision_groups([]) == []


def test_sinkhorn_without_fallback():
    x = np.zeros((5, 2), np.float32)
    model = RQKMeans(2, 1, random_state=0).fit(x)
    resolver = SinkhornResolver(fallback_suffix=False)
    with pytest.warns(UserWarning, match="4 ids are still shared"):
        assert resolver.assign(["0-0"] * 5, embeddings=x, model=model) == ["0-0"] * 5
    assert UniqueIdResolver(resolver.store).assign(["0-0"]) == ["0-0-1"]  # it was counted once
    with pytest.raises(SemanticIdError, match="5 ids are still shared, and items with keys"):
        resolver.assign(["0-0"] * 5, embeddings=x, model=model, item_keys=range(5))
    assert SinkhornResolver().assign(["0-0"] * 3, embeddings=x[:3], model=model) == ["0-0", "0-0-1", "0-0-2"]


@pytest.mark.parametrize("cls", RESOLVERS)
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_batches_over_one_store(items, cls, kind, tmp_path, request):
    """Codes of earlier batches are not free, items that are known keep their ids, and a copy goes on."""
    x, model, _, ids = items
    if kind == "postgres":
        store = PostgresCollisionStore(request.getfixturevalue("postgres").dsn)
    else:
        store = SQLiteCollisionStore(tmp_path / "ids.db") if kind == "sqlite" else InMemoryCollisionStore()
    resolver = cls(store=store)
    first = resolver.assign(ids[:300], embeddings=x[:300], model=model, item_keys=range(300))
    rows = slice(200, 600)
    done = resolver.resolve(ids[rows], embeddings=x[rows], model=model, item_keys=range(200, 600))
    assert done.ids[:100] == first[200:]
    np.testing.assert_array_equal(np.flatnonzero(done.known), np.arange(100))
    assert (done.moved >= 100).all()
    assert len(set(first) | set(done.ids)) == 600
    if cls is CapacityResolver:
        assert done.ids[100:] == model.semantic_id(done.codes[100:])
    other = pickle.loads(pickle.dumps(resolver))
    assert other.assign(ids, embeddings=x, model=model, item_keys=range(600)) == first + done.ids[100:]
    assert [store.lookup(i) for i in done.ids[-3:]] == [597, 598, 599]
    for used in (store, other.store):
        getattr(used, "close", bool)()


@pytest.mark.parametrize("cls", RESOLVERS)
@pytest.mark.parametrize("fmt", ["plain", "token"])
def test_in_an_engine(items, cls, fmt, tmp_path):
    """Items are found under the codes they moved to, versions are kept apart, and a saved engine goes on."""
    x, model, _, _ = items
    engine = SemanticIdEngine(model, cls(), version="2")
    first = engine.unique_ids(x[:400], item_keys=range(400), fmt=fmt)
    done = engine.unique_resolver.resolved_
    assert first == done.ids
    assert all(text.startswith("2:" if fmt == "plain" else "<2>") for text in first)
    for i in done.moved[:20].tolist():
        assert i in engine.items(done.codes[i])
    engine.save(tmp_path / "engine")
    again = SemanticIdEngine.load(tmp_path / "engine")
    assert type(again.unique_resolver) is cls
    ids = again.unique_ids(x, item_keys=range(600), fmt=fmt)
    assert ids[:400] == first
    assert len(set(ids)) == 600
    assert ids[400:] == engine.append(x[400:], range(400, 600), fmt=fmt)
    other = RQKMeans(n_levels=3, n_clusters=[6, 4, 160], random_state=1).fit(x)
    with pytest.warns(ModelChangedWarning):
        SemanticIdEngine(other, engine.unique_resolver, version="2").unique_ids(x[:1], item_keys=["new"], fmt=fmt)


def test_codes_that_others_take_meanwhile(items, monkeypatch):
    """Another writer is faster: the store refuses, and other codes are found."""
    x, model, _, ids = items
    store = InMemoryCollisionStore()
    want = CapacityResolver().assign(ids, embeddings=x, model=model)
    resolver, propose, tries = CapacityResolver(store=store), CapacityResolver._propose, []

    def slow(self, *arguments):
        proposal = propose(self, *arguments)
        if len(tries) < 3:
            UniqueIdResolver(store).assign(model.semantic_id(proposal.moved.codes[len(tries) :: 50]))
        tries.append(1)
        return proposal

    monkeypatch.setattr(CapacityResolver, "_propose", slow)
    unique = resolver.assign(ids, embeddings=x, model=model)
    assert len(tries) == 4
    assert len(set(unique)) == 600
    assert set(unique) != set(want)
    assert max(store._store().holders(unique)) == 1
    assert all(text.count("-") == 2 for text in unique)


@pytest.mark.parametrize("cls", RESOLVERS)
def test_formats(items, cls):
    x, model, _, ids = items
    codes = cls().resolve(ids, embeddings=x, model=model).codes

    def formatter(code):
        return "/".join(f"{c:02d}" for c in code)

    for how in ({"fmt": "token"}, {"sep": "_"}, {"formatter": formatter}):
        written = model.semantic_id(model.encode(x), **how)
        assert cls().assign(written, embeddings=x, model=model, **how) == model.semantic_id(codes, **how)


@pytest.mark.parametrize("cls", RESOLVERS)
def test_codes_made_otherwise(items, cls):
    x, model, _, _ = items
    for codes in (model.encode(x, beam_size=40), model.encode(x, balanced=True)):
        assert (codes != model.encode(x)).any()
        ids = model.semantic_id(codes)
        done = cls().resolve(ids, embeddings=x, model=model, codes=codes)
        assert len(set(done.ids)) == 600
        with pytest.raises(ValueError, match=r"the model's code of embeddings\[\d+\].*codes= if they are not"):
            cls().assign(ids, embeddings=x, model=model)


@pytest.mark.parametrize("cls", RESOLVERS)
def test_cosine(items, cls):
    x, _, _, _ = items
    model = RQKMeans(n_levels=2, n_clusters=[16, 60], metric="cosine", random_state=0).fit(x)
    ids = model.semantic_id(model.encode(x))
    done = cls().resolve(ids, embeddings=7 * x, model=model)
    assert len(set(done.ids)) == 600
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    added = errors(model, unit, done.codes) - errors(model, unit, model.encode(x))
    np.testing.assert_allclose(done.added_error, added[done.moved], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(model.residual_space(x)[0], unit, rtol=1e-6)


@pytest.mark.parametrize("cls", RESOLVERS)
def test_rqvae(items, cls):
    """The space of an RQVAE is that of its latents."""
    x, _, _, _ = items
    settings = {"num_emb_list": [6, 40], "e_dim": 4, "layers": [16], "kmeans_init": True, "epochs": 5}
    with warnings.catch_warnings(action="ignore"):  # of what so short a training leaves
        model = RQVAE(8, **settings, batch_size=600, random_state=0).fit(x)
    latents, books = model.residual_space(x)
    assert [b.shape for b in books] == [(6, 4), (40, 4)]
    codes = model.encode(x)
    assert (Foreign(books).encode(latents) == codes).all(axis=1).mean() > 0.99  # NumPy may round near-ties otherwise
    rows = np.unique(codes[:, 0], return_index=True)[1]  # a few of each first code, so that there is room
    rows = np.concatenate([np.flatnonzero(codes[:, 0] == codes[row, 0])[:30] for row in rows])
    ids = model.semantic_id(codes[rows])
    done = cls().resolve(ids, embeddings=x[rows], model=model)
    assert len(set(ids)) < len(set(done.ids)) == len(rows)
    assert done.ids == model.semantic_id(done.codes)
    added = Foreign(books).errors(latents[rows], done.codes) - Foreign(books).errors(latents[rows], codes[rows])
    np.testing.assert_allclose(done.added_error, added[done.moved], rtol=1e-4, atol=1e-6)


class Foreign:
    """A model of another package: what it quantizes are embeddings, and its codebooks are in `codebooks_`."""

    def __init__(self, codebooks):
        self.codebooks_ = codebooks

    def encode(self, x, **kwargs):
        codes, rest = [], x.copy()
        for book in self.codebooks_:
            codes.append(((rest[:, None] - book) ** 2).sum(axis=2).argmin(axis=1))
            rest = rest - book[codes[-1]]
        return np.stack(codes, axis=1)

    def errors(self, x, codes):
        return errors(self, x, codes)

    def semantic_id(self, codes, *, sep="-", fmt="plain", formatter=None):
        return [sep.join(map(str, row)) for row in np.asarray(codes).tolist()]


@pytest.mark.parametrize("cls", RESOLVERS)
def test_models_of_others(items, cls):
    x, model, _, ids = items
    foreign = Foreign([b.astype(np.float64) for b in model.codebooks_])
    want = cls().assign(ids, embeddings=x, model=model)
    assert cls().assign(foreign.semantic_id(foreign.encode(x)), embeddings=x, model=foreign) == want
    del foreign.codebooks_
    with pytest.raises(NotImplementedError, match=r"Foreign does not say.*residual_space"):
        cls().assign(ids, embeddings=x, model=foreign)

    class Halves(BaseSemanticEncoder):
        """Quantizes half of each embedding, as an encoder network does something with it."""

        fit = save = load = None

        def encode(self, X, *, device="cpu", batch_size=None):
            return model.encode(np.asarray(X) / 2)

        def residual_space(self, X, *, device="cpu", batch_size=None):
            return X / np.float32(2), list(model.codebooks_)

    assert cls().assign(ids, embeddings=2 * x, model=Halves()) == want


class Counting(CollisionStore):
    def next_suffix(self, key):
        return 0


@pytest.mark.parametrize("cls", RESOLVERS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"embeddings": None}, ValueError, "requires 'embeddings' and 'model'"),
        ({"model": None}, ValueError, "requires 'embeddings' and 'model'"),
        ({"semantic_ids": ["0-0-0"]}, ValueError, "1 semantic ids and 600 embeddings"),
        ({"semantic_ids": "ab"}, TypeError, "want a list"),
        ({"semantic_ids": [None] * 600}, TypeError, r"semantic_ids\[0\] is None: want a string"),
        ({"item_keys": [1, 2]}, ValueError, "600 semantic ids and 2 of item_keys"),
        ({"item_keys": [1] * 600}, ValueError, "item key 1 is at positions 0 and 1"),
        ({"item_keys": [None] * 600}, TypeError, r"item_keys\[0\] is None"),
        ({"item_ids": [1], "item_keys": [1]}, ValueError, "both given"),
        ({"sep": ""}, ValueError, "sep=''"),
        ({"sep": "1"}, ValueError, "sep='1'"),
        ({"sep": "_"}, ValueError, r"semantic_ids\[0\] is '.*', but the model's code of embeddings\[0\].*same sep"),
        ({"fmt": "token"}, ValueError, r"makes '<a_\d+>"),
        ({"fmt": "x"}, ValueError, "fmt='x'"),
        ({"formatter": lambda code: "x"}, ValueError, r"semantic_ids\[0\]"),
        ({"embeddings": np.full((600, 8), np.nan)}, ValueError, "NaN or Inf"),
        ({"embeddings": np.ones((600, 7))}, ShapeMismatchError, "Expected D=8, got D=7"),
        ({"codes": np.zeros((600, 2), int)}, ShapeMismatchError, "codes of 3 levels"),
        ({"codes": np.zeros((5, 3), int)}, ShapeMismatchError, "600 semantic ids and 5 codes"),
        ({"codes": np.full((600, 3), 77)}, CodeError, "77 at row 0, level 0"),
        ({"codes": np.zeros((600, 3), int)}, ValueError, r"codes\[\d+\], \[0, 0, 0\], makes '0-0-0'"),
    ],
)  # fmt: skip
def test_bad_batches(items, cls, change, error, words):
    x, model, _, ids = items
    resolver = cls()
    arguments = {"semantic_ids": ids, "embeddings": x, "model": model} | change
    with pytest.raises(error, match=words):
        resolver.assign(arguments.pop("semantic_ids"), **arguments)
    assert not hasattr(resolver, "resolved_")
    want = cls().assign(ids, embeddings=x, model=model)
    assert resolver.assign(ids, embeddings=x, model=model) == want  # nothing was given out


@pytest.mark.parametrize("cls", RESOLVERS)
def test_a_formatter_that_gives_two_codes_one_id(items, cls):
    x, model, codes, _ = items

    def formatter(code):
        return f"{code[0]}-{code[1]}-{code[2] % 6}"

    with pytest.raises(ValueError, match=r"codes \[.*\] and \[.*\] have the same id"):
        cls().assign(model.semantic_id(codes, formatter=formatter), embeddings=x, model=model, formatter=formatter)


@pytest.mark.parametrize("cls", RESOLVERS)
def test_stores_that_only_count(items, cls):
    x, model, _, ids = items
    with pytest.raises(SemanticIdError, match=r"must ask its store which codes are held, and Counting only counts"):
        cls(store=Counting()).assign(ids, embeddings=x, model=model)


@pytest.mark.parametrize(
    ("resolver", "words"),
    [
        (CapacityResolver(0), "capacity=0"),
        (CapacityResolver(1.5), "capacity=1.5"),
        (CapacityResolver(max_pairs=-1), "max_pairs=-1"),
        (SinkhornResolver(max_iterations=-1), "max_iterations=-1"),
        (SinkhornResolver(sk_epsilon=0), "sk_epsilon=0"),
        (SinkhornResolver(sk_epsilon=float("nan")), "sk_epsilon=nan"),
    ],
)
def test_bad_parameters(items, resolver, words):
    x, model, _, ids = items
    with pytest.raises(ValueError, match=words):
        resolver.assign(ids, embeddings=x, model=model)


@pytest.mark.parametrize("cls", RESOLVERS)
def test_nothing_and_one(items, cls):
    x, model, _, ids = items
    assert cls().assign([], embeddings=x[:0], model=model) == []
    done = cls().resolve(ids[:1], embeddings=x[:1], model=model)
    assert (done.ids, len(done.moved), done.codes.tolist()) == (ids[:1], 0, model.encode(x[:1]).tolist())


def test_3686_real_items():
    """No two share a code, at less added error than Sinkhorn, in total and per moved item."""
    if not INDUSTRIAL.exists():
        pytest.skip("the data set is not here")
    x = np.load(INDUSTRIAL)
    with warnings.catch_warnings(action="ignore"):
        model = RQKMeans(n_levels=3, n_clusters=256, random_state=0).fit(x)
    codes = model.encode(x)
    ids = model.semantic_id(codes)
    capacity = CapacityResolver().resolve(ids, embeddings=x, model=model)
    assert capacity.exact
    assert len(np.unique(capacity.codes, axis=0)) == len(x) == len(set(capacity.ids))
    want, moving = least_added(model, x, codes)
    assert len(capacity.moved) == moving == len(x) - len(set(ids))
    assert capacity.added_error.sum() == pytest.approx(want, rel=1e-5)
    sinkhorn = SinkhornResolver(max_iterations=1000).resolve(ids, embeddings=x, model=model)
    assert len(np.unique(sinkhorn.codes, axis=0)) == len(x)
    assert capacity.added_error.sum() < sinkhorn.added_error.sum()
    assert capacity.added_error.mean() < sinkhorn.added_error.mean()
