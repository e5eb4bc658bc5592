"""INV-03 Delivery to the owner: only the owner of a session gets its items.

`DELIVER(q,w,..)` with sess(q) = s implies owner(i,s) = w immediately after that commit.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import Delivered
from holdfast.properties.judging.ledger.rows import is_live


class DeliveryToOwner(Monitor):
    id = "INV-03"
    title = "Delivery to the owner"
    hooks = ("session_records",)

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """The row names the worker that got the item, and is live."""
        key, after = fact.item.key, fact.row_after
        if key is None:
            return
        if after is None or after.worker_id != fact.owner or not is_live(after, self.ledger.now):
            self.violate(
                session=session(key),
                item=fact.item.name(),
                delivered_to=fact.owner,
                mode=fact.mode,
                row_after=row(after),
            )
