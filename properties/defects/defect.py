"""Defect: one planted change of behaviour, and how it is switched on: an attribute replaced for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple

Planting = AbstractContextManager[None]


Area = Literal["provider", "worker", "lease manager", "orchestration dispatcher", "engine", "codec"]


class Change(NamedTuple):
    """An attribute of a module or class, and what stands there while the defect is planted."""

    owner: object
    name: str
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One change of behaviour.

    Attributes:
        title: what a tired engineer wrote, in one sentence.
        where: the part it is planted in; a provider's is planted in the memory and in the SQLite provider.
        caught_by: the rule or row that is meant to catch it.
        rows: rows of the sessions matrix that it is aimed at.
        scenario: the registered scenario that shows it best.
        needs: what must happen for it to show: nothing, a fault, two workers.
        elsewhere: another scenario, which shows what invariants it breaks where `scenario` does not.
        planted: switches it on, and off again when left.
    """

    name: str
    title: str
    where: Area
    caught_by: str
    rows: tuple[str, ...]
    scenario: str
    needs: str
    planted: Callable[[], AbstractContextManager[None]]
    elsewhere: str | None = None


@contextmanager
def replaced(*changes: Change) -> Iterator[None]:
    """Make the changes, and undo them when left.

    Raises LookupError if an attribute is not there: the product has moved on, and the defect must follow.
    """
    with ExitStack() as undo:
        for owner, name, value in changes:
            if name not in vars(owner):
                raise LookupError(f"{owner!r} has no {name!r} any more: adapt the defect that replaces it")
            undo.callback(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, value)
        yield


def statement(module: ModuleType, name: str, old: str, new: str) -> Change:
    """A statement of a module's `SQL` with a part replaced. Raises LookupError if the part is not there."""
    known: Mapping[str, str] = vars(module)["SQL"]
    text = known[name]
    if old not in text:
        raise LookupError(f"statement {name!r} has no {old!r} any more: adapt the defect that replaces it")
    return Change(module, "SQL", {**known, name: text.replace(old, new)})


def original(owner: object, name: str) -> Any:
    """What stands there now, of whatever type: a defect calls it and does one thing otherwise."""
    return vars(owner)[name]
