"""INV-09 Attempt accounting: every delivery counts, unless it was given back uncharged.

The n in `DELIVER(q,..,n,..)` equals 1 + the number of earlier deliveries of q − the number of uncharged
abandons of q.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Delivered


class AttemptAccounting(Monitor):
    id = "INV-09"
    title = "Attempt accounting"

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """The number in the answer is the one counted here."""
        item = fact.item
        if fact.number != fact.was_attempts + 1:
            self.violate(
                item=item.name(),
                attempt=fact.number,
                earlier_deliveries=item.deliveries - 1,
                uncharged_abandons=item.uncharged,
            )
