"""LostLeases: a lease on a session that is no longer the worker's ends within R + ε (SS-7.14).

Only a fault makes a call take time, so ε is what is booked for faults. Faults count from D before the loss: a
renewal that has failed since before then would have met its local deadline (SS-7.12).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from holdfast.core.contract.observe import LeaseEnded, ShutdownBegan, ShutdownReturned
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on, session
from holdfast.properties.judging.invariants.obligations import Obligation, Obligations
from holdfast.properties.judging.ledger.facts import Delivered, Fact
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.ledger.workers import WorkerBoot
from holdfast.properties.judging.timing import Timings
from holdfast.traces.record import Fault, Local

LeaseKey = tuple[str, int, SessionKey]
"""Process, boot and session of a lease."""


class LostLeases(Monitor, ABC):
    """What INV-25 and INV-47 share: they differ in which rows mean that a session is lost."""

    hooks = ("session_records",)

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._open = Obligations[LeaseKey](ledger.book)

    @abstractmethod
    def is_lost(self, row: SessionRecord | None, worker: WorkerBoot) -> bool:
        """Whether a row means that a worker has lost the session."""

    @on(RowsChanged)
    def rows_changed(self, fact: Fact) -> None:
        """A worker that holds a lease on a lost session must drop it."""
        rows = self.ledger.rows
        for key in rows.changed:
            row = rows.sessions.get(key)
            for worker in self.ledger.workers:
                if worker.runs and key in worker.leases and self.is_lost(row, worker):
                    self._owe(worker, key)

    @on(Delivered)
    def claimed(self, fact: Delivered) -> None:
        """The session is the worker's again."""
        if fact.item.key is not None:
            self._close((fact.worker.process, fact.worker.boot, fact.item.key))

    @on(LeaseEnded)
    def ended(self, local: Local) -> None:
        """Dropped."""
        assert isinstance(local.event, LeaseEnded)
        self._close((local.process, local.boot, (local.event.instance_id, local.event.session_id)))

    @on(Fault)
    def struck(self, fault: Fault) -> None:
        """A crash ends all leases."""
        if fault.kind == "crash":
            self._forget_the_dead()

    @on(ShutdownBegan, ShutdownReturned)
    def shut_down(self, local: Local) -> None:
        """So does the end of a shutdown."""
        self._forget_the_dead()

    def overdue(self, time_us: int) -> None:
        """It was not dropped in time."""
        for subject in self._open.overdue(time_us):
            process, boot, key = subject
            one = self._open[subject]
            worker = self.ledger.worker(process, boot)
            if key in worker.renewing:
                continue  # the answer will tell, and ε covers the wait for it
            self.violate(
                session=session(key),
                worker=worker.name(),
                gone_us=one.since_us,
                due_us=one.due_us(self.ledger.book),
                seen_us=time_us,
            )

    def undecided(self) -> str | None:
        return "a renewal was still under way when the run ended" if self._open else None

    def latest_due_us(self) -> int:
        return self._open.latest_due_us()

    def _owe(self, worker: WorkerBoot, key: SessionKey) -> None:
        timing = self.timings.of(worker.process)
        if timing is None:
            self.unknown = f"the timing of {worker.process} was not given"
            return
        bound_us, now_us = timing.session_renewal_us, self.ledger.time_us
        self._open.open(
            (worker.process, worker.boot, key),
            Obligation(
                worker.process,
                now_us - timing.session_lock_us,
                now_us,
                bound_us,
                bound_us + timing.session_lock_us,
            ),
        )
        self.due_us = self._open.next_due_us()

    def _close(self, subject: LeaseKey) -> None:
        if subject in self._open:
            self._open.close(subject)
            self.due_us = self._open.next_due_us()

    def _forget_the_dead(self) -> None:
        for subject in self._open:
            if not self.ledger.worker(subject[0], subject[1]).runs:
                self._close(subject)
