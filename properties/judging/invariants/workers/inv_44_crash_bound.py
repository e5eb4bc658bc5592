"""INV-44 Crash bound.

If w crashes, each of its sessions is claimable at most D after that session's last extension, and an item
that was in flight is eligible for others at most max(D, L) after the last extension of the respective lock.

Choices. Judged at the crash, from what the rows say then: nothing may extend them later (INV-22, INV-09).
Jumps of the store's clock excuse it.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.ledger.workers import WorkerBoot
from holdfast.properties.judging.timing import Timings
from holdfast.traces.record import Commit, Fault


class CrashBound(Monitor):
    """INV-44. Times of the store are those of the run, shifted."""

    id = "INV-44"
    title = "Crash bound"
    hooks = ("session_records",)

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._start_us: int | None = None

    @on(Commit)
    def commit(self, commit: Commit) -> None:
        """The store's clock against that of the run."""
        if self._start_us is None:
            self._start_us = commit.provider_ms * 1000 - commit.time_us // 1000 * 1000

    @on(Fault)
    def struck(self, fault: Fault) -> None:
        """A crash: its sessions and items come free in time."""
        if fault.kind != "crash" or self.ledger.book.jumps or self._start_us is None:
            return
        for worker in self.ledger.workers:
            if worker.process == fault.process and worker.owner is not None:
                self._judge(worker, fault.time_us, self._start_us)

    def _judge(self, worker: WorkerBoot, time_us: int, start_us: int) -> None:
        timing = self.timings.of(worker.process)
        if timing is None:
            return
        lock_us = max(timing.session_lock_us, timing.item_lock_us)
        for key, record in self.ledger.rows.sessions.items():
            if record.worker_id == worker.owner and record.locked_until is not None:
                since_us = worker.extended_us.get(key, time_us)
                if record.locked_until * 1000 - start_us > since_us + timing.session_lock_us + 1000:
                    self.violate(session=session(key), row=row(record), extended_us=since_us)
        for item in self.ledger.queue:
            held = item.token is not None and item.token in worker.attempts
            if held and item.until * 1000 - start_us > time_us + lock_us + 1000:
                self.violate(item=item.name(), held_until=item.until)
