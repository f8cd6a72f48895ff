"""What notebooks show of models and engines."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from semantic_id import (
    RQVAE,
    InMemoryCollisionStore,
    PostgresCollisionStore,
    RQKMeans,
    SemanticIdEngine,
    SQLiteCollisionStore,
    UniqueIdResolver,
)
from semantic_id.utils.metrics import perplexity_per_level


class Page(HTMLParser):
    """Reads HTML, in which every element must be closed; keeps names, attributes, text by element, rows of tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data

    def bars(self) -> list[str | None]:
        return [value for name, value in self.attributes if name == "aria-label"]


def page(shown: object) -> Page:
    html = shown._repr_html_()  # type: ignore[attr-defined]
    assert len(html) < 30_000
    return Page(html)


def test_an_unfitted_model() -> None:
    shown = page(RQKMeans())
    assert shown.text.startswith("RQKMeans not fitted yet")
    assert "Settings: the defaults" in shown.text
    assert ["n_levels", "4"] in shown.rows
    assert len(shown.rows) == 9
    assert page(RQVAE(layers=[3])).text.startswith("RQVAE not fitted yetSettings: layers=[3]")


def test_a_fitted_model(model: RQKMeans, blobs: np.ndarray) -> None:
    shown = page(model)
    assert shown.text.startswith("RQKMeans fitted to 2,000 rows of 12 columns, mean squared error ")
    assert f"{model.quantization_mse_:.4g}" in shown.text
    assert "Settings: n_levels=3, n_clusters=[20, 10, 5], random_state=0" in shown.text
    codes = model.encode(blobs)
    perplexity = perplexity_per_level(codes)
    assert shown.rows[:4] == [
        ["level", "codes", "in use", "perplexity", "share"],
        *([str(n), str(k), str(k), f"{perplexity[n]:.0f}", ""] for n, k in enumerate((20, 10, 5))),
    ]
    share = 100 * perplexity[1] / 10
    assert (
        shown.bars()[1] == f"level 1: 100 % of the codes in use, as varied as {share:.0f} % of them used equally often"
    )


def test_cluster_sizes(blobs: np.ndarray) -> None:
    model = RQKMeans(2, [20, 10], random_state=0)
    for codes in (model.fit_encode(blobs), model.fit(blobs).encode(blobs)):
        for level, sizes in enumerate(model.cluster_sizes_):
            np.testing.assert_array_equal(sizes, np.bincount(codes[:, level], minlength=len(sizes)))
    model.refine(blobs, beam_size=3)
    for level, sizes in enumerate(model.cluster_sizes_):
        np.testing.assert_array_equal(
            sizes, np.bincount(model.encode(blobs, beam_size=3)[:, level], minlength=len(sizes))
        )
    even = RQKMeans(2, 16, implementation="constrained", random_state=0).fit(blobs)
    assert [sizes.tolist() for sizes in even.cluster_sizes_] == [[125] * 16] * 2


def test_codes_that_are_not_used(tmp_path: Path) -> None:
    with pytest.warns(match="fewer distinct rows"):
        model = RQKMeans(1, 4, random_state=0).fit([[0.0], [0.0], [0.0], [1.0]])
    shown = page(model)
    assert shown.rows[1][:4] == ["0", "4", "2", "2"]  # perplexity of 3 and 1 is 1.75
    assert shown.bars() == ["level 0: 50 % of the codes in use, as varied as 44 % of them used equally often"]


def test_loaded_and_assigned(model: RQKMeans, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    shown = page(RQKMeans.load(tmp_path / "model"))
    assert "fitted to 2,000 rows of 12 columns" in shown.text
    assert shown.rows[:4] == [["level", "codes"], ["0", "20"], ["1", "10"], ["2", "5"]]
    made = RQKMeans(1, 2)
    made.codebooks_ = [np.eye(2, dtype=np.float32)]
    assert page(made).text.startswith("RQKMeans of 2 columns")


def test_rqvae(blobs: np.ndarray, tmp_path: Path) -> None:
    model = RQVAE(12, [8, 4], e_dim=4, layers=[8], kmeans_init=True, lr=1e-2, epochs=3, random_state=0).fit(blobs)
    shown = page(model)
    kept = model.kept_epoch_
    assert f"3 epochs, number {kept + 1} kept, mean squared error {model.history_['error'][kept]:.4g}" in shown.text
    assert [row[1] for row in shown.rows[1:3]] == ["8", "4"]
    used = [round(u * k) for u, k in zip(model.history_["utilization"][kept], (8, 4), strict=True)]
    assert [row[2] for row in shown.rows[1:3]] == [str(u) for u in used]
    model.save(tmp_path / "model")
    shown = page(RQVAE.load(tmp_path / "model"))
    assert "RQVAE of 12 columns" in shown.text
    assert shown.rows[:3] == [["level", "codes"], ["0", "8"], ["1", "4"]]


def test_a_model_of_many_levels() -> None:
    model = RQKMeans(40, 2)
    model.codebooks_ = [np.eye(2, dtype=np.float32)] * 40
    shown = page(model)
    assert "and 28 more levels" in shown.text
    assert shown.rows[12] == ["11", "2"]


def test_engines(model: RQKMeans) -> None:
    shown = page(SemanticIdEngine(model, UniqueIdResolver(InMemoryCollisionStore())))
    assert shown.text.startswith("SemanticIdEngine gives each id once")
    assert ["unique_resolver", "UniqueIdResolver(InMemoryCollisionStore())"] in shown.rows
    assert "RQKMeans fitted to 2,000 rows" in shown.text
    assert len(shown.bars()) == 3
    assert "ids of version '2'" in page(SemanticIdEngine(RQKMeans(), version="2")).text
    store = PostgresCollisionStore("postgresql://me:secret@db.example.com/ids")
    assert "secret" not in page(SemanticIdEngine(RQKMeans(), UniqueIdResolver(store))).text


def test_values_are_escaped() -> None:
    evil = "</code><script>alert(1)</script><img src=x onerror='alert(2)'>"

    class Encoder:
        def __repr__(self) -> str:
            return evil

    shown = [
        RQKMeans(metric=evil),
        RQKMeans(random_state=[evil] * 100),
        SemanticIdEngine(Encoder(), UniqueIdResolver(SQLiteCollisionStore(evil))),
    ]
    for each in shown:
        got = page(each)
        assert not {"script", "img"} & set(got.tags)
        assert "<script>alert(1)</script>" in got.text
        assert not [name for name, _ in got.attributes if name.startswith("on")]


def test_it_needs_no_network_and_no_styles_of_a_page(model: RQKMeans) -> None:
    html = SemanticIdEngine(model)._repr_html_()
    assert not re.search(r"https?:|src=|href=|<script|<style|\bid=|\bclass=", html)
    for colour in re.findall(r"#[0-9a-f]+", html):
        assert colour in ("#8886", "#8889", "#4c8dd6", "#4c8dd666")  # seen on light and on dark pages


def test_in_a_pipeline(model: RQKMeans) -> None:
    pipeline = pytest.importorskip("sklearn.pipeline")
    assert "RQKMeans" in pipeline.make_pipeline(model)._repr_html_()


def test_it_takes_no_other_package(python: Callable[..., str]) -> None:
    out = python("""
        import sys
        from semantic_id import RQKMeans, SemanticIdEngine
        SemanticIdEngine(RQKMeans(1, 2).fit([[0.0], [1.0]]))._repr_html_()
        print(*sorted(sys.modules.keys() & {"matplotlib", "IPython", "pandas", "sklearn"}))
    """)
    assert out == "\n"
