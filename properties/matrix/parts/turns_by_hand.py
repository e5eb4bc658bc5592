"""Turns by hand: what provider checks do in place of a runtime: fetch a batch, acknowledge it, look."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import Event, OrchestrationStarted, QueueEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    ExecutionMetadata,
    ExecutionStatus,
    FetchedTurn,
    FetchedWork,
    Provider,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
    TagFilter,
    Version,
)
from holdfast.core.contract.store import SessionRecord, WorkerRow, inspectable
from holdfast.core.contract.work_items import ActivityExecute, Message, QueueMessage, StartOrchestration
from holdfast.sim.toolkit.bench import Bench

TURN_LOCK: Final = Millis(5_000)
ITEM_LOCK: Final = Millis(30_000)
D: Final = Millis(60_000)
AT_ONCE: Final = Millis(0)


def item(
    id: int, session: str | None = None, instance: str = "i", execution_id: int = 1, *, tag: str | None = None
) -> ActivityExecute:
    """A worker item."""
    return ActivityExecute(
        instance=instance, execution_id=execution_id, id=id, name="x", input="", session_id=session, tag=tag
    )


def sessions_named(*names: str) -> list[ScheduledSessionIdentifier]:
    """Sessions given as `instance/session`, or as the session alone of instance i."""
    pairs = [name.split("/") if "/" in name else ["i", name] for name in names]
    return [ScheduledSessionIdentifier(instance, session) for instance, session in pairs]


def event(kind: type[Event], id: int, instance: str = "i", execution_id: int = 1, **members: Any) -> Event:
    """An event of a history."""
    return kind(
        event_id=id,
        instance_id=instance,
        execution_id=execution_id,
        timestamp_ms=0,
        duroxide_version="0.1.32",
        **members,
    )


def started(instance: str = "i", execution_id: int = 1) -> Event:
    """The first event of an execution."""
    return event(OrchestrationStarted, 1, instance, execution_id, name="flow", version="1.0.0", input="")


def note(id: int, instance: str = "i", execution_id: int = 1) -> Event:
    """An event that means nothing to a provider."""
    return event(QueueEvent, id, instance, execution_id, name="note", data=str(id))


async def turn_of(provider: Provider, instance: str = "i", lock: Millis = TURN_LOCK) -> FetchedTurn:
    """The next batch, which must be the instance's."""
    turn = await provider.fetch_orchestration_item(lock, AT_ONCE)
    assert turn is not None and turn.item.instance == instance, turn
    return turn


async def acknowledge(
    provider: Provider,
    turn: FetchedTurn,
    *history_delta: Event,
    execution_id: int = 1,
    opened: Sequence[ScheduledSessionIdentifier] = (),
    closed: Sequence[ScheduledSessionIdentifier] = (),
    work: Sequence[ActivityExecute] = (),
    messages: Sequence[Message] = (),
    cancelled: Sequence[ScheduledActivityIdentifier] = (),
    status: ExecutionStatus | None = None,
    output: str | None = None,
) -> None:
    """Acknowledge a batch with these conclusions."""
    names_itself = any(isinstance(one, OrchestrationStarted) for one in history_delta)
    await provider.ack_orchestration_item(
        turn.token,
        execution_id=execution_id,
        history_delta=list(history_delta),
        worker_items=list(work),
        orchestrator_items=list(messages),
        metadata=ExecutionMetadata(
            status=status,
            output=output,
            orchestration_name="flow" if names_itself else None,
            orchestration_version="1.0.0" if names_itself else None,
            pinned_duroxide_version=Version(0, 1, 32) if names_itself else None,
            opened_sessions=list(opened),
            cancelled_sessions=list(closed),
        ),
        cancelled_activities=list(cancelled),
    )


async def begin(provider: Provider, instance: str = "i", *history_delta: Event, **conclusions: Any) -> None:
    """Start an instance; its first turn ends with these conclusions."""
    await provider.enqueue_for_orchestrator(
        StartOrchestration(instance=instance, orchestration="flow", input="", version="1.0.0", execution_id=1)
    )
    turn = await turn_of(provider, instance)
    await acknowledge(provider, turn, started(instance), *history_delta, **conclusions)


async def wake(provider: Provider, instance: str = "i") -> FetchedTurn:
    """Send the instance a message and take the turn that it opens."""
    await provider.enqueue_for_orchestrator(QueueMessage(instance=instance, name="go", data=""))
    return await turn_of(provider, instance)


async def further_turn(provider: Provider, instance: str, *history_delta: Event, **conclusions: Any) -> None:
    """One further turn of an instance, with these conclusions."""
    await acknowledge(provider, await wake(provider, instance), *history_delta, **conclusions)


async def fetch(
    provider: Provider,
    worker: str,
    *,
    lock: int = ITEM_LOCK,
    duration: int = D,
    claim_new: bool = True,
    tags: TagFilter = DEFAULT_ONLY,
) -> FetchedWork | None:
    """What a worker gets right now, session-bound or not."""
    return await provider.fetch_session_work_item(
        Millis(lock),
        AT_ONCE,
        worker_id=worker,
        session_lock_duration=Millis(duration),
        tag_filter=tags,
        claim_new=claim_new,
    )


async def fetched(provider: Provider, worker: str, **how: Any) -> FetchedWork:
    """What a worker gets right now, as `fetch` asks; it must get something."""
    work = await fetch(provider, worker, **how)
    assert work is not None, f"{worker} got nothing"
    return work


async def is_refused(call: Awaitable[object]) -> ProviderError:
    """The permanent error of a call that must raise one."""
    try:
        await call
    except ProviderError as error:
        assert not error.retryable, error
        return error
    raise AssertionError("the call succeeded, expected a permanent ProviderError")


def records(bench: Bench, instance: str | None = None) -> list[SessionRecord]:
    """The session rows, of all instances or of one."""
    return [
        row
        for row in inspectable(bench.store, "session_records").session_records()
        if instance is None or row.instance_id == instance
    ]


def row_of(bench: Bench, session: str, instance: str = "i") -> SessionRecord | None:
    """One session row."""
    return next((row for row in records(bench, instance) if row.session_id == session), None)


def items(bench: Bench) -> list[WorkerRow]:
    """All rows of the worker queue, by rank."""
    return inspectable(bench.store, "worker_rows").worker_rows()


def item_row(bench: Bench, id: int, instance: str = "i") -> WorkerRow:
    """The row of the worker queue of an activity."""
    rows = [one for one in items(bench) if one.item and (one.item.instance, one.item.id) == (instance, id)]
    assert len(rows) == 1, (instance, id, items(bench))
    return rows[0]


def ids(bench: Bench) -> list[tuple[str, int]]:
    """Instance and activity of every row of the worker queue, by rank."""
    return [(row.item.instance, row.item.id) for row in items(bench) if row.item is not None]


async def everything(bench: Bench, *instances: str) -> tuple[object, ...]:
    """All that hooks and reads can see of a store and of these instances, all of them begun."""
    store = inspectable(bench.store, "raw_counts", "session_records", "worker_rows", "max_attempt_count")
    provider = bench.provider
    management = provider.as_management()
    assert management is not None
    seen: list[object] = [store.raw_counts(), store.session_records()]
    # the numbers that a failed call used up stay unused: ranks are compared, not numbers
    seen.append([row._replace(seq=0) for row in store.worker_rows()])
    for instance in instances:
        seen.append(await provider.read(instance))
        seen.append(await provider.get_custom_status(instance, 0))
        seen.append(await provider.get_kv_all_values(instance))
        seen.append(await management.get_instance_info(instance))
        seen.append(await management.get_queue_depths())
        seen.append(store.max_attempt_count(instance))
    return tuple(seen)


async def token_is_held(provider: Provider, token: LockToken) -> bool:
    """Whether an instance lock is still this token's; it is then extended by nothing that matters."""
    try:
        await provider.renew_orchestration_item_lock(token, extend_for=TURN_LOCK)
    except ProviderError:
        return False
    return True


def held_now(
    bench: Bench, worker: str, session: str = "s", instance: str = "i", for_ms: int = D
) -> SessionRecord:
    """The row of a session that a worker has claimed or extended at this very moment."""
    return SessionRecord(instance, session, worker, bench.clock.now_ms() + for_ms)
