"""The contract of `core.provider` in memory: check arguments, then one function over the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import Observer
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
from holdfast.core.contract.work_items import (
    ActivityCompletedMessage,
    ActivityExecute,
    ActivityFailedMessage,
    Message,
)
from holdfast.providers import arguments
from holdfast.providers.arguments import Conclusions
from holdfast.providers.memory import acknowledgement, affinity, key_values, reading, turns, work
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.calls import MemoryCalls
from holdfast.providers.memory.management import MemoryManagement
from holdfast.providers.memory.waiting import next_change
from holdfast.providers.memory.work import WorkQuery
from holdfast.providers.waiting import TURNS, WORK, Queue

_T = TypeVar("_T")
VERSION = "0.1.0"


class MemoryProvider(Provider):
    """One process's access to a store, from `MemoryStore.open`. Long-polling by default."""

    def __init__(self, calls: MemoryCalls, observer: Observer | None, *, long_polling: bool) -> None:
        self._calls = calls
        self._observer = observer
        self._long_polling = long_polling
        self._closed = False
        self._management = MemoryManagement(calls, self._check_call)

    def name(self) -> str:
        """For diagnosis only."""
        return "memory"

    def version(self) -> str:
        """For diagnosis only."""
        return VERSION

    def supports_sessions(self) -> bool:
        """Explicit sessions are supported (PV-24.1)."""
        return True

    def as_management(self) -> MemoryManagement:
        """The management object (PV-1.7)."""
        return self._management

    async def close(self) -> None:
        """End this provider object, not the store; its waiting fetches end with an error (PV-28.12)."""
        self._closed = True
        self._calls.waiters.wake_all()

    def _check_call(self, operation: str, *texts: str) -> None:
        """Refuse calls after `close`, and those with a text that a file could not hold (PV-2.15)."""
        if self._closed:
            raise ProviderError.permanent(operation, "the provider is closed")
        arguments.encodable(operation, texts)

    async def _poll(
        self,
        operation: str,
        queue: Queue,
        asked: object,
        poll_timeout: Millis,
        attempt: Callable[[], _T | None],
    ) -> _T | None:
        """Look; if there is nothing, wait for a change and look again, up to `poll_timeout` (PV-23)."""
        self._check_call(operation)
        if poll_timeout == 0 or not self._long_polling:
            return attempt()

        async def look() -> tuple[_T | None, int]:
            self._check_call(operation)
            found = attempt()
            return found, 0 if found is not None else self._calls.look(operation, next_change)

        return await self._calls.waiters.poll(
            queue, (operation, asked), poll_timeout, self._calls.clock, look
        )

    # --- the orchestrator queue ---------------------------------------------------------------------------

    async def enqueue_for_orchestrator(self, item: Message, *, delay: Millis | None = None) -> None:
        """Put one message in the orchestrator queue, visible from now + delay (PV-6)."""
        operation = "enqueue_for_orchestrator"
        self._check_call(operation)
        arguments.messages(operation, [item])
        wait = arguments.duration(operation, "delay", delay)
        acknowledgement.refuse_unstorable(operation, (), (item,))
        self._calls.change(operation, turns.enqueue, item, wait)

    async def fetch_orchestration_item(
        self, lock_timeout: Millis, poll_timeout: Millis, filter: DispatcherCapabilityFilter | None = None
    ) -> FetchedTurn | None:
        """Take the next instance with visible messages, its lock, and all it needs for a turn (PV-7)."""
        operation = "fetch_orchestration_item"
        poll = arguments.duration(operation, "poll_timeout", poll_timeout)
        lock = arguments.duration(operation, "lock_timeout", lock_timeout)

        def attempt() -> FetchedTurn | None:
            calls = self._calls
            return calls.look(operation, turns.fetch, lock, filter, calls.ids.token, self._observer)

        asked = filter and filter.supported_duroxide_versions[:1]
        return await self._poll(operation, TURNS, asked, poll, attempt)

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
        self._check_call(operation)
        arguments.number(operation, "execution_id", execution_id)
        arguments.events(operation, history_delta)
        arguments.activities(operation, worker_items)
        arguments.messages(operation, orchestrator_items)
        arguments.cancellations(operation, cancelled_activities)
        arguments.encodable(operation, _texts(metadata))
        turn = Conclusions(
            execution_id=execution_id,
            history_delta=history_delta,
            worker_items=worker_items,
            orchestrator_items=orchestrator_items,
            metadata=metadata,
            cancelled_activities=cancelled_activities,
        )
        self._calls.change(operation, acknowledgement.acknowledge, token, turn)

    async def abandon_orchestration_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give a batch back unprocessed (PV-9.1 to PV-9.6)."""
        operation = "abandon_orchestration_item"
        self._check_call(operation)
        wait = arguments.duration(operation, "delay", delay)
        self._calls.change(operation, turns.abandon, token, wait, ignore_attempt)

    async def renew_orchestration_item_lock(self, token: LockToken, *, extend_for: Millis) -> None:
        """Extend an instance lock that is still held to now + extend_for (PV-9.7)."""
        operation = "renew_orchestration_item_lock"
        self._check_call(operation)
        self._calls.change(
            operation, turns.renew, token, arguments.duration(operation, "extend_for", extend_for)
        )

    # --- the worker queue ---------------------------------------------------------------------------------

    async def enqueue_for_worker(self, item: ActivityExecute) -> None:
        """Put one activity in the worker queue, visible now (PV-10.1)."""
        operation = "enqueue_for_worker"
        self._check_call(operation)
        arguments.activities(operation, [item])
        acknowledgement.refuse_unstorable(operation, (), (item,))
        self._calls.change(operation, work.enqueue, item)

    async def fetch_work_item(
        self, lock_timeout: Millis, poll_timeout: Millis, tag_filter: TagFilter = DEFAULT_ONLY
    ) -> FetchedWork | None:
        """Take the oldest eligible item that is bound to no session (PV-10, PV-12)."""
        operation = "fetch_work_item"
        poll = arguments.duration(operation, "poll_timeout", poll_timeout)
        lock = arguments.duration(operation, "lock_timeout", lock_timeout)
        return await self._fetch_work(operation, poll, WorkQuery(lock, tag_filter, None))

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
        lock = arguments.duration(operation, "lock_timeout", lock_timeout)
        duration = arguments.duration(operation, "session_lock_duration", session_lock_duration)
        arguments.encodable(operation, (worker_id,))
        claimant = Claimant(arguments.worker_name(operation, worker_id), duration, claim_new)
        return await self._fetch_work(operation, poll, WorkQuery(lock, tag_filter, claimant))

    async def _fetch_work(self, operation: str, poll: Millis, query: WorkQuery) -> FetchedWork | None:
        if query.tag_filter.matches_nothing:
            self._check_call(operation)
            return None

        def attempt() -> FetchedWork | None:
            calls = self._calls
            found = calls.look(operation, work.fetch, query, calls.ids.token, self._observer)
            if found is not None and found.item.session_id is not None:
                calls.waiters.wake(WORK)  # what the session holds is now eligible for this worker
            return found

        claimant = query.claimant
        asked = query.tag_filter, claimant and (claimant.worker_id, claimant.claim_new)
        return await self._poll(operation, WORK, asked, poll, attempt)

    async def ack_work_item(self, token: LockToken, completion: Message | None = None) -> None:
        """Finish an item: delete it and enqueue its completion, if any (PV-11.1 to PV-11.6)."""
        operation = "ack_work_item"
        self._check_call(operation)
        arguments.completion(operation, completion)
        answer = cast("ActivityCompletedMessage | ActivityFailedMessage | None", completion)
        if answer is not None:
            acknowledgement.refuse_unstorable(operation, (), (answer,))
        self._calls.change(operation, work.acknowledge, token, answer)

    async def renew_work_item_lock(
        self, token: LockToken, *, extend_for: Millis, extend_session_for: Millis | None = None
    ) -> None:
        """Extend an item lock and, if it is session-bound, its session: both or neither (PV-26.6)."""
        operation = "renew_work_item_lock"
        self._check_call(operation)
        longer = arguments.duration(operation, "extend_for", extend_for)
        session = longer
        if extend_session_for is not None:
            session = arguments.duration(operation, "extend_session_for", extend_session_for)
        self._calls.change(operation, work.renew, token, longer, session)

    async def abandon_work_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give an item back at its old rank, visible from now + delay (PV-11.9 to PV-11.11)."""
        operation = "abandon_work_item"
        self._check_call(operation)
        wait = arguments.duration(operation, "delay", delay)
        self._calls.change(operation, work.abandon, token, wait, ignore_attempt)

    # --- sessions -----------------------------------------------------------------------------------------

    async def renew_session_lock(
        self, instance_id: str, session_id: str, worker_id: str, *, extend_for: Millis
    ) -> None:
        """Extend a session that still names this worker, live or expired (PV-26.1 to PV-26.4)."""
        operation = "renew_session_lock"
        self._check_call(operation, instance_id, session_id, worker_id)
        longer = arguments.duration(operation, "extend_for", extend_for)
        self._calls.look(operation, affinity.renew, instance_id, session_id, worker_id, longer)

    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        """Release a session if it is this worker's; the record stays, unattached (PV-26.5)."""
        operation = "release_session_lock"
        self._check_call(operation, instance_id, session_id, worker_id)
        self._calls.change(operation, affinity.release, instance_id, session_id, worker_id)

    # --- reads --------------------------------------------------------------------------------------------

    async def read(self, instance_id: str) -> list[StoredEvent]:
        """The history of the highest recorded execution (PV-5.14)."""
        self._check_call("read", instance_id)
        return self._calls.read("read", reading.latest_history, "read", instance_id)

    async def read_with_execution(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        """The history of one execution (PV-5.13)."""
        operation = "read_with_execution"
        self._check_call(operation, instance_id)
        return self._calls.read(operation, reading.history, operation, instance_id, execution_id)

    async def append_with_execution(
        self, instance_id: str, execution_id: int, events: Sequence[StoredEvent]
    ) -> None:
        """Store events without a lock and without creating records (PV-5.16)."""
        operation = "append_with_execution"
        self._check_call(operation, instance_id)
        arguments.number(operation, "execution_id", execution_id)
        arguments.events(operation, events)
        acknowledgement.refuse_unstorable(operation, events, ())
        self._calls.change(operation, acknowledgement.append, instance_id, execution_id, events)

    async def get_custom_status(self, instance_id: str, last_seen_version: int) -> CustomStatus | None:
        """The custom status if its version is higher than the one seen, else None (PV-16.5)."""
        self._check_call("get_custom_status", instance_id)
        return self._calls.read("get_custom_status", reading.custom_status, instance_id, last_seen_version)

    async def get_kv_value(self, instance_id: str, key: str) -> str | None:
        """One value as clients see it (PV-17.10)."""
        self._check_call("get_kv_value", instance_id, key)
        return self._calls.read("get_kv_value", key_values.value, instance_id, key)

    async def get_kv_all_values(self, instance_id: str) -> dict[str, str]:
        """All values as clients see them (PV-17.10)."""
        self._check_call("get_kv_all_values", instance_id)
        return self._calls.read("get_kv_all_values", key_values.all_values, instance_id)


def _texts(metadata: ExecutionMetadata) -> list[str]:
    """All text in a turn's metadata."""
    named = (*metadata.opened_sessions, *metadata.cancelled_sessions)
    others = (
        metadata.output,
        metadata.orchestration_name,
        metadata.orchestration_version,
        metadata.parent_instance_id,
    )
    return [*(each.session_id for each in named), *(text for text in others if text is not None)]
