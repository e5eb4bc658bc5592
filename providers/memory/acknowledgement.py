"""Committing a turn (PV-8).

Everything that can be refused is refused first. If what follows fails nevertheless, the journal undoes it
(PV-29.3).
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.contract.codec import encode_event, encode_work_item
from holdfast.core.contract.errors import CodecError, ProviderError
from holdfast.core.contract.events import CustomStatusUpdated, StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import TERMINAL_STATUSES, ExecutionMetadata
from holdfast.core.contract.work_items import TimerFiredMessage, WorkItem, addressee
from holdfast.providers.arguments import Conclusions
from holdfast.providers.memory import affinity, key_values
from holdfast.providers.memory.tables import ExecutionRecord, InstanceRecord, Tables
from holdfast.providers.memory.turns import held_lock

OPERATION = "ack_orchestration_item"


def acknowledge(tables: Tables, now: Millis, token: LockToken, conclusions: Conclusions) -> None:
    """Apply a turn's conclusions and release its instance.

    The order matters in two places: sessions are closed, opened, then filled (PV-25.5), and activities are
    cancelled after they were enqueued (PV-8.12).
    """
    lock = held_lock(tables, OPERATION, token, now)
    instance = lock.instance
    _refuse(tables, instance, conclusions)
    for row in lock.marked():
        tables.messages.remove(row)
    tables.unlock_instance(lock)
    _write_records(tables, now, instance, conclusions)
    _write_history(tables, instance, conclusions)
    _settle_sessions(tables, instance, conclusions.metadata)
    _enqueue(tables, now, instance, conclusions)
    tables.work.remove_activities(conclusions.cancelled_activities)


def _refuse(tables: Tables, instance: str, conclusions: Conclusions) -> None:
    """Whatever makes the call fail, before any of it is applied (PV-5.11, PV-25.9)."""
    metadata = conclusions.metadata
    for name in (*metadata.opened_sessions, *metadata.cancelled_sessions):
        if name.instance != instance:
            raise ProviderError.permanent(
                OPERATION, f"session {name.instance}/{name.session_id} does not belong to instance {instance}"
            )
    refuse_unstorable(
        OPERATION, conclusions.history_delta, (*conclusions.worker_items, *conclusions.orchestrator_items)
    )
    refuse_duplicates(tables, OPERATION, instance, conclusions.execution_id, conclusions.history_delta)


def refuse_unstorable(operation: str, events: Sequence[StoredEvent], items: Sequence[WorkItem]) -> None:
    """What has no encoded form is refused, although this store keeps the objects (PV-2.15)."""
    try:
        for event in events:
            encode_event(event)
        for item in items:
            encode_work_item(item)
    except CodecError as error:
        raise ProviderError.permanent(operation, str(error)) from None


def refuse_duplicates(
    tables: Tables, operation: str, instance: str, execution_id: int, events: Sequence[StoredEvent]
) -> None:
    """An event number already in use fails the whole call (PV-5.11)."""
    history = tables.histories.get(instance, {}).get(execution_id)
    given: set[int] = set()
    for event in events:
        if event.event_id in given or (history is not None and event.event_id in history):
            raise ProviderError.permanent(
                operation, f"event {event.event_id} of {instance} execution {execution_id} is stored already"
            )
        given.add(event.event_id)


def append(
    tables: Tables, now: Millis, instance: str, execution_id: int, events: Sequence[StoredEvent]
) -> None:
    """Store events outside a turn, without records (PV-5.16)."""
    refuse_duplicates(tables, "append_with_execution", instance, execution_id, events)
    history = tables.history(instance, execution_id)
    for event in events:
        tables.journal.undo(history.take_back, event)
        history.append(event)


def _write_records(tables: Tables, now: Millis, instance: str, conclusions: Conclusions) -> None:
    """Instance and execution records, status and pin (PV-5.2 to PV-5.8, PV-8.15)."""
    metadata = conclusions.metadata
    record = tables.instances.get(instance)
    if metadata.orchestration_name is not None and metadata.orchestration_version is not None:
        if record is None:
            record = InstanceRecord(
                name=metadata.orchestration_name,
                version=metadata.orchestration_version,
                current_execution_id=conclusions.execution_id,
                parent=metadata.parent_instance_id,
                created_at=now,
                updated_at=now,
            )
            tables.journal.put(tables.instances, instance, record)
        tables.journal.keep(record)
        record.name = metadata.orchestration_name
        record.version = metadata.orchestration_version
    executions = tables.of_instance(tables.executions, instance)
    execution = executions.get(conclusions.execution_id)
    if execution is None:
        execution = ExecutionRecord(started_at=now)
        tables.journal.put(executions, conclusions.execution_id, execution)
    tables.journal.keep(execution)
    if record is not None:
        tables.journal.keep(record)
        record.updated_at = now
        record.current_execution_id = max(record.current_execution_id, *executions)
    if metadata.status is not None:
        execution.status = metadata.status
        execution.output = metadata.output
        execution.completed_at = None if metadata.status == "Running" else now
    if metadata.pinned_duroxide_version is not None:
        execution.pinned = metadata.pinned_duroxide_version


def _write_history(tables: Tables, instance: str, conclusions: Conclusions) -> None:
    """The events, and the two things a provider reads in them: status and key-values (PV-1.4)."""
    if conclusions.history_delta:
        history = tables.history(instance, conclusions.execution_id)
        for event in conclusions.history_delta:
            tables.journal.undo(history.take_back, event)
            history.append(event)
    updates = [event for event in conclusions.history_delta if isinstance(event, CustomStatusUpdated)]
    record = tables.instances.get(instance)
    if updates and record is not None:
        tables.journal.keep(record)
        record.custom_status = updates[-1].status
        record.custom_status_version += 1
    key_values.apply(tables, instance, conclusions.history_delta)
    if conclusions.metadata.status not in (None, "Running"):
        key_values.settle(tables, instance)


def _settle_sessions(tables: Tables, instance: str, metadata: ExecutionMetadata) -> None:
    """Close, then open; a terminal status closes everything and opens nothing (PV-25.5, PV-25.6)."""
    if metadata.status in TERMINAL_STATUSES:
        affinity.close_all(tables, instance)
        return
    for closed in metadata.cancelled_sessions:
        affinity.close_session(tables, instance, closed.session_id)
    for opened in metadata.opened_sessions:
        affinity.open_session(tables, instance, opened.session_id)


def _enqueue(tables: Tables, now: Millis, instance: str, conclusions: Conclusions) -> None:
    """New items and messages in list order; none for a session this call leaves closed (PV-25.7, PV-8.9)."""
    metadata = conclusions.metadata
    terminal = metadata.status in TERMINAL_STATUSES
    opened = {name.session_id for name in metadata.opened_sessions}
    closed = {name.session_id for name in metadata.cancelled_sessions} - opened
    for item in conclusions.worker_items:
        ends_here = item.session_id is not None and (terminal or item.session_id in closed)
        if not (ends_here and item.instance == instance):
            tables.work.put(item, now)
    for message in conclusions.orchestrator_items:
        visible_from = message.fire_at_ms if isinstance(message, TimerFiredMessage) else now
        tables.messages.put(addressee(message), message, visible_from)
