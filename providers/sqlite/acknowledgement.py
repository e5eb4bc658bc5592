"""Committing a turn: everything it concluded, in one transaction (PV-8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from holdfast.core.contract.codec import encode_event
from holdfast.core.contract.events import (
    CustomStatusUpdated,
    KeyValueCleared,
    KeyValuesCleared,
    KeyValueSet,
    StoredEvent,
    kind_of,
)
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.provider import (
    TERMINAL_STATUSES,
    ExecutionMetadata,
    ScheduledSessionIdentifier,
)
from holdfast.core.contract.work_items import ActivityExecute, TimerFiredMessage, addressee
from holdfast.providers.arguments import Conclusions
from holdfast.providers.sqlite import work
from holdfast.providers.sqlite.database import Transaction, Values
from holdfast.providers.sqlite.statements import statements
from holdfast.providers.sqlite.turns import held_instance, put_messages
from holdfast.providers.waiting import TURNS

SQL = statements("acknowledgement")
UNLOCK_INSTANCE = statements("turns")["unlock_instance"]
UNCOVER_MESSAGES = statements("turns")["uncover_messages"]


def acknowledge(transaction: Transaction, token: LockToken, conclusions: Conclusions) -> None:
    """Apply a turn's conclusions and release its instance (PV-8.1).

    The order matters in two places: sessions are closed, opened, then filled (PV-25.5), and activities are
    cancelled after they were enqueued (PV-8.12).
    """
    instance = held_instance(transaction, token)
    metadata = conclusions.metadata
    _check_sessions(transaction, instance, metadata)
    transaction.execute(SQL["delete_batch"], {"instance": instance, "token": token})
    _put_records(transaction, instance, conclusions.execution_id, metadata)
    if conclusions.history_delta:
        append_history(transaction, instance, conclusions.execution_id, conclusions.history_delta)
        _apply_events(transaction, instance, conclusions.history_delta)
    if metadata.status is not None and metadata.status != "Running":
        _settle_key_values(transaction, instance)
    closed = _close_and_open_sessions(transaction, instance, metadata)
    if conclusions.worker_items:
        work.put(
            transaction,
            [item for item in conclusions.worker_items if not closed.covers(instance, item)],
        )
    if conclusions.cancelled_activities:
        transaction.many(
            SQL["cancel_activity"],
            [
                {"instance": each.instance, "execution": each.execution_id, "activity": each.activity_id}
                for each in conclusions.cancelled_activities
            ],
        )
    if conclusions.orchestrator_items:
        put_messages(
            transaction,
            [
                (
                    addressee(item),
                    item.fire_at_ms if isinstance(item, TimerFiredMessage) else transaction.now,
                    item,
                )
                for item in conclusions.orchestrator_items
            ],
        )
    transaction.change_one(UNLOCK_INSTANCE, {"instance": instance})
    if transaction.change(UNCOVER_MESSAGES, {"instance": instance}):
        transaction.wake(TURNS)  # the lock hid them


def _check_sessions(transaction: Transaction, instance: str, metadata: ExecutionMetadata) -> None:
    """A turn opens and closes sessions of its own instance only (PV-25.9)."""
    for each in (*metadata.opened_sessions, *metadata.cancelled_sessions):
        if each.instance != instance:
            raise transaction.refuse(
                f"session {each.instance}/{each.session_id} does not belong to instance {instance!r}, "
                "whose turn this is"
            )


def _put_records(
    transaction: Transaction, instance: str, execution_id: int, metadata: ExecutionMetadata
) -> None:
    """The instance record, if it exists or can be created, and the execution record (PV-5.2 to PV-5.8)."""
    pinned = metadata.pinned_duroxide_version or (None, None, None)
    finished = metadata.status is not None and metadata.status != "Running"
    values: Values = {
        "instance": instance,
        "execution": execution_id,
        "now": transaction.now,
        "name": metadata.orchestration_name,
        "version": metadata.orchestration_version,
        "parent": metadata.parent_instance_id,
        "status": metadata.status,
        "output": metadata.output if metadata.status is not None else None,
        "completed_at": transaction.now if finished else None,
        "major": pinned[0],
        "minor": pinned[1],
        "patch": pinned[2],
    }
    named = metadata.orchestration_name is not None and metadata.orchestration_version is not None
    transaction.execute(SQL["put_instance" if named else "touch_instance"], values)
    transaction.execute(SQL["put_execution"], values)


def append(transaction: Transaction, instance: str, execution_id: int, events: Sequence[StoredEvent]) -> None:
    """Store events without a lock (PV-5.16); with them a waiting message may have a context (PV-7.11)."""
    append_history(transaction, instance, execution_id, events)
    transaction.wake(TURNS)


def append_history(
    transaction: Transaction, instance: str, execution_id: int, events: Sequence[StoredEvent]
) -> None:
    """Store events under the given execution, whatever they say themselves (PV-5.9).

    Raises: ProviderError, permanent, if an event number exists already (PV-5.11).
    """
    rows: list[Values] = [
        {
            "instance": instance,
            "execution": execution_id,
            "event_id": event.event_id,
            "kind": kind_of(event),
            "now": transaction.now,
            "event_data": encode_event(event).decode(),
        }
        for event in events
    ]
    try:
        transaction.insert(SQL["append_event"], rows)
    except apsw.ConstraintError as error:
        raise transaction.refuse(
            f"an event of {instance!r}, execution {execution_id}, exists already; "
            f"the events to add begin with number {events[0].event_id} and end with {events[-1].event_id}"
        ) from error


def _apply_events(transaction: Transaction, instance: str, events: Sequence[StoredEvent]) -> None:
    """Apply the four kinds that a provider may read, in list order (PV-1.4, PV-16.1, PV-17.2)."""
    last_status: CustomStatusUpdated | None = None
    for event in events:
        match event:
            case CustomStatusUpdated():
                last_status = event
            case KeyValueSet(key=key, value=value, last_updated_at_ms=updated_at):
                _change_key(transaction, instance, key, value, updated_at)
            case KeyValueCleared(key=key):
                _change_key(transaction, instance, key, None, transaction.now)
            case KeyValuesCleared():
                values: Values = {"instance": instance, "now": transaction.now}
                transaction.execute(SQL["clear_changed_keys"], values)
                transaction.execute(SQL["clear_settled_keys"], values)
            case _:
                pass  # opaque to a provider, and stored like any other
    if last_status is not None:
        transaction.execute(SQL["set_custom_status"], {"instance": instance, "status": last_status.status})


def _change_key(
    transaction: Transaction, instance: str, key: str, value: str | None, updated_at: int
) -> None:
    transaction.execute(
        SQL["change_key"], {"instance": instance, "key": key, "value": value, "updated_at": updated_at}
    )


def _settle_key_values(transaction: Transaction, instance: str) -> None:
    """Merge what the ending execution did into the settled layer (PV-17.7, PV-17.8)."""
    values: Values = {"instance": instance}
    if transaction.one(SQL["has_changed_keys"], values) == (0,):
        return
    for name in ("settle_cleared_keys", "settle_set_keys", "forget_changed_keys"):
        transaction.execute(SQL[name], values)


@dataclass(frozen=True, slots=True)
class ClosedSessions:
    """The sessions of an instance that are closed once a turn is committed; `all_` at its end."""

    all_: bool
    session_ids: frozenset[str] = frozenset()

    def covers(self, instance: str, item: ActivityExecute) -> bool:
        """Whether an item must not enter the queue because it is bound to such a session (PV-25.7)."""
        if item.session_id is None or item.instance != instance:
            return False
        return self.all_ or item.session_id in self.session_ids


def _close_and_open_sessions(
    transaction: Transaction, instance: str, metadata: ExecutionMetadata
) -> ClosedSessions:
    """Close, then open; a terminal status closes all and overrides what is opened (PV-25.1 to PV-25.8)."""
    if metadata.status in TERMINAL_STATUSES:
        transaction.execute(SQL["close_all_session_rows"], {"instance": instance})
        transaction.execute(SQL["close_all_sessions"], {"instance": instance})
        return ClosedSessions(all_=True)
    if not metadata.cancelled_sessions and not metadata.opened_sessions:
        return ClosedSessions(all_=False)
    cancelled = _keys(metadata.cancelled_sessions)
    opened = _keys(metadata.opened_sessions)
    transaction.many(SQL["close_session_rows"], cancelled)
    transaction.many(SQL["close_session"], cancelled)
    transaction.many(SQL["open_session"], opened)
    reopened = {each.session_id for each in metadata.opened_sessions}
    return ClosedSessions(
        all_=False,
        session_ids=frozenset(
            each.session_id for each in metadata.cancelled_sessions if each.session_id not in reopened
        ),
    )


def _keys(sessions: Sequence[ScheduledSessionIdentifier]) -> list[Values]:
    return [{"instance": each.instance, "session": each.session_id} for each in sessions]
