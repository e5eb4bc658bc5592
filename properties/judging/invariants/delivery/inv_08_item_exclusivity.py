"""INV-08 Item exclusivity: nobody gets an item that another holds.

At `DELIVER(q,..)` no earlier delivery of q holds a lock with expiry > τ(p), and q was visible.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Delivered


class ItemExclusivity(Monitor):
    id = "INV-08"
    title = "Item exclusivity"

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """The item was free and visible."""
        now = self.ledger.now
        if (fact.was_token is not None and fact.was_until > now) or fact.was_visible_from > now:
            self.violate(
                item=fact.item.name(),
                delivered_to=fact.worker.name(),
                held_by=None if fact.was_attempt is None else fact.was_attempt.worker.name(),
                held_until=fact.was_until,
                visible_from=fact.was_visible_from,
            )
