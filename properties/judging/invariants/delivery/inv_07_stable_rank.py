"""INV-07 Stable rank: an item's `seq` is constant from enqueue to removal.

Over any number of abandons, expiries, delays and redeliveries.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, WorkChanged, on
from holdfast.properties.judging.ledger.facts import Fact


class StableRank(Monitor):
    id = "INV-07"
    title = "Stable rank"
    hooks = ("worker_rows",)

    @on(WorkChanged)
    def check(self, fact: Fact) -> None:
        """No item has another number in the store than before."""
        for item, found in self.ledger.renumbered:
            if item.seq is not None:
                self.violate(item=item.name(), seq_before=item.seq, seq_after=found.seq)
