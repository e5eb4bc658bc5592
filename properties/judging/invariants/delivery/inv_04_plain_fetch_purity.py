"""INV-04 Plain fetch purity: `DELIVER(q,·,·,·,plain)` implies sess(q) = none."""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, session
from holdfast.properties.judging.ledger.facts import Delivered


class PlainFetchPurity(Monitor):
    """INV-04. The session of an item is that of its activity in history, or of the item as enqueued."""

    id = "INV-04"
    title = "Plain fetch purity"

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """Plain fetches bring plain items."""
        if fact.mode == "plain" and fact.item.key is not None:
            self.violate(
                session=session(fact.item.key), item=fact.item.name(), delivered_to=fact.worker.name()
            )
