"""A defect: one planted change of behaviour. `@defect(...)` above a function or class makes it one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple, TypeVar

from holdfast.core.contract.ids import Millis
from holdfast.core.engine import turn
from holdfast.core.engine.intake import Intake
from holdfast.core.engine.open_sessions import SessionScan
from holdfast.core.hosting.log import Log
from holdfast.core.working import lease_keeper
from holdfast.core.working.lease_table import LeaseTable
from holdfast.providers.memory import turns as memory_turns
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.tables import Tables
from holdfast.providers.sqlite import turns as sqlite_turns
from holdfast.providers.sqlite import work as sqlite_work

Area = Literal["provider", "worker", "lease manager", "orchestration dispatcher", "engine", "codec"]

_MADE_IN: Final[Mapping[type, ModuleType]] = {
    LeaseTable: lease_keeper,
    Log: lease_keeper,
    Intake: turn,
    SessionScan: turn,
}
"""The module in which a subclass stands in for its base, if it is the defect."""


class Change(NamedTuple):
    """An attribute of a module or class, and its replacement while the defect is planted."""

    owner: object
    name: str
    value: object


Changes = Iterator[Change]
Original = Callable[..., Any]
"""What was replaced, of any signature; handed to the replacement that `around` installs."""
Planting = TypeVar("Planting", bound=Callable[[], Iterable[Change]] | type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One change of behaviour.

    Attributes:
        title: the wrong behaviour, in one sentence.
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


REGISTERED: Final[dict[str, Defect]] = {}
"""Those of the modules imported so far; `catalogue` imports them all, in the order of their names."""


def defect(
    where: Area,
    rows: str,
    scenario: str,
    *,
    caught_by: str | None = None,
    needs: str = "nothing",
    elsewhere: str | None = None,
) -> Callable[[Planting], Planting]:
    """Make a defect of a function that yields the changes, or of a class that stands in for its base.

    The defect has its name, and its docstring's first paragraph as title. `rows` are separated by blanks; the
    first is meant to catch it unless `caught_by` says otherwise. Raises ValueError if the name is taken.
    """

    def register(planting: Planting) -> Planting:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", planting.__name__).lower()
        if name in REGISTERED:
            raise ValueError(f"two planted defects are called {name!r}: names are unique")
        aimed_at = tuple(rows.split())
        REGISTERED[name] = Defect(
            name=name,
            title=_title(planting),
            where=where,
            caught_by=caught_by or aimed_at[0],
            rows=aimed_at,
            scenario=scenario,
            needs=needs,
            planted=lambda: replaced(*_without_shortcuts(), *_changes(planting)),
            elsewhere=elsewhere,
        )
        return planting

    return register


def _without_shortcuts() -> list[Change]:
    """A fetch looks at every row: defects change what decides, and what spares a search must not hide it."""

    def instances(tables: Tables, now: Millis) -> Iterator[str]:
        rows = sorted(tables.messages.rows(), key=lambda row: (row.visible_from, row.seq))
        yield from dict.fromkeys(row.instance for row in rows if row.visible_from <= now)

    return [
        Change(memory_work, "candidates", lambda tables, now, query: tables.work.by_seq.values()),
        Change(memory_turns, "candidates", instances),
        Change(sqlite_work, "first_eligible", lambda transaction, search: 0),
        Change(sqlite_turns, "first_eligible", lambda transaction: (-1, 1)),
    ]


def _title(planting: Callable[..., object]) -> str:
    first, _, _ = (planting.__doc__ or "").partition("\n\n")
    return " ".join(first.split()).removesuffix(".")


def _changes(planting: Callable[[], Iterable[Change]] | type) -> Iterable[Change]:
    if not isinstance(planting, type):
        return planting()
    base = next((each for each in planting.__mro__ if each in _MADE_IN), None)
    if base is None:
        raise LookupError(f"{planting!r} stands in for nothing: none of its bases is in _MADE_IN")
    return [Change(_MADE_IN[base], base.__name__, planting)]


def around(owner: object, name: str, otherwise: Callable[..., object]) -> Change:
    """Replace an attribute with a function that gets the original before its other arguments."""
    before = original(owner, name)

    def call(*given: object, **named: object) -> object:
        return otherwise(before, *given, **named)

    return Change(owner, name, call)


@contextmanager
def replaced(*changes: Change) -> Iterator[None]:
    """Make the changes, and undo them on leaving."""
    with ExitStack() as undo:
        for owner, name, value in changes:
            undo.callback(setattr, owner, name, original(owner, name))
            setattr(owner, name, value)
        yield


def statements(module: ModuleType, *parts: tuple[str, str, str]) -> Change:
    """Statements of a module's `SQL`, each by name with a part replaced.

    Raises LookupError if a part is not there.
    """
    changed: dict[str, str] = dict(vars(module)["SQL"])
    for name, old, new in parts:
        if old not in changed[name]:
            raise LookupError(f"statement {name!r} has no {old!r} any more: adapt the defect")
        changed[name] = changed[name].replace(old, new)
    return Change(module, "SQL", changed)


def original(owner: object, name: str) -> Any:
    """The present value of an attribute, of any type.

    Raises LookupError if there is none: the product has changed, and the defect must be adapted.
    """
    if name not in vars(owner):
        raise LookupError(f"{owner!r} has no {name!r} any more: adapt the defect that replaces it")
    return vars(owner)[name]
