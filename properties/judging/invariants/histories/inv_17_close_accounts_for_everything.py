"""INV-17 Close accounts for everything.

After a close every activity of the ended incarnation has, in history, a completion before the
`SessionClosed` event or an `ActivityCancelRequested`; no activity has two cancel requests.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, session
from holdfast.properties.judging.ledger.facts import Acked


class CloseAccountsForEverything(Monitor):
    """INV-17. Activities of earlier executions are accounted for by their continue-as-new (SS-17.6)."""

    id = "INV-17"
    title = "Close accounts for everything"

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """Nothing is left over, and nothing is cancelled twice."""
        delta = fact.delta
        for incarnation in delta.closed:
            for activity in incarnation.activities:
                if (
                    activity.execution_id == delta.execution_id
                    and activity.completions == activity.late_completions
                    and not activity.cancel_requests
                ):
                    self.violate(
                        session=session(incarnation.key),
                        incarnation=incarnation.number,
                        execution_id=activity.execution_id,
                        activity_id=activity.activity_id,
                        cancel_requests=0,
                    )
        for activity in delta.cancelled:
            if activity.cancel_requests > 1:
                self.violate(
                    instance=fact.instance.id,
                    execution_id=activity.execution_id,
                    activity_id=activity.activity_id,
                    cancel_requests=activity.cancel_requests,
                )
