"""Monitor: one rule, watched along a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.timing import Timings
from holdfast.properties.judging.verdict import Datum, Violated

NEVER: Final = 1 << 62
"""A time that does not come, in microseconds."""

Method = TypeVar("Method", bound=Callable[..., None])


class RowsChanged:
    """Listen to this to be called, with the commit's fact, when session rows have changed."""


class WorkChanged:
    """Listen to this to be called, with the commit's fact, when worker rows have changed."""


def on(*kinds: type) -> Callable[[Method], Method]:
    """Call this method with every fact, local event, fault or change of these kinds.

    It gets the fact or the fault; for a local event the `Local` that holds it. A listener to `Commit` gets
    every commit, before the commit's fact is told.
    """

    def mark(method: Method) -> Method:
        method.__dict__["listens_to"] = kinds
        return method

    return mark


class Monitor:
    """One rule. Subclasses give id, title and the hooks they need, and listen.

    Attributes:
        violation: the first breach, or None.
        unknown: why nothing can be said, or None.
        due_us: when the next timed obligation must have been met; `overdue` is called once that has passed.
        reads_ledger: whether it relies on what the ledger derives, not on the rows of the store alone.
        ends_run: whether a run whose rule is broken may stop there.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    hooks: ClassVar[tuple[str, ...]] = ()
    handlers: ClassVar[tuple[tuple[type, str], ...]] = ()
    timed: ClassVar[bool] = False
    reads_ledger: ClassVar[bool] = True
    ends_run: ClassVar[bool] = True

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        self.ledger = ledger
        self.timings = timings
        self.violation: Violated | None = None
        self.breaches: list[Violated] = []  # of all monitors of a suite
        self.unknown: str | None = None
        self.due_us = NEVER

    def __init_subclass__(cls) -> None:
        cls.timed = cls.overdue is not Monitor.overdue
        cls.handlers = tuple(
            (kind, name)
            for name in dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
            for kind in getattr(getattr(cls, name, None), "listens_to", ())
        )

    def violate(self, **witness: Datum) -> None:
        """The rule is broken; only the first breach counts."""
        if self.violation is None:
            ledger = self.ledger
            witness.setdefault("now", ledger.now)
            self.violation = Violated(self.id, witness, ledger.position, ledger.time_us)
            self.breaches.append(self.violation)

    def told(self, violated: Violated) -> str:
        """The text of a breach of this rule, for readers."""
        return ", ".join(f"{name}={value}" for name, value in violated.witness.items())

    def overdue(self, time_us: int) -> None:
        """`due_us` has passed without its obligation being met."""

    def undecided(self) -> str | None:
        """Why a run that has ended has not decided the rule; None if it has."""
        return None

    def latest_due_us(self) -> int:
        """The time by which every open obligation must have been met; 0 if none is open."""
        return 0


def session(key: SessionKey) -> str:
    """How witnesses name a session."""
    return f"{key[0]}/{key[1]}"


def row(record: SessionRecord | None) -> Datum:
    """How witnesses show a session row."""
    if record is None:
        return "absent"
    return {"worker_id": record.worker_id, "locked_until": record.locked_until}


Listener = Callable[[Any], None]
