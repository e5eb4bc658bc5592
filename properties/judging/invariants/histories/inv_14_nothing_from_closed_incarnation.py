"""INV-14 Nothing delivered from a closed incarnation.

After the `ACK` that ends incarnation k no `DELIVER(q,..)` with inc(q) = k occurs.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, session
from holdfast.properties.judging.ledger.facts import Delivered


class NothingFromClosedIncarnation(Monitor):
    id = "INV-14"
    title = "Nothing delivered from a closed incarnation"

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """The incarnation its activity was scheduled on is still open."""
        incarnation = fact.item.incarnation
        if incarnation is not None and incarnation.ended_at is not None:
            self.violate(
                session=session(incarnation.key),
                incarnation=incarnation.number,
                ended_by_commit=incarnation.ended_at,
                item=fact.item.name(),
                delivered_to=fact.worker.name(),
            )
