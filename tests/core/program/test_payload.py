"""Typed values as stored texts (RT-1.22 to RT-1.24)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.contract.errors import CodecError
from holdfast.core.program import payload

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@dataclass
class Point:
    x: int
    y: int


class Colour(Enum):
    RED = "red"


def test_strings_are_stored_bare_and_everything_else_as_compact_json() -> None:
    """RT-1.22."""
    assert payload.encode("plain") == "plain"
    assert payload.encode('"quoted"') == '"quoted"'
    assert payload.encode(Colour.RED) == "red"
    assert payload.encode(None) == "null"
    assert payload.encode({"x": [1, True]}) == '{"x":[1,true]}'
    assert payload.encode(Point(1, 2)) == '{"x":1,"y":2}'


def test_reading_tries_json_first_and_the_bare_text_second() -> None:
    """RT-1.23."""
    assert payload.decode('{"x":1,"y":2}', Point) == Point(1, 2)
    assert payload.decode("red", Colour) is Colour.RED
    assert payload.decode("12", str) == "12"
    assert payload.decode('"hi"', str) == "hi"
    assert payload.decode("no JSON", str) == "no JSON"
    with pytest.raises(CodecError, match="cannot decode 'twelve' as int"):
        payload.decode("twelve", int)


@given(json_values.filter(lambda value: not isinstance(value, str)))
def test_values_survive(value: Any) -> None:
    """RT-1.22, RT-1.23."""
    assert payload.decode(payload.encode(value), Any) == value


@given(json_values)
def test_key_values_are_plain_json(value: Any) -> None:
    """RT-1.24: strings are quoted, and so every value survives."""
    assert payload.decode_json(payload.encode_json(value), Any) == value


def test_what_has_no_stored_form_is_refused() -> None:
    """RT-1.5."""
    with pytest.raises(CodecError, match="an instance of object, cannot be encoded"):
        payload.encode(object())
    with pytest.raises(CodecError, match="UTF-8"):
        payload.encode("\ud800")
