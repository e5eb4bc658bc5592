"""Typed values as the opaque texts that histories hold (RT-1.22 to RT-1.24).

A value whose JSON is a string is stored without the quotes, everything else as compact JSON. Reading is the
more lenient direction: JSON of the wanted type first, the bare text second.

Whoever reads a text says which type it has, so what JSON can only paraphrase (a date, a tuple, an enum) is
allowed. What no type brings back is refused, and so is what has another text in another process:

- a set: its order is that of the hash seed. Pass `sorted(...)`.
- nan and the infinities: JSON has no word for them, and they would come back as null.
- a key that is no text, except in a field of a class, whose type says what its keys are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from math import isfinite
from types import CoroutineType
from typing import Any, Final, TypeVar

import msgspec

from holdfast.core.contract.errors import CodecError
from holdfast.core.contract.user_texts import class_name, error_text, excerpt, is_interrupt, shown

_T = TypeVar("_T")

_encoder = msgspec.json.Encoder()

_ALWAYS_FIT: Final = frozenset({str, int, bool, type(None)})
"""Types without parts whose every value has a JSON form that is read back as that value."""


def encode(value: object, what: str = "a value", name: str = "") -> str:
    """The stored text of a value. Raises CodecError, naming `what` it is, for one without a lasting text."""
    if type(value) is str and value.isascii():  # nearly every one
        return value
    if issubclass(type(value), str):
        value = str.__str__(value)
    else:
        text = _json(value, what, name)
        if not text.startswith('"'):
            return text
        value = msgspec.json.decode(text, type=str)
    assert type(value) is str, f"{_named(what, name)} is to be stored as a {type(value).__name__}"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CodecError(
                f"{_named(what, name)} is a text that cannot be stored as UTF-8: {error}"
            ) from None
    return value


def decode(text: str, wanted: type[_T]) -> _T:
    """The value of the wanted type that a stored text holds. Raises CodecError if it holds none."""
    decoder = _decoder(wanted)
    try:
        value: _T = decoder.decode(text)
        return value
    except Exception as error:  # a type of the author's may raise what it likes
        first = error
    try:
        value = decoder.decode(_encoder.encode(text))
        return value
    except Exception:
        raise _undecodable(text, wanted, first) from None


def encode_json(value: object, what: str = "a value", name: str = "") -> str:
    """Plain JSON, strings quoted, as typed key-values are stored (RT-1.24). Raises CodecError."""
    return _json(str.__str__(value) if issubclass(type(value), str) else value, what, name)


def decode_json(text: str, wanted: type[_T]) -> _T:
    """The inverse of `encode_json` (RT-1.24). Raises CodecError."""
    try:
        value: _T = _decoder(wanted).decode(text)
        return value
    except CodecError:
        raise
    except Exception as error:
        raise _undecodable(text, wanted, error) from None


def check_type(wanted: object) -> None:
    """Raise CodecError for what is no type that a text can be decoded to."""
    _decoder(wanted)


# --- what may be written ------------------------------------------------------------------------------------


class _Refused(Exception):
    """A part of a value has no lasting text; `path` leads to it, innermost step first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


def _json(value: object, what: str, name: str) -> str:
    try:
        if type(value) not in _ALWAYS_FIT:
            _check(value, is_declared=False)
        return _encoder.encode(value).decode()
    except _Refused as refused:
        assert str(refused), f"{_named(what, name)} is refused for no reason"
        place = "".join(reversed(refused.path)) or "it"
        raise CodecError(f"{_named(what, name)} cannot be stored: {place} {refused}") from None
    except RecursionError:  # its text says how deep the caller was
        raise CodecError(f"{_named(what, name)} is nested too deeply to be stored") from None
    except BaseException as error:  # a value of the author's may raise what it likes while it is read
        if is_interrupt(error):
            raise
        kind = class_name(type(value))
        raise CodecError(
            f"{_named(what, name)}, an instance of {kind}, cannot be encoded: {error_text(error)}"
        ) from None


def _check(value: Any, *, is_declared: bool) -> None:
    """Raise _Refused for a part that would not come back; `is_declared` once a class declares the types."""
    kind = type(value)
    if kind in _ALWAYS_FIT:
        return
    if issubclass(kind, float):
        if not isfinite(value):
            raise _Refused(f"is {shown(value)}, which JSON cannot hold")
    elif issubclass(kind, (set, frozenset)):
        raise _Refused(
            f"is a {class_name(kind)}, whose order differs from process to process; pass sorted(...) instead"
        )
    elif issubclass(kind, dict):
        _check_keys(value, is_declared=is_declared)
        for key, part in dict.items(value):
            try:
                _check(part, is_declared=is_declared)
            except _Refused as refused:
                refused.path.append(f"[{shown(key)}]")
                raise
    elif issubclass(kind, (list, tuple)):
        for index, part in enumerate(value):
            try:
                _check(part, is_declared=is_declared)
            except _Refused as refused:
                refused.path.append(f"[{index}]")
                raise
    elif issubclass(kind, Enum):
        _check(value.value, is_declared=is_declared)
    elif issubclass(kind, CoroutineType):
        value.close()  # or Python would complain a second time
        raise _Refused("is a coroutine that was never awaited")
    elif issubclass(kind, msgspec.Raw):
        msgspec.json.decode(value)
    else:
        for field in _fields_of(kind):
            try:
                _check(getattr(value, field, None), is_declared=True)
            except _Refused as refused:
                refused.path.append(f".{field}")
                raise


def _check_keys(value: dict[object, object], *, is_declared: bool) -> None:
    others = [key for key in dict.keys(value) if type(key) is not str]
    for key in others:
        if not is_declared and not issubclass(type(key), str):
            raise _Refused(
                f"has the key {shown(key)}, which would come back as a text; use a str, or a class with a "
                "field whose type names the keys"
            )
        _check(key, is_declared=is_declared)
    if others and len({_encoder.encode({key: 0}) for key in dict.keys(value)}) < len(value):
        raise _Refused(f"has two keys with one text: {shown(others[0])} is one of them")


def _fields_of(kind: type) -> Iterable[str]:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return [attribute.name for attribute in getattr(kind, "__attrs_attrs__", ())]


def _named(what: str, name: str) -> str:
    return f"{what} {name!r}" if name else what


# --- what is read -------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _cached_decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


def _decoder(wanted: object) -> msgspec.json.Decoder[Any]:
    try:
        return _cached_decoder(wanted)
    except Exception as error:
        raise CodecError(
            f"{_shown_type(wanted)} is not a type that JSON can be decoded to: {error_text(error)}"
        ) from None


def _undecodable(text: str, wanted: object, error: Exception) -> CodecError:
    problem = str(error) if isinstance(error, msgspec.MsgspecError) else error_text(error)
    return CodecError(f"cannot decode {excerpt(text)!r} as {_shown_type(wanted)}: {problem}")


def _shown_type(wanted: object) -> str:
    return wanted.__name__ if isinstance(wanted, type) else shown(wanted)
