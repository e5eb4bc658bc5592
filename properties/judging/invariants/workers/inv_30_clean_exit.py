"""INV-30 Clean exit.

After `RETURNED(w)` of a graceful shutdown no row names w except those whose handler could not be stopped,
whose release call failed, or whose lease w had given up before without confirmation, and w makes no more
provider calls.

Choices. Rows are judged when the shutdown returns: a call that was cancelled may commit later. For the same
reason the last part is not judged, since a commit does not tell when its call was made. Any fault that struck
the process may have kept a release from finishing.
"""

from __future__ import annotations

from holdfast.core.contract.observe import ShutdownReturned
from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.properties.judging.ledger.workers import WorkerBoot
from holdfast.traces.record import Local


class CleanExit(Monitor):
    id = "INV-30"
    title = "Clean exit"
    hooks = ("session_records",)

    @on(ShutdownReturned)
    def returned(self, local: Local) -> None:
        """Every session that could be released was."""
        event = local.event
        assert isinstance(event, ShutdownReturned)
        ledger = self.ledger
        worker = ledger.worker(local.process, local.boot)
        if worker.shutdown != "graceful" or ledger.book.struck(local.process, 0):
            return
        for key, record in ledger.rows.sessions.items():
            if record.worker_id == event.worker_id and not self._excused(worker, key):
                self.violate(session=session(key), worker=event.worker_id, row=row(record))

    def _excused(self, worker: WorkerBoot, key: SessionKey) -> bool:
        """A handler still runs, the lease was given up before, or w never learnt of a delivery."""
        return worker.ended_leases.get(key) == "deadline" or any(
            attempt.key == key
            and (not attempt.known or (attempt.started_us is not None and not attempt.stopped))
            for attempt in self.ledger.attempts.values()
            if attempt.worker is worker
        )
