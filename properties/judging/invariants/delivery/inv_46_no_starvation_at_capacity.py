"""INV-46 No starvation at capacity.

A worker at capacity keeps delivering, in `seq` order, items of sessions it owns and items without session.

Choices. INV-06 covers the order; this rule says that the worker goes on polling, in a mode that can bring
these items.
"""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.waiting_items import WaitingItems
from holdfast.properties.judging.ledger.items import Item
from holdfast.properties.judging.ledger.workers import WorkerBoot


class NoStarvationAtCapacity(WaitingItems):
    id = "INV-46"
    title = "No starvation at capacity"

    def concerns(
        self, item: Item, record: SessionRecord | None, worker: WorkerBoot, at_capacity: bool
    ) -> bool:
        """What a worker at capacity may have: items without session, and items of its own sessions."""
        return at_capacity
