"""Turns: messages in, batches out, and giving a batch back (PV-6, PV-7, PV-9, PV-13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.core.contract.codec import (
    decode_message,
    decode_number,
    decode_stored_event,
    decode_text,
    encode_work_item,
)
from holdfast.core.contract.errors import CodecError, ProviderError
from holdfast.core.contract.events import OrchestrationStarted, StoredEvent
from holdfast.core.contract.ids import INT63_MAX, LockToken, Millis
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
from holdfast.providers.sqlite.database import SqlRow, Transaction, Values
from holdfast.providers.sqlite.statements import statements
from holdfast.providers.waiting import TURNS

SQL = statements("turns")

UNREADABLE_NAME: Final = "unknown"
"""The name under which an instance is handed out whose record cannot be read."""


class Candidate(NamedTuple):
    """An instance that may be handed out, as the query found it; without a record the last three are None.

    They are of whatever type the row holds, texts as their bytes.
    """

    visible_at: int
    message_id: int
    instance: object
    name: object
    version: object
    execution_id: object


class FoundContext(NamedTuple):
    """What a batch is handed out under (PV-7.11); `damage` says what is wrong with the instance's record."""

    name: str
    version: str
    execution_id: int
    damage: str | None = None


def enqueue(transaction: Transaction, item: Message, delay: Millis) -> None:
    """Store one message (PV-6.1)."""
    put_messages(transaction, [(addressee(item), deadline(transaction.now, delay), item)])


def put_messages(transaction: Transaction, messages: Sequence[tuple[str, int, Message]]) -> None:
    """Store messages in list order, each for an instance and visible from a time (PV-6.5)."""
    transaction.wake(TURNS)
    transaction.insert(
        SQL["enqueue_message"],
        [
            {
                "instance": instance,
                "visible_at": visible_at,
                "now": transaction.now,
                "work_item": encode_work_item(item).decode(),
            }
            for instance, visible_at, item in messages
        ],
    )


def fetch(
    transaction: Transaction, lock_timeout: Millis, versions: DispatcherCapabilityFilter | None
) -> FetchedTurn | None:
    """Lock the next candidate and load what its turn needs (PV-7.1).

    The loop passes over candidates that turn out to have no context; the query leaves few of them.
    """
    first = first_eligible(transaction)
    if first is None:
        return None
    search: dict[str, str | int | None] = {
        "now": transaction.now,
        "after_visible_at": first[0],
        "after_id": first[1] - 1,
        **_version_bounds(versions),
    }
    while (row := transaction.one(SQL["next_candidate"], search)) is not None:
        candidate = Candidate(*row)
        try:
            instance = decode_text(candidate.instance)
        except CodecError as error:
            _set_aside(transaction, candidate, error)
            continue
        context = _context(transaction, instance, candidate)
        if context is not None:
            return _take(transaction, instance, context, lock_timeout)
        search["after_visible_at"] = candidate.visible_at
        search["after_id"] = candidate.message_id
    return None


def first_eligible(transaction: Transaction) -> tuple[int, int] | None:
    """A place in the order of candidates before which there is none, as time and id; None for none at all.

    This spares the query that decides from passing over the messages of locked instances.
    """
    row = transaction.one(SQL["first_message"], {"now": transaction.now})
    return None if row is None else (row[0], row[1])


def next_change(transaction: Transaction) -> int:
    """When the next message becomes visible or the next lock or hold ends; far off if none does (PV-23.6)."""
    ((due,),) = transaction.all(SQL["next_change"], {"now": transaction.now, "never": INT63_MAX})
    return int(due)


def _version_bounds(versions: DispatcherCapabilityFilter | None) -> Values:
    """The filter's first range as the query wants it (PV-13.2). The caller has dealt with an empty filter."""
    if versions is None:
        low, high = (0, 0, 0), (0, 0, 0)
    else:
        first = versions.supported_duroxide_versions[0]
        low, high = first.min, first.max
    clamped = [min(number, INT63_MAX) for number in (*low, *high)]
    names = ("min_major", "min_minor", "min_patch", "max_major", "max_minor", "max_patch")
    return {"any_version": versions is None, **dict(zip(names, clamped, strict=True))}


def _set_aside(transaction: Transaction, candidate: Candidate, error: CodecError) -> None:
    transaction.change_one(SQL["set_message_aside"], {"id": candidate.message_id, "never": INT63_MAX})
    transaction.tell(
        "message without a readable instance set aside",
        "warning",
        seq=candidate.message_id,
        error=str(error),
    )


def _context(transaction: Transaction, instance: str, candidate: Candidate) -> FoundContext | None:
    """The context of a candidate, or None if it has none; messages that can never have one are dropped."""
    if candidate.name is not None and candidate.execution_id is not None:
        return _context_of_record(transaction, instance, candidate)
    return _recorded_context(transaction, instance) or _arriving_context(transaction, instance)


def _context_of_record(transaction: Transaction, instance: str, candidate: Candidate) -> FoundContext:
    """What the record of the instance says; as much of it as can be read, and what cannot (PV-14.6)."""
    try:
        version = None if candidate.version is None else decode_text(candidate.version)
        execution_id = decode_number(candidate.execution_id)
        return FoundContext(decode_text(candidate.name), reported_version(version), execution_id)
    except CodecError as error:
        execution_id = _highest_execution(transaction, instance)
        damage = f"the record of the instance cannot be decoded: {error}"
        return FoundContext(UNREADABLE_NAME, reported_version(None), execution_id, damage)


def _highest_execution(transaction: Transaction, instance: str) -> int:
    row = transaction.one(SQL["highest_execution"], {"instance": instance})
    highest = None if row is None else row[0]
    return highest if type(highest) is int else 1


def _recorded_context(transaction: Transaction, instance: str) -> FoundContext | None:
    """What the history of an instance without a record says (PV-7.11 b)."""
    execution_id = _highest_execution(transaction, instance)
    rows = transaction.all(SQL["execution_history"], {"instance": instance, "execution": execution_id})
    for (text,) in rows:
        try:
            event = decode_stored_event(text)
        except CodecError:
            continue
        if isinstance(event, OrchestrationStarted):
            return FoundContext(event.name, event.version, execution_id)
    return None


def _arriving_context(transaction: Transaction, instance: str) -> FoundContext | None:
    """What the visible messages of an instance never seen before say (PV-7.11 c, PV-7.13)."""
    visible: Values = {"instance": instance, "now": transaction.now}
    only_queue_messages = True
    rows = transaction.all(SQL["visible_messages"], visible)
    for _, text in rows:
        try:
            message = decode_message(text)
        except CodecError:
            only_queue_messages = False
            continue
        if isinstance(message, StartOrchestration | ContinueAsNewMessage):
            return FoundContext(message.orchestration, reported_version(message.version), 1)
        only_queue_messages = only_queue_messages and isinstance(message, QueueMessage)
    if only_queue_messages:
        transaction.change(SQL["drop_visible_messages"], visible)
        transaction.tell("orphan queue messages dropped", "warning", instance_id=instance, count=len(rows))
    return None


def _take(
    transaction: Transaction, instance: str, context: FoundContext, lock_timeout: Millis
) -> FetchedTurn:
    token = transaction.ids.token()
    execute_values: Values = {
        "instance": instance,
        "token": token,
        "now": transaction.now,
        "locked_until": deadline(transaction.now, lock_timeout),
        "execution": context.execution_id,
    }
    transaction.change_one(SQL["lock_instance"], execute_values)
    batch = transaction.all(SQL["mark_batch"], execute_values)
    assert batch, f"instance {instance!r} was handed out without a visible message"
    batch.sort()  # RETURNING promises no order; ids are unique, so nothing else is compared
    messages, message_error = _decode_batch(batch)
    history, history_error = _decode_history(transaction.all(SQL["execution_history"], execute_values))
    snapshot, key_value_error = _decode_key_values(transaction.all(SQL["settled_key_values"], execute_values))
    item = OrchestrationItem(
        instance=instance,
        orchestration_name=context.name,
        execution_id=context.execution_id,
        version=context.version,
        history=history,
        messages=messages,
        history_error=context.damage or history_error or message_error or key_value_error,
        kv_snapshot=snapshot,
    )
    return FetchedTurn(item, token, max(attempt_count for _, _, attempt_count in batch))


def _decode_batch(batch: list[SqlRow]) -> tuple[list[Message], str | None]:
    """The decodable messages of a batch, and what is wrong with the first undecodable one (PV-14.8)."""
    messages = []
    problem = None
    for message_id, text, _ in batch:
        try:
            messages.append(decode_message(text))
        except CodecError as error:
            problem = problem or f"message {message_id} cannot be decoded: {error}"
    return messages, problem


def _decode_history(rows: list[SqlRow]) -> tuple[list[StoredEvent], str | None]:
    """The events of a history; if one is damaged, none of them and what is wrong (PV-14.6)."""
    try:
        return [decode_stored_event(text) for (text,) in rows], None
    except CodecError as error:
        return [], f"history cannot be decoded: {error}"


def _decode_key_values(rows: list[SqlRow]) -> tuple[dict[str, KvEntry], str | None]:
    """The settled key-values; if one is damaged, none of them and what is wrong (PV-14.6)."""
    try:
        return {
            decode_text(key): KvEntry(decode_text(value), decode_number(updated_at))
            for key, value, updated_at in rows
        }, None
    except CodecError as error:
        return {}, f"a key-value cannot be decoded: {error}"


def held_instance(transaction: Transaction, token: LockToken) -> str:
    """The instance whose lock the token holds now (PV-8.2). Raises ProviderError, permanent, if none."""
    instance, locked_until = _lock(transaction, token)
    if locked_until <= transaction.now:
        raise transaction.refuse(
            f"the lock on instance {instance!r} expired at {locked_until}, now is {transaction.now}; "
            "fetch the instance again"
        )
    return instance


def _lock(transaction: Transaction, token: LockToken) -> tuple[str, int]:
    row = transaction.one(SQL["lock_of_token"], {"token": token})
    if row is None:
        raise invalid_lock_token(transaction.operation, token)
    return row[0], row[1]


def invalid_lock_token(operation: str, token: LockToken) -> ProviderError:
    """The error for a token that no longer names a lock (PV-4.12)."""
    return ProviderError.permanent(
        operation,
        f"Invalid lock token {token!r}: it was never handed out, is used up, or has been superseded",
    )


def abandon(transaction: Transaction, token: LockToken, delay: Millis, ignore_attempt: bool) -> None:
    """Give a batch back; with a delay nobody may run the instance until it has passed (PV-9.1 to 9.6)."""
    instance, _ = _lock(transaction, token)
    transaction.wake(TURNS)
    free_from = deadline(transaction.now, delay)
    values: Values = {
        "instance": instance,
        "token": token,
        "visible_at": free_from,
        "uncount": 1 if ignore_attempt else 0,
    }
    transaction.execute(SQL["unmark_batch"], values)
    if delay > 0:
        transaction.change_one(
            SQL["lock_instance"],
            {"instance": instance, "token": "", "locked_until": free_from, "now": transaction.now},
        )
    else:
        transaction.change_one(SQL["unlock_instance"], values)
        transaction.execute(SQL["uncover_messages"], values)


def renew(transaction: Transaction, token: LockToken, extend_for: Millis) -> None:
    """Extend an instance lock that is still held (PV-9.7)."""
    instance = held_instance(transaction, token)
    transaction.wake(TURNS)  # it may end earlier than before
    transaction.change_one(
        SQL["extend_instance_lock"],
        {"instance": instance, "locked_until": deadline(transaction.now, extend_for)},
    )
