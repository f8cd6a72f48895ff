"""`semantic_id.report`: what is in the file. What a browser makes of it is in test_report_page.py."""

import base64
import json
import os
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from semantic_id import RQKMeans, SemanticIdEngine, ShapeMismatchError, evaluate, report
from semantic_id._pca import principal_map
from semantic_id._report import _page

NASTY = [
    '<img src=x onerror="boom()">',
    "</script><script>boom()</script>",
    "<!--<script>",
    "{{ 7*7 }}",
    "a & b\u2028c",
]


class Page(HTMLParser):
    """The elements of a report, its text outside of scripts, and the data of its scripts."""

    def __init__(self, path):
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tags, self.attributes, self.texts, self.inside = Counter(), [], [], None
        self.feed(self.html)
        self.text = " ".join(" ".join(self.texts).split())
        self.data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', self.html)[1])

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes += attributes
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, text):
        if self.inside not in ("script", "style"):
            self.texts.append(text)

    def array(self, packed):
        kinds = {"Float32Array": "<f4", "Uint16Array": "<u2", "Uint32Array": "<u4"}
        return np.frombuffer(base64.b64decode(packed[1]), kinds[packed[0]])

    def codes(self):
        return np.column_stack([self.array(column) for column in self.data["codes"]])


@pytest.fixture
def made(tmp_path):
    """Write a report and read it."""

    def make(*args, **kwargs):
        report(*args[:2], tmp_path / "report.html", *args[2:], **kwargs)
        assert os.listdir(tmp_path) == ["report.html"]
        return Page(tmp_path / "report.html")

    return make


# --- what it says ---


def test_the_figures_are_those_of_evaluate(made, blobs, model):
    page = made(blobs, model, sample_size=None)
    values = evaluate(blobs, model.encode(blobs), model, full=True, sample_size=None)
    assert f"item recall at 10 {values['item_recall_at_10']:.4g}" in page.text
    assert f"perplexity of ids {values['perplexity']:,.0f}" in page.text
    assert f"Most items on one id {values['largest_bucket']}" in page.text
    lost = 100 * values["quantization_mse"] / blobs.var(axis=0, dtype=np.float64).mean()
    assert f"Lost in the codes {lost:.3g} %" in page.text
    own = f"{values['n_unique_codes']:,} different ids for 2,000 items: a collision rate of"
    assert own in page.text
    assert "2,000 items, ids of 3 codes: 20 x 10 x 5" in page.text
    assert re.search(rf"second 10 100\.0 % 0 {values['perplexity_per_level'][1]:,.4g} ", page.text)


def test_figures_that_are_worth_a_look(made):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 4))
    codes = np.column_stack([np.where(rng.random(1000) < 0.02, rng.integers(0, 9, 1000), 3), rng.integers(0, 2, 1000)])
    page = made(x, codes, labels=rng.integers(0, 5, 1000))
    looks = "codes in use" if len(set(codes[:, 0])) < 9 else "evenness of use"
    assert f"Worth a look: {looks}" in page.text
    assert "near items, near ids" in page.text.split("Worth a look:")[1].split(".")[0]
    assert "▲ 1.1" in page.text  # perplexity of the first level
    assert "✓ good" in made(x, RQKMeans(2, 16, random_state=0).fit(x)).text


def test_the_items_come_in_the_order_of_their_ids(made, blobs, model):
    names = [f"item {i}" for i in range(2000)]
    page = made(blobs, model, items=names)
    codes = model.encode(blobs)
    rows = page.array(page.data["rows"])
    assert sorted(rows) == list(range(2000))
    np.testing.assert_array_equal(page.codes(), codes[rows])
    assert page.data["items"] == [f"item {row}" for row in rows]
    listed = list(map(tuple, page.codes().tolist()))
    assert listed == sorted(listed)
    for depth in (1, 2, 3):
        want = Counter(row[:depth] for row in listed)
        assert page.array(page.data["counts"][depth - 1]).tolist() == [want[prefix] for prefix in sorted(want)]
    for level, use in enumerate(page.data["use"]):
        counts = np.bincount(codes[:, level])
        np.testing.assert_array_equal(page.array(use["counts"]), np.sort(counts)[::-1])
        np.testing.assert_array_equal(page.array(use["counts"]), counts[page.array(use["codes"])])


def test_buckets_and_shared_ids(made):
    codes = [[0, 1]] * 60 + [[2, 0]] * 3 + [[2, 1]] + [[3, 0]] * 2
    x = np.random.default_rng(0).normal(size=(66, 2))
    page = made(x, codes, [f"thing {i}" for i in range(66)])
    assert page.data["bars"] == [["1", 1, 1], ["2", 1, 2], ["3", 1, 3], ["4", 0, 0], ["5 to 9", 0, 0],
                                 ["10 to 19", 0, 0], ["20 to 49", 0, 0], ["50 to 99", 1, 60]]  # fmt: skip
    shared = page.text.split("Shared ids")[-1]
    assert "3 ids are shared by two items or more." in shared
    assert re.search(r"0-1 60 items thing 0 .* 54 more .* thing 49 and 10 more 2-0 3 items thing 60 thing 61", shared)
    assert "No two items have the same id." in made(x, np.arange(66)[:, None]).text


def test_labels(made, blobs, model):
    labels = np.where(np.arange(2000) % 3 == 0, None, np.where(blobs[:, 0] > 0, "plus", "minus"))
    page = made(blobs, model, labels=labels)
    of, names = page.array(page.data["labels"]["of"]), page.data["labels"]["names"]
    assert page.data["labels"]["missing"]
    rows = page.array(page.data["rows"])
    assert [names[i] or None for i in of] == labels[rows].tolist()
    values = evaluate(blobs, model.encode(blobs), labels=labels)
    assert f"over the {values['n_labeled']:,} of 2,000 items that have a label" in page.text
    assert f"Labels that first codes tell {values['prefix_nmi'][1]:.2f}" in page.text


@pytest.mark.parametrize("nothing", [[None] * 50, [float("nan")] * 50, [np.float32("nan")] * 50])
def test_no_label_at_all(made, nothing):
    x = np.random.default_rng(0).normal(size=(50, 3))
    page = made(x, RQKMeans(2, 4, random_state=0).fit(x), labels=nothing)
    assert "Labels that first codes tell not defined" in page.text


def test_all_forms_of_codes_give_one_page(made, blobs, model):
    codes = model.encode(blobs)
    ids, tokens = model.semantic_id(codes), model.semantic_id(codes, fmt="token")
    want = made(blobs, codes, encoder=model).html
    for same in (
        codes.tolist(),
        codes.astype(np.int64),
        ids,
        tuple(tokens),
        np.array(ids),
        [t.split("-") for t in ids],
    ):
        assert made(blobs, same, encoder=model).html == want
    assert made(blobs, model).html == want
    assert made(blobs, SemanticIdEngine(model)).html == want
    named = dict(zip(map(str, range(2000)), ids, strict=True))
    assert made(blobs, named, encoder=model).html == made(blobs, codes, list(named), encoder=model).html


def test_tokens_that_are_no_numbers_stay_as_they_are(made):
    x = np.random.default_rng(0).normal(size=(4, 2))
    page = made(x, [["red", "x"], ["red", "y"], ["blue", "x"], ["blue", "x"]])
    assert [dict(part) for part in page.data["parts"]] == [{0: "red", 1: "blue"}, {0: "x", 1: "y"}]
    assert "blue-x 2 items" in page.text


def test_coordinates(made, blobs, model):
    places = np.random.default_rng(0).normal(size=(2000, 2)) * 3 + 100
    page = made(blobs, model, coordinates=places.tolist())
    xy = np.column_stack([page.array(page.data["x"]), page.array(page.data["y"])])
    want = (places - places.mean(axis=0))[page.array(page.data["rows"])]
    np.testing.assert_allclose(xy, want / np.abs(want).max(), atol=1e-6)
    assert "The coordinates were given" in page.text
    assert "of the variance, so that" not in page.text


# --- many, few ---


def test_more_items_than_are_shown(made, blobs, model):
    page = made(blobs, model, max_items=150)
    codes = model.encode(blobs)
    assert "The map and the tree hold 150 of the 2,000 items" in page.text
    assert len(page.array(page.data["rows"])) == 150
    first, counts = np.unique(codes[:, 0], return_counts=True)
    kept = np.isin(first, page.codes()[:, 0])
    assert kept.sum() >= (counts >= 14).sum()  # spread evenly: a prefix of as many is in
    np.testing.assert_array_equal(page.array(page.data["counts"][0]), counts[kept])
    whole = made(blobs, model)
    assert page.text.split("In short")[1].split("Good:")[1] == whole.text.split("In short")[1].split("Good:")[1]
    assert page.data["bars"] == whole.data["bars"]


def test_a_million_items(made):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_000_000, 3)).astype(np.float32)
    codes = rng.integers(0, 200, (1_000_000, 2), dtype=np.int32)
    page = made(x, codes, range(1_000_000), sample_size=10)
    assert "The map and the tree hold 100,000 of the 1,000,000 items" in page.text
    assert page.array(page.data["counts"][1]).sum() == 1_000_000
    assert len(page.html.encode()) < 15e6


def test_a_hundred_thousand_items_stay_below_15_mb(made):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 8)).astype(np.float32)
    codes = rng.integers(0, 256, (100_000, 4))
    names = ["".join(map(chr, row)) for row in rng.integers(33, 127, (100_000, 150))]  # with much to escape
    page = made(x, codes, names, labels=[f"label {i}" for i in range(100_000)], sample_size=10)
    assert len(page.html.encode()) < 15e6
    assert "Long names are cut" in page.text
    lengths = {len(name) for name in page.data["items"]}
    assert lengths == {40} or lengths == {24}
    row = page.array(page.data["rows"])[5]
    assert page.data["items"][5] == " ".join(names[row].split())[: max(lengths) - 1] + "…"


def test_few_of_very_many_codes(made):
    """Numbers from elsewhere, such as keys: what is not used is not in the file."""
    x = np.random.default_rng(0).normal(size=(20, 3))
    page = made(x, [[i << 20, 5] for i in range(20)])
    assert len(page.html) < 5e6
    assert page.array(page.data["use"][0]["counts"])[:21].tolist() == [1] + [0] * 20  # one in a step
    assert sorted(code for code, _ in page.data["colours"]) == [i << 20 for i in range(20)]


def test_a_first_code_for_each_of_many_items(made):
    n = 50_000
    x = np.random.default_rng(0).normal(size=(n, 2))
    page = made(x, np.arange(n)[:, None], sample_size=10)
    assert len(page.data["colours"]) == n
    assert {colour for _, colour in page.data["colours"]} == set(range(10))


def test_one_item(made):
    page = made([[1.0, 2.0]], [[3, 4]], ["only"], labels=["a"])
    assert "1 item is too few" in page.text
    assert page.data["items"] == ["only"]
    assert page.array(page.data["x"]).tolist() == [0.0]
    assert "nan" not in page.text.lower().split()


def test_rows_that_are_all_the_same(made):
    page = made(np.full((30, 3), 7.0), np.zeros((30, 2), int))
    assert not page.array(page.data["x"]).any()
    assert "Lost in the codes" not in page.text


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_constant_columns(made, columns):
    x = np.full((40, columns), 3.0)
    x[:, 0] = np.arange(40)
    page = made(x, np.arange(40)[:, None] // 8)
    np.testing.assert_allclose(np.abs(page.array(page.data["x"])), np.abs(np.arange(40) - 19.5) / 19.5, atol=1e-6)
    np.testing.assert_allclose(page.array(page.data["y"]), 0, atol=1e-6)


# --- what must not be ---


def test_texts_are_never_html(made, blobs, model):
    names = [NASTY[i % len(NASTY)] for i in range(2000)]
    plain = made(blobs, model, ["x"] * 2000, ["y"] * 2000)
    page = made(blobs, model, names, names[::-1], title=NASTY[1])
    assert page.tags == plain.tags
    assert set(page.data["items"]) == {" ".join(name.split()) for name in NASTY}
    assert set(page.data["labels"]["names"]) == set(page.data["items"])
    assert f"{NASTY[1]} 2,000 items" in page.text
    assert "boom()</script>" not in page.html
    ids = [[f"<b>{code}", "</script>"] for code in range(20)] * 2
    page = made(blobs[:40], ids)
    assert page.tags["b"] == plain.tags["b"] - 2  # no figure of labels or error
    assert "<b>0-</script> 2 items" in page.text


def test_nothing_is_loaded_from_anywhere(made, blobs, model):
    page = made(blobs, model)
    refers = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value.startswith(("#", "data:")) for value in refers)
    (policy,) = [value for name, value in page.attributes if value and "default-src" in value]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy


def test_the_same_arguments_give_the_same_file(made, blobs, model):
    assert made(blobs, model).html == made(blobs, model).html


X = np.random.default_rng(1).normal(size=(20, 3))
CODES = np.arange(40).reshape(20, 2) % 5


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"X": np.empty((0, 3)), "codes": np.empty((0, 2), int)}, ShapeMismatchError, "at least one sample"),
        ({"X": [], "codes": []}, ShapeMismatchError, "codes are of no item: want at least one sample"),
        ({"X": np.where(np.arange(20)[:, None] == 7, np.nan, X)}, ValueError, "NaN or Inf.*row 7"),
        ({"codes": CODES[:19]}, ShapeMismatchError, "X has 20 rows, codes have 19"),
        ({"codes": "ids.csv"}, TypeError, "codes is 'ids.csv': want codes, a sequence of ids, or a model"),
        ({"codes": CODES - 3}, ValueError, r"codes\[0, 0\] is -3: want codes >= 0"),
        ({"codes": CODES + 0.5}, ValueError, "Expected integer codes"),
        ({"codes": ["1-2"] * 19 + ["1-2-3"]}, ShapeMismatchError, "3 codes for item 19, the first has 2"),
        ({"codes": ["1-2"] * 19 + ["1-"]}, ValueError, r"codes\[19\] is '1-'"),
        ({"codes": ["1-2"] * 19 + [None]}, ValueError, r"codes\[19\] is None"),
        ({"codes": [[1, 2]] * 19 + [[1]]}, ShapeMismatchError, "different lengths"),
        ({"items": ["a"] * 3}, ShapeMismatchError, "3 items for 20 rows"),
        ({"items": "a" * 20}, TypeError, "items is 'aaa"),
        ({"items": dict.fromkeys(range(20))}, TypeError, "items is {0: None"),
        ({"items": 5}, TypeError, "items is 5: want a sequence of 20"),
        ({"labels": "a" * 20}, TypeError, "labels is 'aaa"),
        ({"labels": ["a"] * 21}, ShapeMismatchError, "21 labels for 20 rows"),
        ({"labels": [["a"]] * 20}, ValueError, r"label \['a'\] at row 0"),
        ({"coordinates": X}, ShapeMismatchError, r"coordinates of shape \(20, 3\): want \(20, 2\)"),
        ({"coordinates": [["a", "b"]] * 20}, ValueError, "coordinates are not all numbers"),
        ({"coordinates": np.full((20, 2), 1e300)}, ValueError, "coordinates of row 0 are .* at most 3.4e38"),
        ({"coordinates": np.where(np.arange(20)[:, None] == 4, np.inf, X[:, :2])}, ValueError, "coordinates of row 4"),
        ({"max_items": 0}, ValueError, "max_items=0"),
        ({"k": 0}, ValueError, "k=0"),
        ({"codes": RQKMeans(2, 4)}, ValueError, "fit"),
    ],
)
def test_bad_input(tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        report(**({"X": X, "codes": CODES, "path": tmp_path / "r.html"} | arguments))
    assert os.listdir(tmp_path) == []


def test_a_path_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"none does not exist; make it first"):
        report(X, CODES, tmp_path / "none" / "r.html")
    with pytest.raises(ValueError, match="is a directory"):
        report(X, CODES, tmp_path)
    with pytest.raises(ValueError, match=r"new/' is no name of a file"):
        report(X, CODES, f"{tmp_path}/new/")
    with pytest.raises(ValueError, match="'' is no name of a file"):
        report(X, CODES, "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_half_written_file_is_never_left(tmp_path, monkeypatch, failure):
    (tmp_path / "r.html").write_text("before")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(failure)):
        report(X, CODES, tmp_path / "r.html")
    assert os.listdir(tmp_path) == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "before"


def test_without_the_extra(python):
    said = python("""
        import sys
        sys.modules["plotly"] = None
        from semantic_id import report
        try:
            report([[1.0]], [[0]], "r.html")
        except ImportError as error:
            print(error)
    """)
    assert said == "report needs plotly: pip install 'semantic-id[report]'\n"


def test_items_of_any_kind(made):
    pandas = pytest.importorskip("pandas")
    items = pandas.Series(["a\nb", None, pandas.NA, 4.5, "\ud83d"] * 4, dtype=object)
    page = made(X, CODES, items)
    assert set(page.data["items"]) == {"a b", "", "4.5", "?"}


# --- parts ---


@pytest.mark.parametrize("shape", [(300, 40), (50, 200), (9000, 3), (2, 5)])
def test_principal_map_is_that_of_an_svd(shape):
    rng = np.random.default_rng(3)
    x = (rng.normal(size=shape) * 0.8 ** np.arange(shape[1]) * 50 + 1000).astype(np.float32)
    places, shares, variance = principal_map(x)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    want = left[:, :2] * values[:2]
    want /= np.abs(want).max()
    signs = np.sign((places * want).sum(axis=0))
    np.testing.assert_allclose(places * signs, want, atol=2e-3)
    total = (centred**2).sum()
    np.testing.assert_allclose(shares, values[:2] ** 2 / total, atol=1e-5)
    np.testing.assert_allclose(variance, total / x.size, rtol=1e-6)


def test_principal_map_of_huge_numbers_and_many_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50_000, 6)).astype(np.float32)
    x[:, 2] *= 4
    x[:, 5] *= 2
    places, shares, _ = principal_map(x * np.float32(1e37))
    assert np.isfinite(places).all()
    np.testing.assert_allclose(shares, [16 / 24, 4 / 24], atol=0.01)
    assert abs(np.corrcoef(places[:, 0], x[:, 2])[0, 1]) > 0.999
    assert abs(np.corrcoef(places[:, 1], x[:, 5])[0, 1]) > 0.999


def test_scripts_do_not_end_early():
    assert "</script" not in "".join(map(_page._read, _page._SCRIPTS))
