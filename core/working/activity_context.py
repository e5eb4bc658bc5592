"""ActivityContext: what an activity sees of the world (RT-6.5, SS-2.7 to SS-2.9)."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.core.client import Client
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import OrchestrationStarted
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.user_texts import told
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.standard_logging import ACTIVITY_TRACE
from holdfast.core.working.attempt import Attempt, CancellationToken


class OrchestrationIdentity(NamedTuple):
    """Which orchestration scheduled an activity; "unknown" twice if its history cannot be read (RT-6.6)."""

    name: str
    version: str


class ActivityContext:
    """The identity of one attempt, its cancellation, its trace, and a client of the same store.

    The triple (instance id, execution id, activity id) is the natural idempotency key: it stays the same over
    redeliveries (RT-6.7).
    """

    def __init__(self, attempt: Attempt, client: Client, observer: Observer | None) -> None:
        item = attempt.item
        self.instance_id = item.instance
        self.execution_id = item.execution_id
        self.activity_id = item.id
        self.activity_name = item.name
        self.session_id = item.session_id
        """The session the activity was scheduled on, None without one (SS-2.7)."""
        self.tag = item.tag
        self.attempt_count = attempt.attempt_count
        self.worker_id = attempt.worker_id
        """`work-<slot>-<owner identity>` (SS-2.8)."""
        self.token: CancellationToken = attempt.cancellation
        self.client = client
        self._log = Log(
            observer,
            "activity",
            instance_id=item.instance,
            execution_id=item.execution_id,
            activity_name=item.name,
            activity_id=item.id,
            worker_id=attempt.worker_id,
        )

    def is_cancelled(self) -> bool:
        """Whether this attempt was told to stop; its result will be discarded."""
        return self.token.is_cancelled()

    async def cancelled(self) -> None:
        """Return once this attempt was told to stop."""
        await self.token.wait()

    async def orchestration(self) -> OrchestrationIdentity:
        """Name and version of the orchestration, read from its latest start event now (RT-6.6)."""
        try:
            history = await self.client.read_history(self.instance_id)
        except ProviderError:
            history = []
        for event in reversed(history):
            if isinstance(event, OrchestrationStarted):
                return OrchestrationIdentity(event.name, event.version)
        return OrchestrationIdentity("unknown", "unknown")

    def trace_debug(self, message: str) -> None:
        """Write a trace record; never suppressed, activities do not replay."""
        self._log.debug(ACTIVITY_TRACE, message=told(message))

    def trace_info(self, message: str) -> None:
        self._log.info(ACTIVITY_TRACE, message=told(message))

    def trace_warn(self, message: str) -> None:
        self._log.warning(ACTIVITY_TRACE, message=told(message))

    def trace_error(self, message: str) -> None:
        self._log.error(ACTIVITY_TRACE, message=told(message))
