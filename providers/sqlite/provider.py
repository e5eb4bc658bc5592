"""The contract of `core.provider` on SQLite: check arguments, then one call on the connection's thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
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
from holdfast.providers import arguments
from holdfast.providers.arguments import Conclusions
from holdfast.providers.sqlite import acknowledgement, reads, turns, work
from holdfast.providers.sqlite.calls import Question, SqliteCalls
from holdfast.providers.sqlite.management import SqliteManagement
from holdfast.providers.waiting import TURNS, WORK

VERSION: Final = "0.1.0"


class SqliteProvider(Provider):
    """One process's access to a store, from `SqliteStore.open`. Long-polling by default (PV-23.2)."""

    def __init__(self, calls: SqliteCalls) -> None:
        self._calls = calls
        self._management = SqliteManagement(calls)

    def name(self) -> str:
        """For diagnosis only."""
        return "sqlite"

    def version(self) -> str:
        """For diagnosis only."""
        return VERSION

    def supports_sessions(self) -> bool:
        """Explicit sessions are supported (PV-24.1)."""
        return True

    def as_management(self) -> SqliteManagement:
        """The management object (PV-1.7)."""
        return self._management

    async def close(self) -> None:
        """Let running calls end and free the connection; closing again does nothing (PV-28.12)."""
        await self._calls.close()

    # --- the orchestrator queue ---------------------------------------------------------------------------

    async def enqueue_for_orchestrator(self, item: Message, *, delay: Millis | None = None) -> None:
        """Put one message in the orchestrator queue, visible from now + delay (PV-6)."""
        operation = "enqueue_for_orchestrator"
        arguments.messages(operation, [item])
        await self._calls.write(operation, turns.enqueue, item, arguments.duration(operation, "delay", delay))

    async def fetch_orchestration_item(
        self, lock_timeout: Millis, poll_timeout: Millis, filter: DispatcherCapabilityFilter | None = None
    ) -> FetchedTurn | None:
        """Take the next instance with visible messages, its lock, and all it needs for a turn (PV-7)."""
        operation = "fetch_orchestration_item"
        poll = arguments.duration(operation, "poll_timeout", poll_timeout)
        lock_timeout = arguments.duration(operation, "lock_timeout", lock_timeout)
        if filter is not None and not filter.supported_duroxide_versions:
            return None
        return await self._calls.fetch(
            operation,
            Question(TURNS, filter and filter.supported_duroxide_versions[:1], poll),
            turns.next_change,
            turns.abandon,
            turns.fetch,
            lock_timeout,
            filter,
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
        """Commit one turn and release its instance (PV-8)."""
        operation = "ack_orchestration_item"
        arguments.number(operation, "execution_id", execution_id)
        arguments.events(operation, history_delta)
        arguments.activities(operation, worker_items)
        arguments.messages(operation, orchestrator_items)
        arguments.cancellations(operation, cancelled_activities)
        arguments.encodable(
            operation,
            [each.session_id for each in (*metadata.opened_sessions, *metadata.cancelled_sessions)],
        )
        conclusions = Conclusions(
            execution_id=execution_id,
            history_delta=history_delta,
            worker_items=worker_items,
            orchestrator_items=orchestrator_items,
            metadata=metadata,
            cancelled_activities=cancelled_activities,
        )
        await self._calls.write(operation, acknowledgement.acknowledge, token, conclusions)

    async def abandon_orchestration_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give a batch back unprocessed (PV-9.1 to PV-9.6)."""
        operation = "abandon_orchestration_item"
        delay = arguments.duration(operation, "delay", delay)
        await self._calls.write(operation, turns.abandon, token, delay, ignore_attempt)

    async def renew_orchestration_item_lock(self, token: LockToken, *, extend_for: Millis) -> None:
        """Extend an instance lock that is still held to now + extend_for (PV-9.7)."""
        operation = "renew_orchestration_item_lock"
        extend_for = arguments.duration(operation, "extend_for", extend_for)
        await self._calls.write(operation, turns.renew, token, extend_for)

    # --- the worker queue ---------------------------------------------------------------------------------

    async def enqueue_for_worker(self, item: ActivityExecute) -> None:
        """Put one activity in the worker queue, visible now (PV-10.1)."""
        operation = "enqueue_for_worker"
        arguments.activities(operation, [item])
        await self._calls.write(operation, work.put, [item])

    async def fetch_work_item(
        self, lock_timeout: Millis, poll_timeout: Millis, tag_filter: TagFilter = DEFAULT_ONLY
    ) -> FetchedWork | None:
        """Take the oldest eligible item that is bound to no session (PV-10, PV-12)."""
        operation = "fetch_work_item"
        poll = arguments.duration(operation, "poll_timeout", poll_timeout)
        lock_timeout = arguments.duration(operation, "lock_timeout", lock_timeout)
        if tag_filter.matches_nothing:
            return None
        return await self._calls.fetch(
            operation,
            Question(WORK, tag_filter, poll),
            work.next_change,
            work.abandon,
            work.fetch,
            lock_timeout,
            tag_filter,
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
        """Take the oldest eligible item, session-bound or not, and with it the session (PV-24)."""
        operation = "fetch_session_work_item"
        poll = arguments.duration(operation, "poll_timeout", poll_timeout)
        lock_timeout = arguments.duration(operation, "lock_timeout", lock_timeout)
        session_lock_duration = arguments.duration(operation, "session_lock_duration", session_lock_duration)
        arguments.worker_name(operation, worker_id)
        if tag_filter.matches_nothing:
            return None
        return await self._calls.fetch(
            operation,
            Question(WORK, (tag_filter, worker_id, claim_new), poll),
            work.next_change,
            work.abandon,
            work.fetch_with_session,
            lock_timeout,
            tag_filter,
            worker_id=worker_id,
            session_lock_duration=session_lock_duration,
            claim_new=claim_new,
        )

    async def ack_work_item(self, token: LockToken, completion: Message | None = None) -> None:
        """Finish an item: delete it and enqueue its completion, if any (PV-11.1 to PV-11.6)."""
        operation = "ack_work_item"
        arguments.completion(operation, completion)
        await self._calls.write(operation, work.acknowledge, token, completion)

    async def renew_work_item_lock(
        self, token: LockToken, *, extend_for: Millis, extend_session_for: Millis | None = None
    ) -> None:
        """Extend an item lock and, if it is session-bound, its session: both or neither (PV-26.6)."""
        operation = "renew_work_item_lock"
        extend_for = arguments.duration(operation, "extend_for", extend_for)
        if extend_session_for is None:
            extend_session_for = extend_for
        extend_session_for = arguments.duration(operation, "extend_session_for", extend_session_for)
        await self._calls.write(operation, work.renew, token, extend_for, extend_session_for)

    async def abandon_work_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give an item back at its old rank, visible from now + delay (PV-11.9 to PV-11.11)."""
        operation = "abandon_work_item"
        delay = arguments.duration(operation, "delay", delay)
        await self._calls.write(operation, work.abandon, token, delay, ignore_attempt)

    # --- sessions -----------------------------------------------------------------------------------------

    async def renew_session_lock(
        self, instance_id: str, session_id: str, worker_id: str, *, extend_for: Millis
    ) -> None:
        """Extend a session that still names this worker, live or expired (PV-26.1 to PV-26.4)."""
        operation = "renew_session_lock"
        extend_for = arguments.duration(operation, "extend_for", extend_for)
        await self._calls.write(operation, work.renew_session, instance_id, session_id, worker_id, extend_for)

    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        """Release a session if it is this worker's; the record stays, unattached (PV-26.5)."""
        await self._calls.write(
            "release_session_lock", work.release_session, instance_id, session_id, worker_id
        )

    # --- reads --------------------------------------------------------------------------------------------

    async def read(self, instance_id: str) -> list[StoredEvent]:
        """The history of the highest recorded execution (PV-5.14)."""
        return await self._calls.read("read", reads.latest_history, instance_id)

    async def read_with_execution(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        """The history of one execution (PV-5.13)."""
        return await self._calls.read("read_with_execution", reads.history, instance_id, execution_id)

    async def append_with_execution(
        self, instance_id: str, execution_id: int, events: Sequence[StoredEvent]
    ) -> None:
        """Store events without a lock and without creating records (PV-5.16)."""
        operation = "append_with_execution"
        arguments.number(operation, "execution_id", execution_id)
        arguments.events(operation, events)
        await self._calls.write(operation, acknowledgement.append, instance_id, execution_id, events)

    async def get_custom_status(self, instance_id: str, last_seen_version: int) -> CustomStatus | None:
        """The custom status if its version is higher than the one seen, else None (PV-16.5)."""
        return await self._calls.read(
            "get_custom_status", reads.custom_status, instance_id, last_seen_version
        )

    async def get_kv_value(self, instance_id: str, key: str) -> str | None:
        """One value as clients see it (PV-17.10)."""
        return await self._calls.read("get_kv_value", reads.key_value, instance_id, key)

    async def get_kv_all_values(self, instance_id: str) -> dict[str, str]:
        """All values as clients see them (PV-17.10)."""
        return await self._calls.read("get_kv_all_values", reads.key_values, instance_id)
