"""Gate: the provider of a simulated process. Each call becomes a request that the world commits as a step.

The arguments of a request are by parameter name, defaults filled in: that is what the record shows and what
the store is called with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, cast

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
from holdfast.sim.errors import Fenced
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import Arguments

Submit = Callable[[Process, str, Arguments], Awaitable[Any]]
"""Hands a call to the world; the future it returns is settled when the answer is delivered."""


class Gate(Provider):
    """`core.provider.Provider` for one process of a world."""

    def __init__(self, process: Process, behind: Provider, submit: Submit) -> None:
        assert not isinstance(behind, Gate), (
            f"a gate behind the gate of {process!r}: each call would be two steps"
        )
        self._process = process
        self._submit = submit
        self._name = behind.name()
        self._version = behind.version()
        self._supports_sessions = behind.supports_sessions()
        self._management = (
            None if behind.as_management() is None else cast(Management, _ManagementGate(self._call))
        )

    async def _call(self, operation: str, arguments: Arguments) -> Any:
        process = self._process
        if not process.alive:
            raise Fenced(f"process {process.name} has crashed")
        return await self._submit(process, operation, arguments)

    # --- what is constant for a provider object -------------------------------------------------------

    def name(self) -> str:
        """The name of the provider behind it."""
        return self._name

    def version(self) -> str:
        """The version of the provider behind it."""
        return self._version

    def supports_sessions(self) -> bool:
        """Whether the provider behind it does."""
        return self._supports_sessions

    def as_management(self) -> Management | None:
        """Management calls are requests, too."""
        return self._management

    async def close(self) -> None:
        """Does nothing: the world closes the store when the run is over."""

    # --- the orchestrator queue -----------------------------------------------------------------------

    async def enqueue_for_orchestrator(self, item: Message, *, delay: Millis | None = None) -> None:
        await self._call("enqueue_for_orchestrator", {"item": item, "delay": delay})

    async def fetch_orchestration_item(
        self, lock_timeout: Millis, poll_timeout: Millis, filter: DispatcherCapabilityFilter | None = None
    ) -> FetchedTurn | None:
        found: FetchedTurn | None = await self._call(
            "fetch_orchestration_item",
            {"lock_timeout": lock_timeout, "poll_timeout": poll_timeout, "filter": filter},
        )
        return found

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
            {
                "token": token,
                "execution_id": execution_id,
                "history_delta": history_delta,
                "worker_items": worker_items,
                "orchestrator_items": orchestrator_items,
                "metadata": metadata,
                "cancelled_activities": cancelled_activities,
            },
        )

    async def abandon_orchestration_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        await self._call(
            "abandon_orchestration_item", {"token": token, "delay": delay, "ignore_attempt": ignore_attempt}
        )

    async def renew_orchestration_item_lock(self, token: LockToken, *, extend_for: Millis) -> None:
        await self._call("renew_orchestration_item_lock", {"token": token, "extend_for": extend_for})

    # --- the worker queue -----------------------------------------------------------------------------

    async def enqueue_for_worker(self, item: ActivityExecute) -> None:
        await self._call("enqueue_for_worker", {"item": item})

    async def fetch_work_item(
        self, lock_timeout: Millis, poll_timeout: Millis, tag_filter: TagFilter = DEFAULT_ONLY
    ) -> FetchedWork | None:
        found: FetchedWork | None = await self._call(
            "fetch_work_item",
            {"lock_timeout": lock_timeout, "poll_timeout": poll_timeout, "tag_filter": tag_filter},
        )
        return found

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
        found: FetchedWork | None = await self._call(
            "fetch_session_work_item",
            {
                "lock_timeout": lock_timeout,
                "poll_timeout": poll_timeout,
                "worker_id": worker_id,
                "session_lock_duration": session_lock_duration,
                "tag_filter": tag_filter,
                "claim_new": claim_new,
            },
        )
        return found

    async def ack_work_item(self, token: LockToken, completion: Message | None = None) -> None:
        await self._call("ack_work_item", {"token": token, "completion": completion})

    async def renew_work_item_lock(
        self, token: LockToken, *, extend_for: Millis, extend_session_for: Millis | None = None
    ) -> None:
        await self._call(
            "renew_work_item_lock",
            {"token": token, "extend_for": extend_for, "extend_session_for": extend_session_for},
        )

    async def abandon_work_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        await self._call(
            "abandon_work_item", {"token": token, "delay": delay, "ignore_attempt": ignore_attempt}
        )

    # --- sessions -------------------------------------------------------------------------------------

    async def renew_session_lock(
        self, instance_id: str, session_id: str, worker_id: str, *, extend_for: Millis
    ) -> None:
        await self._call(
            "renew_session_lock",
            {
                "instance_id": instance_id,
                "session_id": session_id,
                "worker_id": worker_id,
                "extend_for": extend_for,
            },
        )

    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        await self._call(
            "release_session_lock",
            {"instance_id": instance_id, "session_id": session_id, "worker_id": worker_id},
        )

    # --- reads ----------------------------------------------------------------------------------------

    async def read(self, instance_id: str) -> list[StoredEvent]:
        events: list[StoredEvent] = await self._call("read", {"instance_id": instance_id})
        return events

    async def read_with_execution(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        events: list[StoredEvent] = await self._call(
            "read_with_execution", {"instance_id": instance_id, "execution_id": execution_id}
        )
        return events

    async def append_with_execution(
        self, instance_id: str, execution_id: int, events: Sequence[StoredEvent]
    ) -> None:
        await self._call(
            "append_with_execution",
            {"instance_id": instance_id, "execution_id": execution_id, "events": events},
        )

    async def get_custom_status(self, instance_id: str, last_seen_version: int) -> CustomStatus | None:
        status: CustomStatus | None = await self._call(
            "get_custom_status", {"instance_id": instance_id, "last_seen_version": last_seen_version}
        )
        return status

    async def get_kv_value(self, instance_id: str, key: str) -> str | None:
        value: str | None = await self._call("get_kv_value", {"instance_id": instance_id, "key": key})
        return value

    async def get_kv_all_values(self, instance_id: str) -> dict[str, str]:
        values: dict[str, str] = await self._call("get_kv_all_values", {"instance_id": instance_id})
        return values


class _ManagementGate:
    """Every method of `core.management.Management`, as a request named `management.<method>`."""

    def __init__(self, call: Callable[[str, Arguments], Awaitable[object]]) -> None:
        self._call = call

    def __getattr__(self, method: str) -> Callable[..., Awaitable[object]]:
        names = _parameters(method)

        async def call(*args: object, **kwargs: object) -> object:
            return await self._call(
                f"management.{method}", {**dict(zip(names, args, strict=False)), **kwargs}
            )

        return call


def _parameters(method: str) -> tuple[str, ...]:
    function = getattr(Management, method, None)
    if function is None:
        raise AttributeError(f"management has no method {method!r}")
    code = function.__code__
    return tuple(code.co_varnames[1 : code.co_argcount])


def behind(store_provider: Provider, operation: str) -> Callable[..., Coroutine[object, None, object]]:
    """The method of the store's own provider that a request names."""
    owner: object = store_provider
    if operation.startswith("management."):
        owner = store_provider.as_management()
        if owner is None:
            raise ProviderError.permanent(operation, "this provider has no management")
    method: Callable[..., Coroutine[object, None, object]]
    method = getattr(owner, operation.removeprefix("management."))
    return method
