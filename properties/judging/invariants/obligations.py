"""Obligations: what must happen by a certain time, which booked faults postpone."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast.properties.judging.invariants.monitor import NEVER
from holdfast.properties.judging.ledger.workers import Book

SubjectT = TypeVar("SubjectT", bound=Hashable)


@dataclass(slots=True)
class Obligation:
    """Due `bound_us` after `since_us`, or `unreachable_us` after it if faults kept the store out of reach.

    Faults of `process` that had not ended at `from_us` postpone it by what is booked for them. `from_us` lies
    before `since_us`, because a fault that is over can still show: what is owed follows from a renewal, and a
    renewal under way may have been held back, or be a retry of one that failed, and retries go on until D
    after the last success (SS-7.11, SS-7.12). Each rule says how far back to look: too far only makes it
    milder, by what is booked; not far enough makes it blame a worker for a fault.
    """

    process: str
    from_us: int
    since_us: int
    bound_us: int
    unreachable_us: int

    def __post_init__(self) -> None:
        assert self.from_us <= self.since_us, (
            f"an obligation of {self.process} since {self.since_us} counts faults only from {self.from_us}"
        )
        assert 0 <= self.bound_us <= self.unreachable_us, (
            f"an obligation of {self.process} is due after {self.bound_us}, "
            f"and with the store out of reach after {self.unreachable_us}"
        )

    def due_us(self, book: Book) -> int:
        """By when, given the faults so far; faults to come may postpone it further."""
        bound = self.bound_us
        if book.unreachable(self.process, self.from_us):
            bound = max(bound, self.unreachable_us)
        return self.since_us + bound + book.held_back_us(self.process, self.from_us)


class Obligations(Generic[SubjectT]):
    """The open obligations of one monitor, by what they are about."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._open: dict[SubjectT, Obligation] = {}

    def __contains__(self, subject: SubjectT) -> bool:
        return subject in self._open

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[SubjectT]:
        return iter(tuple(self._open))

    def __getitem__(self, subject: SubjectT) -> Obligation:
        return self._open[subject]

    def open(self, subject: SubjectT, obligation: Obligation) -> None:
        """Something must happen; of two about one subject the earlier counts."""
        known = self._open.get(subject)
        if known is None or obligation.due_us(self._book) < known.due_us(self._book):
            self._open[subject] = obligation

    def close(self, subject: SubjectT) -> None:
        """It has happened, or is no longer owed."""
        self._open.pop(subject, None)

    def next_due_us(self) -> int:
        """The earliest time at which something may be overdue.

        This ignores the book: a fault entered later only postpones what is due, so this stays a lower bound
        and need not follow every fault. From then on `overdue` asks the book whenever time moves.
        """
        return min((one.since_us + one.bound_us for one in self._open.values()), default=NEVER)

    def latest_due_us(self) -> int:
        """The time by which all must have been met; 0 if none is open."""
        return max((one.due_us(self._book) for one in self._open.values()), default=0)

    def overdue(self, time_us: int) -> list[SubjectT]:
        """Those whose time has passed."""
        return [subject for subject, one in self._open.items() if one.due_us(self._book) < time_us]
