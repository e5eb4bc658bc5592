"""INV-31 Work is never dropped.

A session item leaves the queue only by `DONE` with a completion, by an `ACK` that cancels it (close, lost
select, continue-as-new, terminal), or by `DELETE`. Loss of a session never removes an item.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, WorkChanged, on, session
from holdfast.properties.judging.ledger.facts import Done, Fact


class WorkIsNeverDropped(Monitor):
    id = "INV-31"
    title = "Work is never dropped"
    hooks = ("worker_rows",)

    @on(Done)
    def done(self, fact: Done) -> None:
        """A session item is finished with a completion."""
        item = fact.item
        if item is not None and item.key is not None and fact.completion is None:
            self.violate(item=item.name(), session=session(item.key), done_by=fact.worker.name())

    @on(WorkChanged)
    def changed(self, fact: Fact) -> None:
        """Every item gone from the store was removed by one of these."""
        for item in self.ledger.missing:
            if item.key is not None and item.seq is not None:
                self.violate(item=item.name(), session=session(item.key), gone_by=type(fact).__name__)
