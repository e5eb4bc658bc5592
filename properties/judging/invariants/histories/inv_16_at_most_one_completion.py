"""INV-16 At most one completion.

Each scheduled activity has at most one completion event in its execution's history, whatever was
duplicated or redelivered.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Acked


class AtMostOneCompletion(Monitor):
    id = "INV-16"
    title = "At most one completion"

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """What the delta completes was not completed before."""
        for activity in fact.delta.completed:
            if activity.completions > 1:
                self.violate(
                    instance=fact.instance.id,
                    execution_id=activity.execution_id,
                    activity_id=activity.activity_id,
                    completions=activity.completions,
                )
