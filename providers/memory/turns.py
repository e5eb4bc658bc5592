"""The orchestrator queue: handing out batches, giving them back, keeping their lock (PV-6, PV-7, PV-9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import OrchestrationStarted, StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import Logged, Observer
from holdfast.core.contract.provider import (
    DispatcherCapabilityFilter,
    FetchedTurn,
    KvEntry,
    OrchestrationItem,
    reported_version,
)
from holdfast.core.contract.work_items import (
    ContinueAsNewMessage,
    Message,
    QueueMessage,
    StartOrchestration,
    addressee,
)
from holdfast.providers.arguments import deadline
from holdfast.providers.memory.tables import InstanceLock, MessageRow, Tables

BatchContext = tuple[str, str, int]
"""What is needed to hand out a batch: name, version, execution number (PV-7.11)."""


def enqueue(tables: Tables, now: Millis, item: Message, delay: Millis) -> None:
    """Store one row, visible after the delay; a timer's own time is ignored here (PV-6.1, PV-6.2)."""
    tables.messages.put(addressee(item), item, deadline(now, delay))


def fetch(
    tables: Tables,
    now: Millis,
    lock_timeout: Millis,
    filter: DispatcherCapabilityFilter | None,
    new_token: Callable[[], LockToken],
    observer: Observer | None,
) -> FetchedTurn | None:
    """Hand out the batch of the first candidate (PV-7.2 to PV-7.4)."""
    for instance in candidates(tables, now):
        lock = tables.locks.get(instance)
        if lock is not None and lock.locked_until > now:
            continue
        if tables.held_until.get(instance, 0) > now or not _is_compatible(tables, instance, filter):
            continue
        rows = tables.messages.visible_rows(instance, now)
        context = find_context(tables, instance, rows)
        if context is None:
            _drop_orphans(tables, instance, rows, observer)
            continue
        return _hand_out(tables, instance, context, rows, new_token(), deadline(now, lock_timeout))
    return None


def candidates(tables: Tables, now: Millis) -> Iterator[str]:
    """The instances that a fetch looks at, in the order of PV-7.3; those with a live lock are spared."""
    return tables.ready_messages.search(now)


def _is_compatible(tables: Tables, instance: str, filter: DispatcherCapabilityFilter | None) -> bool:
    """Decided before any history is read (PV-13.1, PV-13.5, PV-13.7)."""
    if filter is None:
        return True
    execution = tables.current_execution(instance)
    return filter.admits(None if execution is None else execution.pinned)


def find_context(tables: Tables, instance: str, rows: list[MessageRow]) -> BatchContext | None:
    """The instance record, else what its history says, else the batch's own start (PV-7.11)."""
    record = tables.instances.get(instance)
    if record is not None:
        return record.name, reported_version(record.version), record.current_execution_id
    execution_id = tables.latest_execution(instance)
    history = tables.histories.get(instance, {}).get(execution_id)
    if history is not None and not history.damaged:
        for event in history.events:
            if isinstance(event, OrchestrationStarted):
                return event.name, event.version, execution_id
    for row in rows:
        if isinstance(row.message, StartOrchestration | ContinueAsNewMessage):
            return row.message.orchestration, reported_version(row.message.version), 1
    return None


def _drop_orphans(tables: Tables, instance: str, rows: list[MessageRow], observer: Observer | None) -> None:
    """Queue messages for an unknown instance are deleted; other messages wait for a start (PV-7.13)."""
    if not all(isinstance(row.message, QueueMessage) for row in rows):
        return
    for row in rows:
        tables.messages.remove(row)
    if observer is not None:
        fields: dict[str, object] = {"instance_id": instance, "count": len(rows)}
        observer.notify(Logged("orphan queue messages dropped", "warning", fields))


def _hand_out(
    tables: Tables,
    instance: str,
    context: BatchContext,
    rows: list[MessageRow],
    token: LockToken,
    locked_until: Millis,
) -> FetchedTurn:
    """Lock the instance, mark and count its messages, and read what its turn needs, in one step (PV-7.1)."""
    former = tables.locks.get(instance)
    if former is not None:
        tables.unlock_instance(former)
    tables.forget(tables.held_until, instance)
    for row in rows:
        tables.journal.keep(row)
        row.token = token
        row.attempt_count += 1
    lock = InstanceLock(instance, token, locked_until, rows)
    tables.journal.put(tables.locks, instance, lock)
    tables.journal.put(tables.lock_of_token, token, lock)
    name, version, execution_id = context
    history, snapshot, error = _read_for_turn(tables, instance, execution_id)
    messages: list[Message] = []
    for row in rows:
        if isinstance(row.message, Message):
            messages.append(row.message)
        else:
            error = error or f"message {row.seq} of {instance} cannot be decoded"
    item = OrchestrationItem(
        instance=instance,
        orchestration_name=name,
        execution_id=execution_id,
        version=version,
        history=history,
        messages=messages,
        history_error=error,
        kv_snapshot=snapshot,
    )
    return FetchedTurn(item, token, max(row.attempt_count for row in rows))


def _read_for_turn(
    tables: Tables, instance: str, execution_id: int
) -> tuple[list[StoredEvent], dict[str, KvEntry], str | None]:
    """History of the execution and the settled values; damage is reported, not raised (PV-14.6, PV-17.9)."""
    history = tables.histories.get(instance, {}).get(execution_id)
    snapshot = dict(tables.settled.get(instance, {}))
    if history is None:
        return [], snapshot, None
    if history.damaged:
        return [], snapshot, f"history of {instance} execution {execution_id} cannot be decoded"
    return list(history.events), snapshot, None


def held_lock(tables: Tables, operation: str, token: LockToken, now: int) -> InstanceLock:
    """The lock this token holds now. Raises if unknown, superseded or expired (PV-8.2, PV-8.3)."""
    lock = current_lock(tables, operation, token)
    if lock.locked_until <= now:
        raise ProviderError.permanent(operation, f"the instance lock of {lock.instance} has expired")
    return lock


def current_lock(tables: Tables, operation: str, token: LockToken) -> InstanceLock:
    """The lock that this token was the last to hold, expired or not (PV-9.5)."""
    lock = tables.lock_of_token.get(token)
    if lock is None:
        raise ProviderError.permanent(operation, f"Invalid lock token {token!r}: unknown or superseded")
    return lock


def abandon(tables: Tables, now: Millis, token: LockToken, delay: Millis, ignore_attempt: bool) -> None:
    """Give a batch back; with a delay the whole instance waits with it (PV-9.1 to PV-9.4)."""
    lock = current_lock(tables, "abandon_orchestration_item", token)
    free_from = deadline(now, delay)
    batch = lock.marked()
    tables.unlock_instance(lock)
    for row in batch:
        if ignore_attempt:
            tables.journal.keep(row)
            row.attempt_count = max(row.attempt_count - 1, 0)
        if row.visible_from < free_from:
            tables.messages.move(row, free_from)
    if delay:
        tables.journal.put(tables.held_until, lock.instance, free_from)


def renew(tables: Tables, now: Millis, token: LockToken, extend_for: Millis) -> None:
    """Extend a lock that is still held (PV-9.7)."""
    lock = held_lock(tables, "renew_orchestration_item_lock", token, now)
    tables.journal.keep(lock)
    lock.locked_until = deadline(now, extend_for)
    tables.ready_messages.uncovered.append(lock.instance)
