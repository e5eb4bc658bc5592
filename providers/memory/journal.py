"""How a failing call is undone: the old values of what it has changed (PV-4.7, PV-29.3)."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TypeVar

import msgspec

from holdfast.core.contract.errors import ProviderError

_K = TypeVar("_K")
_V = TypeVar("_V")
_Step = tuple[Callable[..., object], *tuple[object, ...]]
"""A function that undoes a change, and its arguments."""


class Journal:
    """Every change to the tables is first recorded here, with how to undo it."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[_Step] = []

    def put(self, table: dict[_K, _V], key: _K, value: _V) -> None:
        """Set an entry, new or not."""
        if key in table:
            self._steps.append((table.__setitem__, key, table[key]))
        else:
            self._steps.append((table.pop, key, None))
        table[key] = value

    def remove(self, table: dict[_K, _V], key: _K) -> None:
        """Remove an entry. Raises KeyError if there is none."""
        self._steps.append((_put_back, table, key, table[key]))
        del table[key]

    def keep(self, record: msgspec.Struct) -> None:
        """Remember the members of a record, which the caller is about to change."""
        self._steps.append((_reset, record, copy(record)))

    def undo(self, inverse: Callable[..., object], *args: object) -> None:
        """Remember how to undo what the caller is about to do."""
        self._steps.append((inverse, *args))

    def break_at(self, change: int, error: ProviderError) -> None:
        """Make the running call fail just before this change, counted from 1."""
        self._steps = _Breaking(change, error)

    def commit(self) -> None:
        """The call has succeeded: forget the old values."""
        self._steps = []

    def roll_back(self) -> None:
        """The call has failed: restore everything as it was before."""
        while self._steps:
            inverse, *args = self._steps.pop()
            inverse(*args)
        self._steps = []


class _Breaking(list[_Step]):
    """Steps that fail at one of them."""

    def __init__(self, change: int, error: ProviderError) -> None:
        super().__init__()
        self._change = change
        self._error = error

    def append(self, step: _Step) -> None:
        if len(self) + 1 == self._change:
            raise self._error
        super().append(step)


def _put_back(table: dict[object, object], key: object, value: object) -> None:
    """Restore an entry; rows keyed by number go back to their place, because they are read in order."""
    table[key] = value
    if isinstance(key, int):
        in_order = sorted(table.items())
        table.clear()
        table.update(in_order)


def _reset(record: msgspec.Struct, old: msgspec.Struct) -> None:
    for name in record.__struct_fields__:
        setattr(record, name, getattr(old, name))
