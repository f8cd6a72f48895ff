"""Readers of embedding files: every format gives the same rows, every fault a sentence that names the place."""

import json
import re

import numpy as np
import pytest
from semantic_id._tables import DataError, open_embeddings
from semantic_id.exceptions import SemanticIdError

X = np.array([[0.5, -1.25, 3.0], [1e-8, 2.0, -7.5], [0.1, 0.2, 0.3], [4.0, 5.0, 6.0]], np.float32)
IDS = ["b", "a", "ü,\n", "b"]  # in no order, not distinct, and in need of quotes


def read(path, **options):
    """Return all vectors and ids of a file, the vectors twice: through blocks() and through matrix()."""
    file = open_embeddings(str(path), **options)
    blocks = list(file.blocks())
    assert [b.start for b in blocks] == np.cumsum([0, *(len(b.vectors) for b in blocks)])[:-1].tolist()
    vectors = np.concatenate([b.vectors for b in blocks])
    matrix = open_embeddings(str(path), **options).matrix()
    np.testing.assert_array_equal(matrix, vectors)
    assert file.rows in (None, len(vectors))
    return vectors, [row_id for block in blocks for row_id in block.ids]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def fails(path, *words, **options):
    """Reading must fail with one line that has all the words in it; return that line."""
    with pytest.raises(DataError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert isinstance(caught.value, SemanticIdError)
    assert isinstance(caught.value, ValueError)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def csv_cell(vector):
    return '"' + json.dumps([float(v) for v in vector]) + '"'


# What can be read.


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u8", "?"])
def test_npy_keeps_its_dtype_and_is_mapped(tmp_path, dtype):
    x = np.abs(X).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    vectors, ids = read(tmp_path / "x.npy")
    np.testing.assert_array_equal(vectors, x)
    assert ids == [0, 1, 2, 3]
    assert isinstance(open_embeddings(str(tmp_path / "x.npy")).matrix(), np.memmap)


def test_npy_in_fortran_order(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(X))
    np.testing.assert_array_equal(read(tmp_path / "x.npy")[0], X)


def test_npz_takes_the_only_array_or_the_one_named(tmp_path):
    np.savez(tmp_path / "one.npz", X)
    np.testing.assert_array_equal(read(tmp_path / "one.npz")[0], X)
    np.savez_compressed(tmp_path / "two.npz", a=X, b=2 * X, id=np.array(IDS), other=np.arange(4))
    vectors, ids = read(tmp_path / "two.npz", key="b")
    np.testing.assert_array_equal(vectors, 2 * X)
    assert ids == IDS
    assert read(tmp_path / "two.npz", key="b", id_column="other")[1] == [0, 1, 2, 3]
    np.savez(tmp_path / "ids.npz", vectors=X, id=np.array(IDS))
    assert read(tmp_path / "ids.npz")[1] == IDS


@pytest.mark.parametrize(
    "cell",
    [csv_cell, lambda v: " ".join(map(repr, v.tolist())), lambda v: f'"{np.array2string(v)}"'],
    ids=["json", "spaces", "numpy"],
)
def test_csv_with_a_vector_column(tmp_path, cell):
    lines = ["title,id,embedding"]
    lines += [f'"t,{n}","{row_id}",{cell(row)}' for n, (row, row_id) in enumerate(zip(X, IDS, strict=True))]
    vectors, ids = read(write(tmp_path / "x.csv", "\n".join(lines)))
    np.testing.assert_array_equal(vectors, X)
    assert ids == IDS
    assert read(tmp_path / "x.csv", id_column="title")[1] == ["t,0", "t,1", "t,2", "t,3"]


def test_csv_with_a_column_a_number(tmp_path):
    rows = [f'"{row_id}",' + ",".join(map(repr, row.tolist())) for row, row_id in zip(X, IDS, strict=True)]
    vectors, ids = read(write(tmp_path / "x.csv", "id,x,y,z\r\n" + "\r\n".join(rows) + "\r\n\r\n"))
    np.testing.assert_array_equal(vectors, X)
    assert ids == [*IDS[:2], IDS[2], IDS[3]]


def test_csv_that_is_all_numbers(tmp_path):
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    vectors, ids = read(tmp_path / "x.csv")
    np.testing.assert_array_equal(vectors, X)
    assert ids == [0, 1, 2, 3]


def test_csv_as_pandas_writes_it(tmp_path):
    body = [",".join(map(repr, row.tolist())) for row in X]
    write(tmp_path / "plain.csv", "\n".join(["0,1,2", *body]))  # to_csv(index=False)
    vectors, ids = read(tmp_path / "plain.csv")
    np.testing.assert_array_equal(vectors, X)
    assert ids == [0, 1, 2, 3]
    write(tmp_path / "index.csv", "\n".join([",0,1,2", *(f"{n},{row}" for n, row in enumerate(body, 10))]))  # to_csv()
    vectors, ids = read(tmp_path / "index.csv")
    np.testing.assert_array_equal(vectors, X)
    assert ids == ["10", "11", "12", "13"]


def test_csv_with_a_byte_order_mark_and_a_long_cell(tmp_path):
    x = np.arange(60_000, dtype=np.float32)  # 400 KB in one cell, past the csv module's usual limit
    vectors, ids = read(write(tmp_path / "x.csv", f"id,vector\nq,{csv_cell(x)}\n", "utf-8-sig"))
    np.testing.assert_array_equal(vectors, x[None])
    assert ids == ["q"]


def test_jsonl(tmp_path):
    lines = [json.dumps({"vector": row.tolist(), "id": row_id}) for row, row_id in zip(X, IDS, strict=True)]
    vectors, ids = read(write(tmp_path / "x.jsonl", "\n".join([*lines[:2], " ", *lines[2:]]) + "\n"))
    np.testing.assert_array_equal(vectors, X)
    assert ids == IDS
    lines = [json.dumps({"n": n, "e": row.tolist()}) for n, row in enumerate(X)]
    vectors, ids = read(write(tmp_path / "y.jsonl", "\n".join(lines)), id_column="n")
    np.testing.assert_array_equal(vectors, X)
    assert ids == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed", "wide"])
@pytest.mark.parametrize("number", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("ids_as", ["string", "int64", "dictionary", "none"])
def test_parquet(tmp_path, kind, number, ids_as):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x = X.astype(number)
    if kind == "wide":
        columns = {name: pa.array(x[:, n]) for n, name in enumerate("xyz")}
    else:
        value = pa.from_numpy_dtype(x.dtype)
        types = {"list": pa.list_(value), "large_list": pa.large_list(value), "fixed": pa.list_(value, 3)}
        columns = {"embedding": pa.array(list(x), types[kind]), "text": pa.array(["t"] * 4)}
    want = {"string": IDS, "int64": [7, 5, 7, 6], "dictionary": IDS, "none": [0, 1, 2, 3]}[ids_as]
    if ids_as != "none":
        column = pa.array(want)
        columns["id"] = column.dictionary_encode() if ids_as == "dictionary" else column
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=3)
    vectors, ids = read(tmp_path / "x.parquet")
    np.testing.assert_array_equal(vectors, x)
    assert ids == want


def parts(directory, pieces, **columns):
    """Write a piece of the columns to each of part-0.parquet, part-1.parquet, ... and what is to be left out."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (directory / "2026").mkdir(parents=True)
    for n, piece in enumerate(pieces):
        table = pa.table({name: pa.array(list(values[piece])) for name, values in columns.items()})
        pq.write_table(table, directory / ("2026" if n < 2 else "") / f"part-{n}.parquet", row_group_size=3)
    for name in ("_temporary.parquet", ".part-0.parquet.crc", "_SUCCESS", "notes.txt"):
        (directory / name).write_text("x")
    return directory


def test_a_directory_of_parquet_files(tmp_path):
    x = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    pieces = [slice(0, 7), slice(7, 8), slice(8, 20)]
    for name, columns in (("plain", {"v": x}), ("x.parquet", {"v": x, "id": np.arange(20) * 3})):
        vectors, ids = read(parts(tmp_path / name, pieces, **columns))
        np.testing.assert_array_equal(vectors, x)
        assert ids == columns.get("id", np.arange(20)).tolist()


def test_a_directory_whose_files_do_not_fit_together(tmp_path):
    x = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    pieces = [slice(0, 7), slice(7, 20)]
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    last = parts(tmp_path / "x", pieces, v=x) / "2026" / "part-1.parquet"
    pq.write_table(pa.table({"v": pa.array(list(x[:, :3]))}), last)
    fails(tmp_path / "x", "part-1.parquet: has embeddings of 3 numbers", "part-0.parquet of 4")
    pq.write_table(pa.table({"v": pa.array(list(x)), "id": pa.array(range(20))}), last)
    fails(tmp_path / "x", "part-0.parquet: has no ids", "part-1.parquet has", "--id-column")
    pq.write_table(pa.table({"v": pa.array([[1.0] * 4, None])}), last)
    fails(tmp_path / "x", "part-1.parquet: row 1 has a null in column 'v'")


def test_numbers_too_large_for_float32(tmp_path):
    write(tmp_path / "x.jsonl", '{"v": [1, 2]}\n{"v": [1, 1e39]}')
    fails(tmp_path / "x.jsonl", "line 2")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"v": pa.array([[1.0, 2.0], [1.0, 1e39]])}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: .*row 1 holds 1e\+39"):
        open_embeddings(str(tmp_path / "x.parquet")).matrix()


def test_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("semantic_id._tables._BLOCK_ROWS", 7)
    x = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    write(tmp_path / "x.jsonl", "\n".join(json.dumps({"v": row.tolist()}) for row in x))
    for name in ("x.npy", "x.csv", "x.jsonl"):
        assert len(list(open_embeddings(str(tmp_path / name)).blocks())) == 15
        vectors, ids = read(tmp_path / name)
        np.testing.assert_array_equal(vectors, x)
        assert ids == list(range(100))


# What cannot, and what is said about it.


def test_the_name_must_tell_the_format(tmp_path):
    fails(write(tmp_path / "x.txt", "1,2"), ".npy", ".jsonl")
    fails(write(tmp_path / "x", "1,2"), ".csv")


@pytest.mark.parametrize(
    ("name", "option"),
    [("x.npy", "key"), ("x.npy", "column"), ("x.npy", "id_column"), ("x.csv", "key"), ("x.npz", "column")],
)
def test_options_of_other_formats(tmp_path, name, option):
    fails(tmp_path / name, "--" + option.replace("_", "-"), "does not apply", **{option: "a"})


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x.csv", "x.jsonl"])
def test_a_missing_file_and_a_directory(tmp_path, name):
    if name == "x.parquet":
        pytest.importorskip("pyarrow")
    with pytest.raises(FileNotFoundError):
        open_embeddings(str(tmp_path / name))
    (tmp_path / name).mkdir()
    if name == "x.parquet":  # as Spark writes them
        fails(tmp_path / name, "is a directory without .parquet files")
    else:
        with pytest.raises(IsADirectoryError):
            open_embeddings(str(tmp_path / name))


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros(4), "shape (4,)"),
        (np.zeros((2, 2, 2)), "2-D"),
        (np.array(1.0), "shape ()"),
        (np.zeros((0, 3)), "(0, 3)"),
        (np.zeros((3, 0)), "(3, 0)"),
        (np.array([["a", "b"]]), "dtype <U1"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros((2, 2), "M8[s]"), "datetime64"),
        (np.zeros((2, 2), "V2"), "V2"),
        (np.array([[None, 1]], object), "bject"),
    ],
)
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays_that_are_not_embeddings(tmp_path, name, array, word):
    (np.save if name == "x.npy" else np.savez)(tmp_path / name, array)
    fails(tmp_path / name, word)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x.csv", "x.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(200)], ids=["empty", "png"])
def test_foreign_content(tmp_path, name, content):
    if name == "x.parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    fails(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet"])
def test_every_truncation(tmp_path, name):
    whole = _binary_file(tmp_path, name)
    for length in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:length])
        fails(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_bit_flips_raise_nothing_else(tmp_path, name):
    """A flipped bit in a .npz is found by its checksum; in a .npy it may also give another valid array."""
    whole = _binary_file(tmp_path, name)
    rng = np.random.default_rng(0)
    raised = 0
    for _ in range(400):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        (tmp_path / name).write_bytes(flipped)
        try:
            read(tmp_path / name)
        except DataError:
            raised += 1
    assert raised > 100


def _binary_file(tmp_path, name):
    if name == "x.parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table({"v": pa.array(list(X))}), tmp_path / name)
    elif name == "x.npz":
        np.savez(tmp_path / name, X)
    else:
        np.save(tmp_path / name, X)
    return (tmp_path / name).read_bytes()


def test_npz_without_a_choice(tmp_path):
    np.savez(tmp_path / "x.npz", a=X, b=X)
    fails(tmp_path / "x.npz", "'a', 'b'", "--key")
    fails(tmp_path / "x.npz", "'c'", "'a', 'b'", key="c")
    fails(tmp_path / "x.npz", "'c'", key="a", id_column="c")
    np.savez(tmp_path / "y.npz", a=X, id=np.arange(3))
    fails(tmp_path / "y.npz", "(3,)", "4 rows")
    np.savez(tmp_path / "z.npz", a=X, id=np.arange(4.0))
    fails(tmp_path / "z.npz", "float64")


NOT_FINITE = "NaN or Inf in {}, number 2 of"


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity"])
def test_not_finite(tmp_path, bad):
    x = X.copy()
    x[2, 1] = float(bad)
    np.save(tmp_path / "x.npy", x)
    fails_blocks(tmp_path / "x.npy", NOT_FINITE.format("row 2"))
    fails(write(tmp_path / "x.csv", f"id,v,w\na,1,2\nb,3,{bad}\n"), NOT_FINITE.format("line 3"))
    fails(write(tmp_path / "x.jsonl", f'{{"v": [1, 2]}}\n\n{{"v": [1, {bad}]}}\n'), NOT_FINITE.format("line 3"))
    fails(write(tmp_path / "y.jsonl", '{"v": [1, 2]}\n{"v": [1, 1e39]}\n'), NOT_FINITE.format("line 2"))


def test_not_finite_in_a_later_block(tmp_path, monkeypatch):
    monkeypatch.setattr("semantic_id._tables._BLOCK_ROWS", 2)
    x = np.tile(X, (3, 1))
    x[7, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    fails_blocks(tmp_path / "x.npy", NOT_FINITE.format("row 7"))
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    fails(tmp_path / "x.csv", NOT_FINITE.format("line 8"))


def fails_blocks(path, word):
    """matrix() of an array file is the file itself; fit checks it."""
    with pytest.raises(DataError, match=re.escape(word)):
        list(open_embeddings(str(path)).blocks())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,x,y\na,1,2\nb,3\n", ["line 3 has 2 cells, line 1 has 3"]),
        ("id,x,y\na,1,2\n\nb,3,4,5\n", ["line 4 has 4 cells"]),
        ('id,x,y\n"a\nb",1,2\nc,1\n', ["line 4 has 2 cells"]),
        ("1,2\n3,4\n5\n", ["line 3 has 1 cells, line 1 has 2"]),
        ("id,x,y\na,1,two\n", ["line 2, column 'y'", "'two' is not a number"]),
        ("id,x,y\na,1,\n", ["line 2, column 'y'", "'' is not a number"]),
        ("1,2\n3,x\n", ["line 2, column '2'", "'x' is not a number"]),
        ("id,x\na,1;2\n", ["line 2, column 'x'", "'1;2'"]),
        ("id,title,x\na,Lamp,2\n", ["line 2, column 'title'", "'Lamp'", "--column"]),
        ("id,embedding\na,1 2\nb,1 2 3\n", ["line 3 has 3 numbers, line 2 has 2"]),
        ("id,embedding\na,1 2\nb,\n", ["line 3, column 'embedding' holds no numbers"]),
        ('id,embedding\na,"[1, null]"\n', ["line 2, column 'embedding'", "'null' is not a number"]),
        ("id,embedding\na,[1 2 ... 8 9]\n", ["line 2", "'...' is not a number"]),
        ("id,x\n", ["holds no rows"]),
        ("\n\n", ["is empty"]),
        ("a,0.5,1\nb,2,3\n", ["line 1 must name the columns", "'0.5'"]),
        ('"[1,2]"\n"[3,4]"\n', ["line 1 must name the columns", "'[1,2]'"]),
        ('id,x\na,1\nb,"2\nc,3\n', ["line 3 is not CSV"]),
    ],
)
def test_csv_faults(tmp_path, text, words):
    fails(write(tmp_path / "x.csv", text), *words)


def test_csv_columns_that_are_not_there(tmp_path):
    write(tmp_path / "x.csv", "id,x,x\na,1,2\n")
    fails(tmp_path / "x.csv", "no column 'y'", "'id', 'x'", column="y")
    fails(tmp_path / "x.csv", "no column 'y'", id_column="y")
    fails(tmp_path / "x.csv", "more than one column is named 'x'", column="x")
    write(tmp_path / "y.csv", "1,2\n3,4\n")
    fails(tmp_path / "y.csv", "line 1 is all numbers", id_column="id")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"v": [1, 2]}\n{"v": [1]}\n', ["line 2 has 1 numbers, line 1 has 2"]),
        ('{"v": [1]}\n{"v": [1]\n', ["line 2 is not JSON"]),
        ('{"v": [1]}\n[1]\n', ["line 2 is [1], want an object"]),
        ('{"v": [1]}\n{"w": [1]}\n', ["line 2 has no key 'v'"]),
        ('{"v": [1], "id": 1}\n{"v": [1]}\n', ["line 2 has no key 'id'"]),
        ('{"v": [1]}\n{"v": 1}\n', ["line 2", "'v' is 1, want a list"]),
        ('{"v": [1]}\n{"v": []}\n', ["line 2", "'v' is [], want a list"]),
        ('{"v": [1]}\n{"v": ["x"]}\n', ["line 2", "'x' in 'v' is not a number"]),
        ('{"v": [1]}\n{"v": [null]}\n', ["line 2", "None in 'v' is not a number"]),
        ('{"v": [1]}\n{"v": [' + "9" * 400 + "]}\n", ["line 2", "is not a number"]),
        ('{"v": [1]}\n{"v": [[1]]}\n', ["line 2", "[1] in 'v' is not a number"]),
        ('{"v": [1], "w": [1]}\n', ["line 1", "'v', 'w'", "--column"]),
        ('{"v": [1], "id": 1.5}\n', ["line 1", "1.5 is neither a string nor an integer"]),
        ('{"v": [1], "id": null}\n', ["line 1", "None is neither"]),
        ('{"v": [1], "id": 1}\n{"v": [1], "id": "1"}\n', ["line 2", "'1', after 1"]),
        ('{"v": ' + "[" * 100_000 + "\n", ["line 1 is not JSON"]),
        ("\n", ["holds no rows"]),
    ],
)
def test_jsonl_faults(tmp_path, text, words):
    fails(write(tmp_path / "x.jsonl", text), *words)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_other_encodings(tmp_path, name):
    text = "id,x\né,1\n" if name == "x.csv" else '{"id": "é", "v": [1]}\n'
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        fails(write(tmp_path / name, text, encoding), "UTF-16", "save it as UTF-8")
    fails(write(tmp_path / name, text, "latin-1"), "0xe9", "save it as UTF-8")
    fails(write(tmp_path / name, "x" * 5000 + "\0"), "x")  # a NUL past the first look


def test_parquet_faults(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"

    def table(**columns):
        pq.write_table(pa.table(columns), path)
        return path

    floats = pa.list_(pa.float32())
    fails(table(v=pa.array([[1, 2], [3]], floats)), "row 1 has 1 numbers", "2")
    fails(table(v=pa.array([[1, 2], None], floats)), "row 1 has a null in column 'v'")
    fails(table(v=pa.array([[1, 2], [3, None]], floats)), "row 1 has a null in column 'v'")
    fails(table(v=pa.array([[], []], floats)), "row 0 has an empty list")
    fails(table(v=pa.array([[1.0], [float("nan")]], floats)), "NaN or Inf in row 1")
    fails(table(v=pa.array([], floats)), "holds no rows")
    fails(table(v=pa.array([["a"]])), "column 'v' holds string")
    fails(table(v=pa.array([[1.0]]), w=pa.array([[1.0]])), "'v', 'w'", "--column")
    fails(table(v=pa.array([[1.0]]), w=pa.array([1.0])), "'w' is of type double, want a list", column="w")
    fails(table(v=pa.array([[1.0]])), "no column 'w'", "'v'", column="w")
    fails(table(t=pa.array(["a"]), x=pa.array([1.0])), "column 't' holds string", "--column")
    fails(table(x=pa.array([1.0, None])), "row 1 has a null in column 'x'")
    fails(table(v=pa.array([[1.0]]), id=pa.array([1.5])), "id column 'id' is of type double")
    fails(table(v=pa.array([[1.0], [2.0]]), id=pa.array(["a", None])), "row 1 has a null in column 'id'")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    fails(tmp_path / "x.parquet", "needs pyarrow", "pip install 'semantic-id[parquet]'")
