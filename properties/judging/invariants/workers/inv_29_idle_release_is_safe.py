"""INV-29 Idle release is safe.

`RELEASE` with reason idle at p implies flight(w,i,s) = ∅ at p and at least T since it last became empty.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, session
from holdfast.properties.judging.ledger.facts import Abandoned, AbandonRejected, Done, DoneRejected, Released
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.ledger.workers import AttemptRecord
from holdfast.properties.judging.timing import Timings


class IdleReleaseIsSafe(Monitor):
    """INV-29. A delivery whose answer was lost is not in flight, as its worker knows nothing of it."""

    id = "INV-29"
    title = "Idle release is safe"

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._final_us: dict[tuple[str, int, SessionKey], int] = {}

    @on(Done, DoneRejected, Abandoned, AbandonRejected)
    def final(self, fact: Done | DoneRejected | Abandoned | AbandonRejected) -> None:
        """One attempt is no longer in flight."""
        attempt = fact.attempt
        if attempt is not None and attempt.key is not None:
            worker = attempt.worker
            self._final_us[worker.process, worker.boot, attempt.key] = self.ledger.time_us

    @on(Released)
    def released(self, fact: Released) -> None:
        """Nothing is in flight, and T has passed."""
        worker, key = fact.worker, fact.key
        if not fact.ok or key in worker.leases or worker.ended_leases.get(key) != "idle":
            return
        for attempt in worker.attempts.values():
            if attempt.key == key and attempt.known and not self._given_up(attempt):
                self.violate(session=session(key), worker=fact.owner, in_flight=attempt.name())
        timing = self.timings.of(worker.process)
        since_us = self._final_us.get((worker.process, worker.boot, key))
        if timing is None or timing.idle_us is None or since_us is None:
            return
        if self.ledger.time_us - since_us < timing.idle_us:
            self.violate(
                session=session(key),
                worker=fact.owner,
                idle_since_us=since_us,
                released_us=self.ledger.time_us,
                idle_timeout_us=timing.idle_us,
            )

    def _given_up(self, attempt: AttemptRecord) -> bool:
        """Whether its final call failed so often that the worker gave it up."""
        return attempt.stopped and self.ledger.book.unreachable(attempt.worker.process, attempt.delivered_us)
