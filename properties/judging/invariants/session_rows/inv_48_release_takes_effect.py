"""INV-48 Release takes effect.

After an idle or shutdown release with an eligible item queued, another worker with capacity receives it
within P.

Choices. A row that exists and names nobody is one that was released, or opened and never claimed.
"""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.waiting_items import WaitingItems
from holdfast.properties.judging.ledger.items import Item
from holdfast.properties.judging.ledger.workers import WorkerBoot


class ReleaseTakesEffect(WaitingItems):
    id = "INV-48"
    title = "Release takes effect"

    def concerns(
        self, item: Item, record: SessionRecord | None, worker: WorkerBoot, at_capacity: bool
    ) -> bool:
        """An item of a session that names nobody."""
        return record is not None and record.worker_id is None
