"""Typed values as the opaque texts that histories hold (RT-1.22 to RT-1.24).

A value whose JSON is a string is stored without the quotes, everything else as compact JSON. Reading is the
more lenient direction: JSON of the wanted type first, the bare text second.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from holdfast.core.contract.errors import CodecError

_T = TypeVar("_T")

_encoder = msgspec.json.Encoder()


def encode(value: object) -> str:
    """The stored text of a value. Raises CodecError for one without a JSON form or valid text."""
    if not isinstance(value, str):
        text = encode_json(value)
        if not text.startswith('"'):
            return text
        value = msgspec.json.decode(text, type=str)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CodecError(f"a text that cannot be stored as UTF-8: {error}") from None
    return value


def decode(text: str, wanted: type[_T]) -> _T:
    """The value of the wanted type that a stored text holds. Raises CodecError if it holds none."""
    decoder = _decoder(wanted)
    try:
        value: _T = decoder.decode(text)
        return value
    except (msgspec.DecodeError, ValueError) as error:
        first = error
    try:
        value = decoder.decode(_encoder.encode(text))
        return value
    except (msgspec.DecodeError, ValueError):
        raise CodecError(f"cannot decode {_excerpt(text)!r} as {_shown(wanted)}: {first}") from None


def encode_json(value: object) -> str:
    """Plain JSON, strings quoted, as typed key-values are stored (RT-1.24). Raises CodecError."""
    try:
        return _encoder.encode(value).decode()
    except (TypeError, ValueError, OverflowError, msgspec.EncodeError) as error:
        raise CodecError(f"a {type(value).__name__} cannot be encoded as JSON: {error}") from None


def decode_json(text: str, wanted: type[_T]) -> _T:
    """The inverse of `encode_json` (RT-1.24). Raises CodecError."""
    try:
        value: _T = _decoder(wanted).decode(text)
        return value
    except (msgspec.DecodeError, ValueError) as error:
        raise CodecError(f"cannot decode {_excerpt(text)!r} as {_shown(wanted)}: {error}") from None


@lru_cache(maxsize=256)
def _cached_decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    try:
        return _cached_decoder(wanted)
    except TypeError as error:
        raise CodecError(f"{_shown(wanted)} is not a type that JSON can be decoded to: {error}") from None


def _shown(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) else str(wanted)


def _excerpt(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[:length] + "…"
