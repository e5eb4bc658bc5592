"""ForwardingProvider: passes every call to another provider, all arguments included (SS-12.16, PV-32.1).

Wrappers derive from it and override `_call`, through which every asynchronous method goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.management import Management
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    CustomStatus,
    DispatcherCapabilityFilter,
    ExecutionMetadata,
    FetchedTurn,
    FetchedWork,
    Provider,
    ScheduledActivityIdentifier,
    TagFilter,
)
from holdfast.core.contract.work_items import ActivityExecute, Message

_T = TypeVar("_T")


class ForwardingProvider(Provider):
    """Forwards everything. `inner` is the wrapped provider."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner

    async def _call(self, operation: str, begin: Callable[[], Awaitable[_T]]) -> _T:
        """Make the call; wrappers override this."""
        return await begin()

    def name(self) -> str:
        return self._inner.name()

    def version(self) -> str:
        return self._inner.version()

    def supports_sessions(self) -> bool:
        return self._inner.supports_sessions()

    def as_management(self) -> Management | None:
        return self._inner.as_management()

    async def close(self) -> None:
        await self._inner.close()

    async def enqueue_for_orchestrator(self, item: Message, *, delay: Millis | None = None) -> None:
        await self._call(
            "enqueue_for_orchestrator", lambda: self._inner.enqueue_for_orchestrator(item, delay=delay)
        )

    async def fetch_orchestration_item(
        self, lock_timeout: Millis, poll_timeout: Millis, filter: DispatcherCapabilityFilter | None = None
    ) -> FetchedTurn | None:
        return await self._call(
            "fetch_orchestration_item",
            lambda: self._inner.fetch_orchestration_item(lock_timeout, poll_timeout, filter),
        )

    async def ack_orchestration_item(
        self,
        token: LockToken,
        *,
        execution_id: int,
        history_delta: Sequence[StoredEvent],
        worker_items: Sequence[ActivityExecute],
        orchestrator_items: Sequence[Message],
        metadata: ExecutionMetadata,
        cancelled_activities: Sequence[ScheduledActivityIdentifier],
    ) -> None:
        await self._call(
            "ack_orchestration_item",
            lambda: self._inner.ack_orchestration_item(
                token,
                execution_id=execution_id,
                history_delta=history_delta,
                worker_items=worker_items,
                orchestrator_items=orchestrator_items,
                metadata=metadata,
                cancelled_activities=cancelled_activities,
            ),
        )

    async def abandon_orchestration_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        await self._call(
            "abandon_orchestration_item",
            lambda: self._inner.abandon_orchestration_item(token, delay=delay, ignore_attempt=ignore_attempt),
        )

    async def renew_orchestration_item_lock(self, token: LockToken, *, extend_for: Millis) -> None:
        await self._call(
            "renew_orchestration_item_lock",
            lambda: self._inner.renew_orchestration_item_lock(token, extend_for=extend_for),
        )

    async def enqueue_for_worker(self, item: ActivityExecute) -> None:
        await self._call("enqueue_for_worker", lambda: self._inner.enqueue_for_worker(item))

    async def fetch_work_item(
        self, lock_timeout: Millis, poll_timeout: Millis, tag_filter: TagFilter = DEFAULT_ONLY
    ) -> FetchedWork | None:
        return await self._call(
            "fetch_work_item", lambda: self._inner.fetch_work_item(lock_timeout, poll_timeout, tag_filter)
        )

    async def fetch_session_work_item(
        self,
        lock_timeout: Millis,
        poll_timeout: Millis,
        *,
        worker_id: str,
        session_lock_duration: Millis,
        tag_filter: TagFilter = DEFAULT_ONLY,
        claim_new: bool = True,
    ) -> FetchedWork | None:
        return await self._call(
            "fetch_session_work_item",
            lambda: self._inner.fetch_session_work_item(
                lock_timeout,
                poll_timeout,
                worker_id=worker_id,
                session_lock_duration=session_lock_duration,
                tag_filter=tag_filter,
                claim_new=claim_new,
            ),
        )

    async def ack_work_item(self, token: LockToken, completion: Message | None = None) -> None:
        await self._call("ack_work_item", lambda: self._inner.ack_work_item(token, completion))

    async def renew_work_item_lock(
        self, token: LockToken, *, extend_for: Millis, extend_session_for: Millis | None = None
    ) -> None:
        await self._call(
            "renew_work_item_lock",
            lambda: self._inner.renew_work_item_lock(
                token, extend_for=extend_for, extend_session_for=extend_session_for
            ),
        )

    async def abandon_work_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        await self._call(
            "abandon_work_item",
            lambda: self._inner.abandon_work_item(token, delay=delay, ignore_attempt=ignore_attempt),
        )

    async def renew_session_lock(
        self, instance_id: str, session_id: str, worker_id: str, *, extend_for: Millis
    ) -> None:
        await self._call(
            "renew_session_lock",
            lambda: self._inner.renew_session_lock(instance_id, session_id, worker_id, extend_for=extend_for),
        )

    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        await self._call(
            "release_session_lock",
            lambda: self._inner.release_session_lock(instance_id, session_id, worker_id),
        )

    async def read(self, instance_id: str) -> list[StoredEvent]:
        return await self._call("read", lambda: self._inner.read(instance_id))

    async def read_with_execution(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        return await self._call(
            "read_with_execution", lambda: self._inner.read_with_execution(instance_id, execution_id)
        )

    async def append_with_execution(
        self, instance_id: str, execution_id: int, events: Sequence[StoredEvent]
    ) -> None:
        await self._call(
            "append_with_execution",
            lambda: self._inner.append_with_execution(instance_id, execution_id, events),
        )

    async def get_custom_status(self, instance_id: str, last_seen_version: int) -> CustomStatus | None:
        return await self._call(
            "get_custom_status", lambda: self._inner.get_custom_status(instance_id, last_seen_version)
        )

    async def get_kv_value(self, instance_id: str, key: str) -> str | None:
        return await self._call("get_kv_value", lambda: self._inner.get_kv_value(instance_id, key))

    async def get_kv_all_values(self, instance_id: str) -> dict[str, str]:
        return await self._call("get_kv_all_values", lambda: self._inner.get_kv_all_values(instance_id))


_LEFT_OUT = sorted(
    name for name in vars(Provider) if not name.startswith("_") and name not in vars(ForwardingProvider)
)
assert not _LEFT_OUT, f"what would not be passed on, and answer as if there were nothing: {_LEFT_OUT}"


class FencedProvider(ForwardingProvider):
    """The provider as a runtime hands it to user code: closed when the runtime has shut down (SS-9.15)."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self._fenced = False

    def fence(self) -> None:
        """From here on every call is refused."""
        assert not self._fenced, "a runtime ends for the second time"
        self._fenced = True

    async def _call(self, operation: str, begin: Callable[[], Awaitable[_T]]) -> _T:
        if self._fenced:
            raise ProviderError.permanent(operation, "the runtime has shut down; it makes no more calls")
        return await begin()
