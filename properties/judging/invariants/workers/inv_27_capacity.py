"""INV-27 Capacity.

Always |leases(w)| plus reservations plus unconfirmed units (SS-14.15) ≤ `max_sessions_per_worker`; and,
unless the provider's clock was set back or a call took effect whose answer w never received, at most that
many live rows name w, not counting a session being given back under SS-14.16.
"""

from __future__ import annotations

from holdfast.core.contract.observe import CapacityChanged
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Delivered
from holdfast.properties.judging.ledger.rows import is_live
from holdfast.traces.record import Local


class Capacity(Monitor):
    """INV-27. Rows are counted at each claim; the limit is the one the worker tells."""

    id = "INV-27"
    title = "Capacity"
    hooks = ("session_records",)

    @on(CapacityChanged)
    def units(self, local: Local) -> None:
        """The units in use are within the limit."""
        event = local.event
        assert isinstance(event, CapacityChanged)
        if event.leases + event.reserved + event.kept > event.limit:
            self.violate(
                worker=event.worker_id,
                leases=event.leases,
                reserved=event.reserved,
                kept=event.kept,
                limit=event.limit,
            )

    @on(Delivered)
    def claimed(self, fact: Delivered) -> None:
        """After a claim no more live rows than the limit name the worker."""
        worker, before = fact.worker, fact.row_before
        if fact.mode != "full" or fact.item.key is None or worker.units is None:
            return
        if before is not None and before.worker_id == fact.owner:
            return
        ledger = self.ledger
        count = sum(
            record.worker_id == fact.owner and is_live(record, ledger.now)
            for record in ledger.rows.sessions.values()
        )
        if count > worker.units.limit and not self._excused(fact):
            self.violate(worker=fact.owner, live_rows=count, limit=worker.units.limit)

    def _excused(self, fact: Delivered) -> bool:
        """The clock was set back, or an answer was lost: by a fault, or by the crash of a namesake."""
        ledger = self.ledger
        return (
            any(jump.amount_ms < 0 for jump in ledger.book.jumps)
            or ledger.book.answer_lost(fact.worker.process)
            or any(not attempt.known for attempt in fact.worker.attempts.values())
            or any(one.owner == fact.owner and one is not fact.worker for one in ledger.workers)
        )
