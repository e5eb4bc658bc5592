"""INV-23 Loss leads to a signal.

If at p ownership of (i,s) is taken from w, the row deleted, or the item of an attempt deleted, then every
attempt in flight on w concerned gets `SIGNAL` within the bounds of SS-7.14 (R + ε for the session, I + ε
for the item; the local deadline if the provider is unreachable), unless `STOP` or `CRASH` comes first.

Choices. Only a fault makes a call take time, so ε is what is booked for faults. For an attempt whose handler
starts after the loss, the bound counts from that start. If the same worker claims the session again in time,
its renewals succeed and show no loss: then only the bound for the item applies. If faults kept calls from the
store, that is the unreachable case: D more than the bound, and what is booked. Faults count from one interval
and one lock before the loss: the renewal that must show it follows one sent up to an interval before, and
that one may have been held up, or retried, for as long as the lock lasts.
"""

from __future__ import annotations

from holdfast.core.contract.observe import (
    HandlerSignalled,
    HandlerStarted,
    HandlerStopped,
    ShutdownBegan,
    ShutdownReturned,
)
from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on
from holdfast.properties.judging.invariants.obligations import Obligation, Obligations
from holdfast.properties.judging.ledger.facts import (
    Abandoned,
    AbandonRejected,
    Acked,
    Deleted,
    Delivered,
    Done,
    DoneRejected,
    Fact,
    Released,
)
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.ledger.workers import AttemptRecord, WorkerBoot
from holdfast.properties.judging.timing import Timings
from holdfast.traces.record import Fault, Local

Loss = tuple[str, str]
"""The token of an attempt, and what it lost: "session" or "item"."""


class LossLeadsToSignal(Monitor):
    id = "INV-23"
    title = "Loss leads to a signal"
    hooks = ("session_records",)

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._open = Obligations[Loss](ledger.book)
        self._unstarted: dict[str, set[str]] = {}  # what attempts lost whose handler has not started

    # --- losses ---------------------------------------------------------------------------------------

    @on(RowsChanged)
    def session_lost(self, fact: Fact) -> None:
        """A row no longer names a worker, not by the worker's own release."""
        if isinstance(fact, Released):
            return
        rows = self.ledger.rows
        for key in rows.changed:
            before, after = rows.before.get(key), rows.sessions.get(key)
            named = None if before is None else before.worker_id
            if named is None or (after is not None and after.worker_id == named):
                continue
            loser = self.ledger.named(named)
            if loser is not None:
                for attempt in loser.attempts.values():
                    if attempt.key == key:
                        self._lost(attempt, "session")

    @on(Acked, Deleted)
    def items_removed(self, fact: Acked | Deleted) -> None:
        """Items were taken from whoever runs them."""
        for item in fact.removed:
            attempt = None if item.token is None else self.ledger.attempts.get(item.token)
            if attempt is not None:
                self._lost(attempt, "item")

    @on(Delivered)
    def passed_on(self, fact: Delivered) -> None:
        """An item went on to somebody else; and its session may be the worker's again."""
        if fact.was_attempt is not None:
            self._lost(fact.was_attempt, "item")
        key = fact.item.key
        if key is not None and fact.row_after is not None and fact.row_after.worker_id == fact.owner:
            for attempt in fact.worker.attempts.values():
                if attempt.key == key and attempt is not fact.attempt:
                    self._met(attempt.token, "session")

    # --- signals, and what comes first ----------------------------------------------------------------

    @on(HandlerStarted)
    def started(self, local: Local) -> None:
        """From now on there is a handler to signal."""
        assert isinstance(local.event, HandlerStarted)
        attempt = self.ledger.attempts.get(local.event.token)
        for what in sorted(self._unstarted.pop(local.event.token, ())):
            if attempt is not None:
                self._lost(attempt, what)

    @on(HandlerSignalled, HandlerStopped)
    def met(self, local: Local) -> None:
        """SIGNAL or STOP."""
        assert isinstance(local.event, HandlerSignalled | HandlerStopped)
        self._met(local.event.token, "session", "item")

    @on(Done, DoneRejected, Abandoned, AbandonRejected)
    def final(self, fact: Done | DoneRejected | Abandoned | AbandonRejected) -> None:
        """The attempt is no longer in flight."""
        if fact.attempt is not None:
            self._met(fact.attempt.token, "session", "item")

    @on(Fault)
    def struck(self, fault: Fault) -> None:
        """CRASH; and every other fault may postpone what is due."""
        if fault.kind == "crash":
            for token, what in self._open:
                if not self.ledger.attempts[token].worker.runs:
                    self._met(token, what)

    @on(ShutdownBegan, ShutdownReturned)
    def shut_down(self, local: Local) -> None:
        """At once, which is like a crash (SS-9.14); or it is over."""
        worker = self.ledger.worker(local.process, local.boot)
        if not worker.runs:
            for token, what in self._open:
                if self.ledger.attempts[token].worker is worker:
                    self._met(token, what)

    # --- time -----------------------------------------------------------------------------------------

    def overdue(self, time_us: int) -> None:
        """No signal came in time."""
        for token, what in self._open.overdue(time_us):
            attempt = self.ledger.attempts[token]
            one = self._open[token, what]
            self.violate(
                attempt=attempt.name(),
                session=None if attempt.key is None else "/".join(attempt.key),
                lost=what,
                lost_at_us=one.since_us,
                due_us=one.due_us(self.ledger.book),
                seen_us=time_us,
            )

    def latest_due_us(self) -> int:
        return self._open.latest_due_us()

    def _lost(self, attempt: AttemptRecord, what: str) -> None:
        worker = attempt.worker
        if not attempt.known or attempt.stopped or attempt.signalled is not None or not worker.runs:
            return
        if attempt.final_at is not None and attempt.final_at < self.ledger.position:
            return  # its final call came before this commit: it was not in flight any more
        if attempt.started_us is None:
            self._unstarted.setdefault(attempt.token, set()).add(what)
            return
        obligation = self._obligation(worker, what)
        if obligation is not None:
            self._open.open((attempt.token, what), obligation)
            self.due_us = self._open.next_due_us()

    def _obligation(self, worker: WorkerBoot, what: str) -> Obligation | None:
        timing = self.timings.of(worker.process)
        if timing is None:
            self.unknown = f"the timing of {worker.process} was not given"
            return None
        bound_us = timing.session_renewal_us if what == "session" else timing.item_renewal_us
        most_us = max(timing.session_lock_us, timing.item_renewal_us)
        now_us = self.ledger.time_us
        return Obligation(worker.process, now_us - bound_us - most_us, now_us, bound_us, bound_us + most_us)

    def _met(self, token: str, *whats: str) -> None:
        for what in whats:
            if (token, what) in self._open:
                self._open.close((token, what))
                self.due_us = self._open.next_due_us()
