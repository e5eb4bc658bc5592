"""Checks of what a store is made with; each raises ConfigurationError, naming the argument and its value."""

from __future__ import annotations

import os

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.user_texts import shown


def file_name(path: object) -> str:
    """The name of a store's file, as far as that can be seen without looking at it."""
    try:
        name: object = os.fspath(path)  # type: ignore[call-overload]
    except Exception:  # a path of the caller's class may raise what it likes
        name = path
    if not isinstance(name, str):
        raise ConfigurationError(f"path must be a str or a path of one, it is {shown(path)}")
    if name in ("", ":memory:"):
        raise ConfigurationError(f"path {name!r} names no file; leave it out for a store in memory")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"path {shown(name)} has no UTF-8 form, which SQLite needs") from None
    if b"\0" in encoded:
        raise ConfigurationError(f"path {shown(name)} holds a NUL; no file has such a name")
    return str.__str__(name)


def milliseconds(argument: str, value: object) -> Millis:
    """A duration of a store in whole milliseconds, as SQLite can take it."""
    if type(value) is not int or not 0 <= value < 2**31:
        raise ConfigurationError(
            f"{argument} must be whole milliseconds, from 0 to 2^31-1, not {shown(value)}"
        )
    return Millis(value)
