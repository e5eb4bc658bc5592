"""INV-28 Lease cover.

For every attempt in flight on w for s, from delivery to its final provider call, w holds a lease on s, or
has lost it and signalled that attempt, or gives the item back under SS-14.16.
"""

from __future__ import annotations

from holdfast.core.contract.observe import HandlerStarted, LeaseEnded
from holdfast.properties.judging.invariants.monitor import Monitor, on, session
from holdfast.properties.judging.ledger.facts import Done
from holdfast.traces.record import Local


class LeaseCover(Monitor):
    """INV-28. Judged where it matters: when a handler starts, when a lease ends under a running one, and when
    an item is finished for which none ever started: a poisoned one, or one of an unknown activity.
    """

    id = "INV-28"
    title = "Lease cover"

    @on(HandlerStarted)
    def started(self, local: Local) -> None:
        """A handler of a session starts under a lease."""
        event = local.event
        assert isinstance(event, HandlerStarted)
        if event.session_id is None:
            return
        worker = self.ledger.worker(local.process, local.boot)
        if (event.instance_id, event.session_id) not in worker.leases:
            self.violate(
                worker=worker.name(),
                session=f"{event.instance_id}/{event.session_id}",
                activity_id=event.activity_id,
            )

    @on(LeaseEnded)
    def ended(self, local: Local) -> None:
        """Handlers that still run when their lease ends were signalled."""
        event = local.event
        assert isinstance(event, LeaseEnded)
        worker = self.ledger.worker(local.process, local.boot)
        key = (event.instance_id, event.session_id)
        for attempt in worker.attempts.values():
            if attempt.key == key and attempt.running:
                self.violate(attempt=attempt.name(), session="/".join(key), lease_ended=event.cause)

    @on(Done)
    def finished(self, fact: Done) -> None:
        """An item that no handler ran for was finished by a worker that has, or had, a lease."""
        attempt = fact.attempt
        if attempt is None or attempt.key is None or attempt.started_us is not None or not attempt.known:
            return
        worker = attempt.worker
        if worker.units is None:
            return  # a process that calls the store by hand reports no leases
        if attempt.key not in worker.leases and attempt.key not in worker.ended_leases:
            self.violate(attempt=attempt.name(), session=session(attempt.key))
