"""Typed values as stored texts (RT-1.22 to RT-1.24)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
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


# --- what would not come back -------------------------------------------------------------------------------


@dataclass
class Box:
    inside: Any


class Keyed(msgspec.Struct):
    by_number: dict[int, str]


class Rude:
    __dataclass_fields__ = property(lambda self: 1 / 0)


class Held(Enum):
    NAN = float("nan")
    MEMBERS = frozenset("ab")


class Words(str):
    """A text with ways of its own."""

    def __str__(self) -> str:
        return "another"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a"}, "it is a set"),
        (frozenset("ab"), "it is a frozenset"),
        ([1, {"x": [{"a"}]}], r"\[1\]\['x'\]\[0\] is a set"),
        (Box(Box({"a"})), r"\.inside\.inside is a set"),
        (Keyed({1: "a", 2: {"x"}}), r"\.by_number\[2\] is a set"),  # type: ignore[dict-item]
        (Held.MEMBERS, "is a frozenset"),
        (float("nan"), "it is nan"),
        ([float("inf")], r"\[0\] is inf"),
        (Box([float("-inf")]), r"\.inside\[0\] is -inf"),
        (Held.NAN, "is nan"),
        ({float("nan"): 1}, "has the key nan"),
        ({1: "a"}, "has the key 1"),
        ({"x": [{(1, 2): 3}]}, r"\['x'\]\[0\] has the key \(1, 2\)"),
        ({None: 1}, "has the key None"),
        (Box({1: "a", "1": "b"}), "two keys with one text"),
    ],
)
def test_rt_1_22_what_would_come_back_as_another_value_is_refused_and_named(value: Any, problem: str) -> None:
    """RT-1.22: sets, whose order is another in every process, and what JSON has no word for."""
    for encode in (payload.encode, payload.encode_json):
        with pytest.raises(CodecError, match=f"the input of activity 'A' cannot be stored: .*{problem}"):
            encode(value, "the input of activity", "A")


def test_rt_1_22_what_a_type_brings_back_is_stored() -> None:
    """Tuples, keys that a class declares, and texts of classes of their own."""
    assert payload.decode(payload.encode((1, (2, "x"))), tuple[int, tuple[int, str]]) == (1, (2, "x"))
    assert payload.decode(payload.encode(Keyed({1: "a"})), Keyed) == Keyed({1: "a"})
    assert payload.encode(Words("mine")) == "mine"
    assert type(payload.encode(Words("mine"))) is str
    assert payload.encode_json(Words("mine")) == '"mine"'
    assert payload.decode(payload.encode(10**30), int) == 10**30


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=3)
    | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2) | st.integers() | st.floats(), inner, max_size=3)
        | st.frozensets(st.text(max_size=2), max_size=3)
        | st.builds(Box, inner)
    ),
    max_leaves=8,
)


@given(anything)
def test_rt_1_22_a_value_is_refused_or_comes_back(value: Any) -> None:
    """RT-1.22, RT-1.23: as its JSON at least; never as null, and never with other keys."""
    try:
        text = payload.encode_json(value)
    except CodecError:
        return
    again = payload.decode_json(text, Any)
    assert payload.encode_json(again) == text
    assert _same(value, again), (value, again)


def _same(value: Any, again: Any, is_declared: bool = False) -> bool:
    match value:
        case None | bool() | int() | float() | str():
            return type(value) is type(again) and value == again
        case dict():
            if is_declared:  # whose keys the type of the field brings back
                return len(value) == len(again)
            return value.keys() == again.keys() and all(_same(value[key], again[key]) for key in value)
        case list() | tuple():
            return len(value) == len(again) and all(
                _same(*pair, is_declared) for pair in zip(value, again, strict=True)
            )
        case Box():
            return list(again) == ["inside"] and _same(value.inside, again["inside"], True)
        case frozenset():
            return False
        case _:
            return isinstance(again, str)  # a paraphrase that its type reads


def test_rt_1_22_a_set_is_refused_in_every_process() -> None:
    """The text of a refusal is no more a matter of the hash seed than a payload."""
    program = (
        "from holdfast.core.program import payload\n"
        "try: payload.encode({'x': {'red', 'green', 'blue'}})\n"
        "except Exception as error: print(error)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1 and b"is a set" in told.pop()
