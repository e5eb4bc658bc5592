"""INV-47 Leases drain.

Each lease on a session that no longer exists is dropped within R + ε; after all instances are terminal
every worker's lease count reaches zero.
"""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.lost_leases import LostLeases
from holdfast.properties.judging.ledger.workers import WorkerBoot


class LeasesDrain(LostLeases):
    """INV-47. A terminal ack removes the rows of its instance, so the second half follows from the first."""

    id = "INV-47"
    title = "Leases drain"

    def is_lost(self, row: SessionRecord | None, worker: WorkerBoot) -> bool:
        """The session is gone."""
        return row is None
