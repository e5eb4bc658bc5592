"""How the texts that answer operations become the values that orchestration code gets (RT-1.23, RT-18)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from holdfast.core.contract.errors import ActivityError, CodecError
from holdfast.core.program import payload

_T = TypeVar("_T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def as_it_is(text: str) -> str:
    return text


def nothing(text: str) -> None:
    """No value: a timer has fired."""
    assert text == "", f"{text!r} answers what has no value"


def typed(text: str, result_type: type[_T]) -> _T:
    """A value of the wanted type. Raises ActivityError if the text holds none."""
    try:
        return payload.decode(text, result_type)
    except CodecError as error:
        raise ActivityError(str(error)) from None


def time(text: str) -> datetime:
    """A time from epoch milliseconds. Raises ActivityError if the text is none (RT-18.3)."""
    try:
        return _EPOCH + timedelta(milliseconds=int(text))
    except (ValueError, OverflowError):
        raise ActivityError(f"utc_now: {text!r} is no time in milliseconds") from None


def optional_text(text: str) -> str | None:
    """A JSON string or null (RT-18.4). Raises ActivityError for anything else."""
    if text == "null":
        return None
    try:
        return payload.decode_json(text, str)
    except CodecError as error:
        raise ActivityError(str(error)) from None
