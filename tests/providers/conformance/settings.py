"""Wrong providers that take one caller's setting for another's; not a test.

A `Mixed` provider is the memory provider, wrong in one argument, or one field of one, of one method: it
uses the value that the first call had, the one before had, or the largest or smallest so far.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.core.contract.management import Management
from holdfast.core.contract.provider import Provider
from holdfast.providers.memory import memory_store

Memory = dict[str, Any]


def first(seen: Memory, value: Any) -> Any:
    """The first caller's value, for all."""
    return seen.setdefault("value", value)


def previous(seen: Memory, value: Any) -> Any:
    """The value of the call before, which may have been another caller's."""
    before = seen.get("value", value)
    seen["value"] = value
    return before


def largest(seen: Memory, value: Any) -> Any:
    """The largest that anybody has asked for."""
    if value is not None:
        seen["value"] = max(seen.get("value", value), value)
    return seen.get("value", value)


def smallest(seen: Memory, value: Any) -> Any:
    """The smallest that anybody has asked for."""
    if value is not None:
        seen["value"] = min(seen.get("value", value), value)
    return seen.get("value", value)


Mix = Callable[[Memory, Any], Any]


def ignored(default: Any) -> Mix:
    """What nobody has asked for."""
    return lambda seen, value: default


def swapped(place: str) -> str:
    """A place of two arguments, `method.one|other`, each of which gets the other's value."""
    assert "|" in place, f"{place!r} names one argument"
    return place


class Mixed:
    """A provider, or its management, wrong in one setting of one method."""

    def __init__(self, inner: Any, contract: type, place: str, mix: Mix, seen: Memory) -> None:
        self._inner = inner
        self._contract = contract
        self._method, _, self._path = place.partition(".")
        self._place = place
        self._mix = mix
        self._seen = self._shared = seen

    def __getattr__(self, name: str) -> Any:
        right = getattr(self._inner, name)
        if name == "as_management":
            return lambda: Mixed(right(), Management, self._place, self._mix, self._seen)
        if name != self._method:
            return right
        signature = inspect.signature(getattr(self._contract, name))
        others, _, by = self._path.partition("@")
        argument, *fields = others.split(".")

        async def called(*given: Any, **named: Any) -> Any:
            bound = signature.bind(None, *given, **named)
            bound.apply_defaults()
            if "|" in others:
                one, other = others.split("|")
                bound.arguments.update({one: bound.arguments[other], other: bound.arguments[one]})
                return await right(*bound.args[1:], **bound.kwargs)
            if by:  # what is remembered is remembered for each of these apart
                self._seen = self._shared.setdefault(bound.arguments[by], {})
            bound.arguments[argument] = self._changed(bound.arguments[argument], fields)
            return await right(*bound.args[1:], **bound.kwargs)

        return called

    def _changed(self, value: Any, fields: list[str]) -> Any:
        if not fields:
            return self._mix(self._seen, value)
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return [self._changed(each, fields) for each in value]
        name, *rest = fields
        if not hasattr(value, name):
            return value
        changed = {name: self._changed(getattr(value, name), rest)}
        if hasattr(value, "_replace"):
            return value._replace(**changed)
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.replace(value, **changed)
        return dataclasses.replace(value, **changed)


class MixedStore:
    """A store whose providers share what they have seen."""

    def __init__(self, inner: Any, place: str, mix: Mix) -> None:
        self._inner = inner
        self._place = place
        self._mix = mix
        self._seen: Memory = {}

    def open(self, observer: Any = None) -> Any:
        return Mixed(self._inner.open(observer), Provider, self._place, self._mix, self._seen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def mixed_store(place: str, mix: Mix, *, long_polling: bool = True) -> Callable[[Any, Any], Any]:
    """A provider factory, wrong in one place: `method.argument`, or `method.argument.field`."""
    return lambda clock, ids: MixedStore(memory_store(clock, ids, long_polling=long_polling), place, mix)
