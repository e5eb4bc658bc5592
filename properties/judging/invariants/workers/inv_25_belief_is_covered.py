"""INV-25 Belief is covered.

While w holds a lease on (i,s), owner(i,s) = w, or the loss happened at most R + ε ago, or the clock jumped
since the last extension; and without clock jumps a local deadline set by a renewal is never later than the
expiry that renewal stored.

Choices. A deadline is not an event of the trace; INV-24 and the rows about it show that it is kept. After a
jump of the store's clock this rule opens no obligation.
"""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.lost_leases import LostLeases
from holdfast.properties.judging.ledger.workers import WorkerBoot


class BeliefIsCovered(LostLeases):
    id = "INV-25"
    title = "Belief is covered"

    def is_lost(self, row: SessionRecord | None, worker: WorkerBoot) -> bool:
        """The session is gone, unowned, or another worker's."""
        if self.ledger.book.jumps or worker.owner is None:
            return False
        return row is None or row.worker_id != worker.owner
