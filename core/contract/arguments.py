"""Checks of what a caller hands over: at once, the same before every provider, naming argument and value.

Type hints are not enforced, so a value of another type must not get as far as a store, which would refuse it
late, or take it and give back another. Each check returns the value as the runtime uses it: a plain text for
an instance of a subclass of str (a member of a StrEnum, say), whose ways of comparing are its own.

What an edge raises is its own: `EdgeErrors` has the class for a wrong type and the one for a wrong value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple, TypeVar, cast

from holdfast.core.contract.errors import ConfigurationError, InvalidInput
from holdfast.core.contract.ids import INT63_MAX
from holdfast.core.contract.user_texts import class_name, shown

_T = TypeVar("_T")


class EdgeErrors(NamedTuple):
    """The exceptions of one edge: for a value of a wrong type, and for one that is wrong in itself."""

    of_type: Callable[[str], Exception]
    of_value: Callable[[str], Exception]


IN_CODE: Final = EdgeErrors(TypeError, ValueError)
"""Of orchestration code, which can catch them like those of any function; the same on every replay."""

OF_CLIENT: Final = EdgeErrors(InvalidInput, InvalidInput)
OF_OPTIONS: Final = EdgeErrors(ConfigurationError, ConfigurationError)


def text(name: str, value: object, errors: EdgeErrors = IN_CODE) -> str:
    """A text that can be stored."""
    if type(value) is str:
        plain = value
    elif issubclass(type(value), str):
        plain = str.__str__(value)
    else:
        raise errors.of_type(f"{name} must be a str, it is {shown(value)}")
    if not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError as error:
            raise errors.of_value(f"{name} cannot be stored as UTF-8: {error}") from None
    return plain


def optional_text(name: str, value: object, errors: EdgeErrors = IN_CODE) -> str | None:
    """A text that can be stored, or None."""
    return None if value is None else text(name, value, errors)


def number(
    name: str, value: object, errors: EdgeErrors = IN_CODE, *, least: int = 0, most: int = INT63_MAX
) -> int:
    """A whole number in a range; True and False are none."""
    assert least <= most, f"{name} is to be from {least} to {most}"
    if not issubclass(type(value), int) or type(value) is bool:
        raise errors.of_type(f"{name} must be a whole number, it is {shown(value)}")
    plain = int.__int__(value)  # type: ignore[arg-type]
    if not least <= plain <= most:
        raise errors.of_value(f"{name} must be from {least} to {most}, it is {shown(value)}")
    return plain


def flag(name: str, value: object, errors: EdgeErrors = IN_CODE) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if type(value) is not bool:
        raise errors.of_type(f"{name} must be True or False, it is {shown(value)}")
    return value


def duration(
    name: str, value: object, errors: EdgeErrors = IN_CODE, *, least: timedelta = timedelta(0)
) -> timedelta:
    """A duration; zero or more, unless the edge wants more."""
    assert type(least) is timedelta, f"{name} is to be at least {least!r}"
    if not issubclass(type(value), timedelta):
        raise errors.of_type(f"{name} must be a timedelta, it is {shown(value)}")
    days, seconds, micros = (getattr(timedelta, part).__get__(value) for part in _PARTS)
    plain = timedelta(days, seconds, micros)
    if plain < least:
        bound = "zero or more" if not least else f"at least {least}"
        raise errors.of_value(f"{name} must be {bound}, it is {plain}")
    return plain


_PARTS: Final = ("days", "seconds", "microseconds")


def instance_of(name: str, value: object, kind: type[_T], errors: EdgeErrors = IN_CODE) -> _T:
    """An object of a class of ours."""
    assert isinstance(kind, type), f"{name} is to be an instance of {kind!r}, which is no class"
    if not issubclass(type(value), kind):
        raise errors.of_type(f"{name} must be a {class_name(kind)}, it is {shown(value)}")
    return cast(_T, value)


def able(name: str, value: object, method: str, hint: str, errors: EdgeErrors = OF_OPTIONS) -> None:
    """An object that has a method; `hint` says where one comes from."""
    assert hint, f"nothing says where a {name} comes from"
    try:
        is_able = callable(getattr(value, method, None)) and not isinstance(value, type)
    except Exception:
        is_able = False
    if not is_able:
        raise errors.of_type(f"{name} must be {hint}, it is {shown(value)}")
