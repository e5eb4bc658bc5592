"""INV-42 Every activity ends.

Every scheduled session activity eventually has a completion in history, or a cancel request, or its instance
is terminal, provided some live worker has the handler, a free slot infinitely often, and either owns the
session or has session capacity.

Choices. A run is finite, so this is judged at its end, when faults are over: an activity whose item has left
the queue with no completion on its way can never end, whichever workers are alive.
"""

from __future__ import annotations

from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityFailedMessage
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Done, DoneRejected
from holdfast.properties.judging.ledger.items import ItemIdentity
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.timing import Timings
from holdfast.traces.record import RunEnd


class EveryActivityEnds(Monitor):
    """INV-42. What has been acknowledged with a completion is on its way to the orchestration."""

    id = "INV-42"
    title = "Every activity ends"

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._on_their_way: set[ItemIdentity] = set()

    @on(Done, DoneRejected)
    def done(self, fact: Done | DoneRejected) -> None:
        """A completion goes to the orchestration, or was refused after its answer had been lost."""
        completion = fact.completion
        if isinstance(completion, ActivityCompletedMessage | ActivityFailedMessage):
            self._on_their_way.add((completion.instance, completion.execution_id, completion.id))

    @on(RunEnd)
    def ended(self, end: RunEnd) -> None:
        """Every activity that has not ended still can."""
        queued = {item.identity for item in self.ledger.queue}
        for instance in self.ledger.instances.values():
            if instance.ended_at is not None or instance.direct:
                continue
            for activity in instance.activities.values():
                identity = (instance.id, activity.execution_id, activity.activity_id)
                ended = activity.completions or activity.cancel_requests or activity.session_id is None
                past = activity.execution_id != instance.execution_id
                if not (ended or past or identity in queued or identity in self._on_their_way):
                    self.violate(
                        instance=instance.id, activity=activity.activity_id, session=activity.session_id
                    )
