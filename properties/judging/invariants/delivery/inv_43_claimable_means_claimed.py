"""INV-43 Claimable means claimed.

If an item of an unclaimed or expired session stays eligible and some worker with capacity and a free slot
polls, it is delivered within P + the time that worker needs to finish what precedes it in `seq` order.

Choices. INV-06 says that a poll gets the item; this rule says that a free worker polls.
"""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.waiting_items import WaitingItems
from holdfast.properties.judging.ledger.items import Item
from holdfast.properties.judging.ledger.workers import WorkerBoot


class ClaimableMeansClaimed(WaitingItems):
    id = "INV-43"
    title = "Claimable means claimed"

    def concerns(
        self, item: Item, record: SessionRecord | None, worker: WorkerBoot, at_capacity: bool
    ) -> bool:
        """An item of a session that is unclaimed or expired."""
        return item.key is not None and (record is None or record.worker_id != worker.owner)
