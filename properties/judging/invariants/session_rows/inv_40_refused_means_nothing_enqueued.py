"""INV-40 Refused means nothing enqueued.

A turn that ends in a session check failure, or in the unsupported-provider failure, enqueues no worker
item.
"""

from __future__ import annotations

from typing import Final

from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Acked

REFUSALS: Final = (
    "schedule_activity_on_session called for session ",
    "max sessions per orchestration exceeded ",
    "Provider does not support sessions",
)
"""How the messages of SS-16.3, SS-16.4 and SS-15.3 begin."""


def is_refusal(fact: Acked) -> bool:
    """Whether the turn ended in one of these failures."""
    failure = fact.delta.failure
    application = None if failure is None else failure.application
    return (
        application is not None
        and application.kind == "OrchestrationFailed"
        and application.message.startswith(REFUSALS)
    )


class RefusedMeansNothingEnqueued(Monitor):
    id = "INV-40"
    title = "Refused means nothing enqueued"

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """The ack brings no worker item."""
        if fact.worker_items and is_refusal(fact):
            assert fact.delta.failure is not None and fact.delta.failure.application is not None
            self.violate(
                instance=fact.instance.id,
                refusal=fact.delta.failure.application.message,
                enqueued=[work.id for work in fact.worker_items],
            )
