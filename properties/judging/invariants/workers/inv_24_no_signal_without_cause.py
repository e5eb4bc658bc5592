"""INV-24 No signal without cause.

Each `SIGNAL(w,tok,·)` is preceded, after `START(w,tok)` or its delivery, by removal or loss of that
item's lock, loss of that session, passing of the local deadline, or `SHUTDOWN(w)`; each attempt gets at
most one.
"""

from __future__ import annotations

from holdfast.core.contract.observe import HandlerSignalled, SignalCause
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.ledger.workers import AttemptRecord
from holdfast.properties.judging.timing import Timings
from holdfast.traces.record import Local


class NoSignalWithoutCause(Monitor):
    """INV-24. Once calls took effect late or without an answer, the trace does not tell when a deadline is
    due."""

    id = "INV-24"
    title = "No signal without cause"
    hooks = ("session_records",)

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._signalled: set[str] = set()

    @on(HandlerSignalled)
    def signalled(self, local: Local) -> None:
        """There was a cause, and no signal before."""
        event = local.event
        assert isinstance(event, HandlerSignalled)
        attempt = self.ledger.attempts.get(event.token)
        if event.token in self._signalled:
            self.violate(attempt=event.token, cause=event.cause, twice=True)
        self._signalled.add(event.token)
        if attempt is None or not self._had_cause(attempt, event.cause):
            self.violate(attempt=event.token if attempt is None else attempt.name(), cause=event.cause)

    def _had_cause(self, attempt: AttemptRecord, cause: SignalCause) -> bool:
        worker = attempt.worker
        return (
            attempt.refused
            or attempt.item_gone_at is not None
            or attempt.session_gone_at is not None
            or worker.shutdown is not None
            or (cause == "deadline" and self._deadline_passed(attempt))
        )

    def _deadline_passed(self, attempt: AttemptRecord) -> bool:
        """D after the last extension; whole milliseconds, as the provider counts."""
        worker, key = attempt.worker, attempt.key
        timing = self.timings.of(worker.process)
        if key is None or timing is None:
            return False
        if self.ledger.book.mistaken(worker.process, attempt.delivered_us):
            return True
        extended_us = worker.extended_us.get(key, attempt.delivered_us)
        return self.ledger.time_us >= extended_us // 1000 * 1000 + timing.session_lock_us
