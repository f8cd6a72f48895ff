"""Files for Apple's Embedding Atlas: what is in them, and that its server opens them and its page shows them."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpydoc.validate import validate
from semantic_id import RQKMeans, SemanticIdEngine, ShapeMismatchError, to_embedding_atlas
from semantic_id.exceptions import CodeError
from test_docs import UNWANTED

HTML = """<script>document.title = "run"</script><b>bold</b> & "quoted" café"""
PLACE = ["--x", "x", "--y", "y"]


@pytest.fixture(scope="module")
def codes(model: RQKMeans, blobs: np.ndarray) -> np.ndarray:
    return model.encode(blobs)


def rows_of(path: Path) -> dict[str, list[Any]]:
    return pq.read_table(path).to_pydict()


def test_columns(tmp_path: Path, model: RQKMeans, blobs: np.ndarray, codes: np.ndarray) -> None:
    path = tmp_path / "items.parquet"
    items = [f"item {i}" for i in range(2000)]
    labels = np.arange(2000) % 7
    prices = np.linspace(0, 1, 2000)
    command = to_embedding_atlas(blobs, codes, path, items, labels=labels, columns={"price": prices})
    assert shlex.split(command) == ["embedding-atlas", str(path), *PLACE, "--text", "text"]
    table = rows_of(path)
    assert list(table) == ["text", "label", "prefix_1", "prefix_2", "prefix_3", "semantic_id", "price", "x", "y"]
    assert table["text"] == items
    assert table["label"] == [str(label) for label in labels]
    assert table["prefix_1"] == [str(a) for a, _, _ in codes]
    assert table["prefix_2"] == [f"{a}-{b}" for a, b, _ in codes]
    assert table["prefix_3"] == table["semantic_id"] == model.semantic_id(codes)
    assert table["price"] == prices.tolist()

    centred = blobs.astype(np.float64) - blobs.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2]
    for name, direction in zip("xy", directions, strict=False):
        assert abs(np.corrcoef(table[name], centred @ direction)[0, 1]) > 0.9999


def test_neighbors_are_exact(tmp_path: Path, blobs: np.ndarray, codes: np.ndarray) -> None:
    path = tmp_path / "items.parquet"
    command = to_embedding_atlas(blobs, codes, path, n_neighbors=4)
    assert shlex.split(command)[2:] == [*PLACE, "--neighbors", "neighbors"]
    x = blobs.astype(np.float64)
    squares = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    nearest = np.argsort(squares, axis=1, kind="stable")[:, :4]
    found = rows_of(path)["neighbors"]
    np.testing.assert_array_equal([row["ids"] for row in found], nearest)
    distances = np.sqrt(np.take_along_axis(squares, nearest, axis=1))
    np.testing.assert_allclose([row["distances"] for row in found], distances, rtol=1e-6)


def test_codes_are_given_as_to_report(tmp_path: Path, model: RQKMeans, blobs: np.ndarray, codes: np.ndarray) -> None:
    path = tmp_path / "items.parquet"

    def columns(codes: Any, **options: Any) -> dict[str, list[Any]]:
        to_embedding_atlas(blobs, codes, path, **options)
        return rows_of(path)

    want = columns(codes)
    ids, tokens = model.semantic_id(codes), model.semantic_id(codes, fmt="token")
    for same in (model, SemanticIdEngine(model), ids, tuple(tokens), [one.split("-") for one in ids], codes.tolist()):
        assert columns(same) == want
    assert columns([one.replace("-", "/") for one in ids], sep="/")["prefix_2"] == [f"{a}/{b}" for a, b, _ in codes]
    named = {f"SKU-{i}": one for i, one in enumerate(ids)}
    assert columns(named) == columns(codes, items=list(named))
    assert columns(named, items=ids)["text"] == ids
    words = columns([["red", "x"], ["blue", "y"]] * 1000)
    assert words["prefix_1"][:2] == ["red", "blue"]
    assert words["semantic_id"][:2] == words["prefix_2"][:2] == ["red-x", "blue-y"]


def test_many_rows_come_in_groups(tmp_path: Path) -> None:
    n = 2 * 65_536 + 3
    rng = np.random.default_rng(0)
    places, codes = rng.normal(size=(n, 2)).astype(np.float32), rng.integers(0, 50, (n, 2))
    path = tmp_path / "items.parquet"
    price = pa.chunked_array([np.arange(70_000), np.arange(70_000, n)])
    to_embedding_atlas(None, codes, path, range(n), columns={"price": price}, coordinates=places)
    assert pq.ParquetFile(path).num_row_groups == 3
    table = rows_of(path)
    assert table["text"] == [str(i) for i in range(n)]
    assert table["price"] == list(range(n))
    assert table["semantic_id"] == [f"{a}-{b}" for a, b in codes.tolist()]
    np.testing.assert_array_equal(np.transpose([table["x"], table["y"]]), places)


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, pl.Series, pa.array])
def test_texts_from_anywhere(tmp_path: Path, kind: Callable[[list[str]], Any]) -> None:
    path = tmp_path / "items.parquet"
    to_embedding_atlas(np.eye(3), np.zeros((3, 1), int), path, kind(["a", HTML, ""]), ids=kind(["0", "0-1", "0-2"]))
    table = rows_of(path)
    assert table["text"] == ["a", HTML, ""]
    assert table["semantic_id"] == ["0", "0-1", "0-2"]
    assert table["prefix_1"] == ["0", "0", "0"]


def test_what_is_missing_is_null(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    missing = [None, np.float32("nan"), pd.NA, pd.NaT, "there"]
    frame = pd.DataFrame({"size": [1.5, None, 2.5, None, 3.5], "kind": pd.Categorical(["a", "b", None, "a", "b"])})
    to_embedding_atlas(np.eye(5), np.zeros((5, 1), int), path, missing, labels=missing, columns=frame)
    table = rows_of(path)
    assert table["text"] == table["label"] == [None, None, None, None, "there"]
    assert table["size"] == [1.5, None, 2.5, None, 3.5]
    assert table["kind"] == ["a", "b", None, "a", "b"]


def test_one_item(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    command = to_embedding_atlas([[1.0, 2.0, 3.0]], [[4, 5]], path, ["only"], n_neighbors=5)
    assert "--neighbors" not in command
    expected = {
        "text": ["only"],
        "prefix_1": ["4"],
        "prefix_2": ["4-5"],
        "semantic_id": ["4-5"],
        "x": [0.0],
        "y": [0.0],
    }
    assert rows_of(path) == expected


def test_a_path_with_spaces_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "my 'items'.parquet"
    assert shlex.split(to_embedding_atlas(np.eye(2), [[0], [1]], path))[1] == str(path)
    assert path.exists()


X3, C3 = np.eye(3), np.zeros((3, 2), int)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X3, C3), {"path": "items.csv"}, ValueError, "items.csv: want a name that ends in .parquet"),
        ((X3, C3), {"path": "missing/items.parquet"}, ValueError, "missing does not exist; make it first"),
        ((X3, C3[:0]), {}, ShapeMismatchError, "no item: want at least one sample"),
        ((X3, C3[:2]), {}, ShapeMismatchError, "X has 3 rows, codes have 2"),
        ((X3, C3 - 1), {}, CodeError, r"codes\[0, 0\] is -1: want codes >= 0"),
        ((X3, C3 + 0.5), {}, ValueError, "integer codes"),
        ((X3 * np.nan, C3), {}, ValueError, "NaN or Inf values, first in row 0"),
        ((None, C3), {}, ValueError, "X is None: want embeddings, or coordinates"),
        ((None, C3), {"coordinates": X3[:, :2], "n_neighbors": 1}, ValueError, "X is None"),
        ((X3, C3), {"coordinates": X3}, ShapeMismatchError, r"coordinates of shape \(3, 3\): want \(3, 2\)"),
        ((X3, C3), {"coordinates": np.full((3, 2), np.inf)}, ValueError, "coordinates of row 0"),
        ((X3, C3), {"n_neighbors": -1}, ValueError, "n_neighbors=-1"),
        ((X3, C3, ["a", "b"]), {}, ShapeMismatchError, "2 items for 3 rows"),
        ((X3, C3, "abc"), {}, TypeError, "items is 'abc'"),
        ((X3, C3, {"text": ["a", "b", "c"]}), {}, TypeError, "items is {'text'"),
        ((X3, C3, ["a", "b", "\ud800"]), {}, ValueError, r"items\[2\] is '\\ud800': not a text in Unicode"),
        ((X3, C3), {"labels": [1, 2]}, ShapeMismatchError, "2 labels for 3 rows"),
        (
            (X3, C3),
            {"columns": {"size": [1]}},
            ShapeMismatchError,
            r"columns\['size'\] has 1 values, codes have 3 rows",
        ),
        ((X3, C3), {"columns": {"size": [1, "a", 2]}}, ValueError, r"columns\['size'\] is no column of one type"),
        ((X3, C3), {"columns": {"X": [1, 2, 3]}}, ValueError, "'X', which is taken"),
        ((X3, C3), {"columns": {"a": [1, 2, 3], "A": [1, 2, 3]}}, ValueError, "'A', which is taken"),
        ((X3, C3), {"columns": {"prefix_2": [1, 2, 3]}}, ValueError, "'prefix_2', which is taken"),
        ((X3, C3), {"columns": {1: [1, 2, 3]}}, ValueError, "the name 1: want texts"),
    ],
)
def test_bad_input_leaves_what_was_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("items.parquet").write_bytes(b"before")
    x, codes, *items = arguments
    rest = {name: value for name, value in options.items() if name != "path"}
    with pytest.raises(error, match=message):
        to_embedding_atlas(x, codes, options.get("path", "items.parquet"), *items, **rest)
    assert {p.name: p.read_bytes() for p in Path().iterdir()} == {"items.parquet": b"before"}


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "items.parquet"
    path.write_bytes(b"before")
    written = []

    def write_table(self: Any, table: Any, **_: Any) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(table)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)
    with pytest.raises(OSError, match=r"No space left on device.*items\.parquet"):
        to_embedding_atlas(None, np.zeros((70_000, 1), int), path, coordinates=np.zeros((70_000, 2)))
    assert [p.name for p in tmp_path.iterdir()] == ["items.parquet"]
    assert path.read_bytes() == b"before"


def test_without_pyarrow(python: Callable[..., str]) -> None:
    out = python("""
        import sys
        sys.modules["pyarrow"] = None
        import semantic_id
        try:
            semantic_id.to_embedding_atlas([[1.0]], [[0]], "a.parquet")
        except ValueError as error:
            print(error)
    """)
    assert out == "a.parquet: writing .parquet needs pyarrow: pip install 'semantic-id[parquet]'\n"


def test_numpydoc() -> None:
    faults = validate("semantic_id.to_embedding_atlas")["errors"]
    assert [fault for fault in faults if fault[0] not in UNWANTED] == []


# --- Embedding Atlas itself ---


class Server:
    """Embedding Atlas, started by the command that `to_embedding_atlas` returned."""

    def __init__(self, program: str, command: str, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = home / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, *shlex.split(command)[1:], "--host", "127.0.0.1", "--port", str(port), "--no-auto-port"],
                env=os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home), "HF_HUB_OFFLINE": "1"},
                stdout=log,
                stderr=log,
            )
        for _ in range(600):
            try:
                self.metadata = json.loads(self.get("/data/metadata.json"))
                return
            except OSError:
                assert self.process.poll() is None, self._log.read_text()
                time.sleep(0.1)
        raise TimeoutError(self._log.read_text())

    def get(self, path: str, data: Any = None) -> bytes:
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(self.url + path, body, timeout=60) as answer:
            content: bytes = answer.read()
            return content

    def query(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.get("/data/query", {"type": "json", "sql": sql}))
        return rows


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, blobs: np.ndarray, codes: np.ndarray
) -> Generator[Server, None, None]:
    program = os.environ.get("SEMANTIC_ID_ATLAS")
    if program is None:
        pytest.skip("SEMANTIC_ID_ATLAS does not name the program embedding-atlas: see .ci/run")
    home = tmp_path_factory.mktemp("atlas")
    items: list[str | None] = [f"item {i}" for i in range(2000)]
    items[:2] = [HTML, None]
    labels = [None, float("nan"), *(i % 7 for i in range(2, 2000))]
    command = to_embedding_atlas(
        blobs, codes, home / "items.parquet", items, labels=labels, columns={"price": np.arange(2000)}, n_neighbors=3
    )
    running = Server(program, command, home)
    yield running
    running.process.terminate()
    running.process.wait(30)


def test_the_server_knows_the_columns(server: Server) -> None:
    data = server.metadata["props"]["data"]
    assert data["projection"] == {"x": "x", "y": "y"}
    assert (data["text"], data["neighbors"]) == ("text", "neighbors")
    kinds = {row["column_name"]: row["column_type"] for row in server.query("DESCRIBE dataset")}
    for name in ("text", "label", "prefix_1", "prefix_2", "prefix_3", "semantic_id"):
        assert kinds[name] == "VARCHAR"
    assert (kinds["x"], kinds["y"]) == ("FLOAT", "FLOAT")
    assert kinds["neighbors"] == "STRUCT(ids INTEGER[], distances FLOAT[])"


def test_the_server_serves_the_rows(server: Server, model: RQKMeans, codes: np.ndarray) -> None:
    rows = server.query("SELECT * FROM dataset ORDER BY __row_index__")
    assert [row["semantic_id"] for row in rows] == model.semantic_id(codes)
    assert [row["price"] for row in rows] == list(range(2000))
    assert [row["text"] for row in rows[:3]] == [HTML, None, "item 2"]
    assert [row["label"] for row in rows[:4]] == [None, None, "2", "3"]
    assert [len(row["neighbors"]["ids"]) for row in rows] == [3] * 2000
    counts = server.query("SELECT prefix_1, count(*) AS n FROM dataset GROUP BY prefix_1")
    assert {int(row["prefix_1"]): row["n"] for row in counts} == dict(enumerate(np.bincount(codes[:, 0])))
    found = json.loads(server.get("/data/selection", {"predicate": "prefix_2 = '3-1'", "format": "json"}))
    assert len(found) == ((codes[:, 0] == 3) & (codes[:, 1] == 1)).sum()


def test_the_page_shows_the_items(server: Server, codes: np.ndarray) -> None:
    """In a real browser that reaches nothing else. The map itself needs a graphics card, of which the page says so."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or pytest.skip("chromium is not there")
    errors: list[str] = []
    elsewhere: list[str] = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 2400})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: elsewhere.append(request.url) if server.url not in request.url else None)
        page.goto(server.url)
        page.wait_for_function("document.body.innerText.includes('2,000 / 2,000 points')", timeout=60_000)
        page.wait_for_function("document.body.innerText.includes('item 2')", timeout=60_000)
        text = page.inner_text("body")
        title = page.title()
        browser.close()
    assert HTML in text
    assert title != "run"
    for name in ("text", "label", "prefix_1", "prefix_2", "prefix_3", "semantic_id", "price"):
        assert f"\n{name}" in text
    largest = int(np.bincount(codes[:, 0]).argmax())
    assert re.search(rf"prefix_1\s+{largest}\s", text), "the commonest first code leads its chart"
    assert errors == []
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
