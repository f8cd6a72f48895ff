"""Codes to ids and back."""

import numpy as np
import pytest
from semantic_id import ShapeMismatchError, ids_to_codes
from semantic_id.core import codes_to_ids
from semantic_id.exceptions import CodeError

CODES = np.array([[3, 9, 1], [0, 5, 7], [12, 255, 2**31 - 1]], np.int32)


def test_plain():
    assert codes_to_ids(CODES) == ["3-9-1", "0-5-7", "12-255-2147483647"]
    assert codes_to_ids(CODES[:1], sep="") == ["391"]
    assert codes_to_ids(CODES[:1], sep=" → ") == ["3 → 9 → 1"]
    assert codes_to_ids(CODES[:2], sep="\0\n") == ["3\0\n9\0\n1", "0\0\n5\0\n7"]
    assert codes_to_ids([[4]]) == ["4"]
    assert codes_to_ids(CODES[:0]) == []


def test_token():
    assert codes_to_ids(CODES[:2], fmt="token") == ["<a_3><b_9><c_1>", "<a_0><b_5><c_7>"]
    assert codes_to_ids(CODES[:1], fmt="token", sep="|") == ["<a_3><b_9><c_1>"]
    letters = codes_to_ids([list(range(30))], fmt="token")[0]
    assert letters.startswith("<a_0><b_1>")
    assert letters.endswith("<y_24><z_25><a_26><b_27><c_28><d_29>")


def test_every_code_is_written_as_str_writes_it():
    codes = np.random.default_rng(0).integers(0, 2**31, size=(3000, 4), dtype=np.int32) >> np.arange(0, 28, 7)
    assert codes_to_ids(codes, sep="_") == ["_".join(map(str, row)) for row in codes.tolist()]


def test_pieces(monkeypatch):
    codes = np.arange(600).reshape(200, 3)
    whole = codes_to_ids(codes)
    monkeypatch.setattr("semantic_id._native._PIECE_BYTES", 1000)
    assert codes_to_ids(codes) == whole


def test_formatter():
    seen = []

    def formatter(row):
        seen.append(row.shape)
        return "/".join(map(str, row))

    assert codes_to_ids(CODES[:2], formatter=formatter, sep="!", fmt="unused") == ["3/9/1", "0/5/7"]
    assert seen == [(3,), (3,)]
    with pytest.raises(TypeError, match="formatter returned 3 for row 0: want a string"):
        codes_to_ids(CODES, formatter=lambda row: 3)


def test_types_of_codes():
    for dtype in (np.int8, np.uint16, np.int64, np.uint64):
        assert codes_to_ids(CODES[:2].astype(dtype)) == ["3-9-1", "0-5-7"]
    assert codes_to_ids(np.asfortranarray(CODES[:2])) == ["3-9-1", "0-5-7"]
    assert codes_to_ids([[3, 9, 1]]) == ["3-9-1"]


def test_the_methods_of_encoders_agree(model):
    assert model.semantic_id(CODES) == codes_to_ids(CODES)
    assert model.semantic_id(CODES, fmt="token") == codes_to_ids(CODES, fmt="token")
    assert model.semantic_id(CODES, sep=".") == codes_to_ids(CODES, sep=".")
    assert model.semantic_id(CODES, formatter=lambda row: "x") == ["x"] * 3


def test_refusals():
    for fmt in ("tokens", "", None):
        with pytest.raises(ValueError, match="want 'plain' or 'token'"):
            codes_to_ids(CODES, fmt=fmt)
        with pytest.raises(ValueError, match="want 'plain' or 'token'"):
            ids_to_codes(["1"], fmt=fmt)
    for codes in ([1, 2], [[[1]]], 1, np.zeros((2, 0), int)):
        with pytest.raises(ShapeMismatchError):
            codes_to_ids(codes)
    with pytest.raises(ValueError, match="integer codes, got dtype float64"):
        codes_to_ids([[1.0]])
    with pytest.raises(CodeError, match="2147483648 at row 1, level 0 does not fit into int32"):
        codes_to_ids([[1], [2**31]])


@pytest.mark.parametrize(("sep", "fmt"), [("-", "plain"), (", ", "plain"), ("é", "plain"), ("-", "token")])
def test_there_and_back(sep, fmt):
    codes = np.random.default_rng(1).integers(0, 300, size=(500, 28), dtype=np.int32)
    back = ids_to_codes(codes_to_ids(codes, sep=sep, fmt=fmt), sep=sep, fmt=fmt)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, codes)


def test_ids_from_any_iterable():
    want = [[1, 2], [3, 4]]
    for ids in (["1-2", "3-4"], ("1-2", "3-4"), iter(["1-2", "3-4"]), np.array(["1-2", "3-4"])):
        assert ids_to_codes(ids).tolist() == want
    assert ids_to_codes([]).shape == (0, 0)


@pytest.mark.parametrize("text", ["", "-", "1-", "-1-2", "1--2", "1- 2", "1-+2", "1-b", "1-²", "1-1_0", "<a_1><b_2>"])
def test_what_is_no_plain_id(text):
    with pytest.raises(ValueError, match="at position 1 is not a plain id") as caught:
        ids_to_codes(["1-2", text])
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "1-2", "<a_1><c_2>", "<b_1><b_2>", "<a_1> <b_2>", "<a_1><b_2>x", "x<a_1><b_2>", "<a_-1><b_2>", "<a_1><b_>"],
)
def test_what_is_no_token_id(text):
    with pytest.raises(ValueError, match="at position 1 is not a token id"):
        ids_to_codes(["<a_1><b_2>", text], fmt="token")


def test_other_refusals_of_ids():
    with pytest.raises(ValueError, match="'1-2-3' at position 1 has 3 codes, the first id has 2"):
        ids_to_codes(["1-2", "1-2-3"])
    with pytest.raises(CodeError, match="code out of range: '1-2147483648' at position 0"):
        ids_to_codes(["1-2147483648"])
    for sep in ("", "0", "a1"):
        with pytest.raises(ValueError, match="not empty and has no digits"):
            ids_to_codes(["1"], sep=sep)
