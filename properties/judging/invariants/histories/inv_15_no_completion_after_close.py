"""INV-15 No completion visible after close.

In no history does an activity completion or failure whose source belongs to incarnation k stand after the
`SessionClosed` that ends k; and no awaitable resolves from such a completion.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, session
from holdfast.properties.judging.ledger.facts import Acked


class NoCompletionAfterClose(Monitor):
    """INV-15. An awaitable resolves from history only, so what stands in no history resolves none."""

    id = "INV-15"
    title = "No completion visible after close"

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """No completion of the delta answers an activity of an incarnation that was closed before it."""
        for activity in fact.delta.completed:
            if activity.late_completions:
                assert activity.incarnation is not None
                self.violate(
                    session=session(activity.incarnation.key),
                    incarnation=activity.incarnation.number,
                    execution_id=activity.execution_id,
                    activity_id=activity.activity_id,
                )
