"""Work items and the sessions they are bound to (PV-10, PV-11, PV-24, PV-26)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.core.contract.codec import decode_activity, decode_text, encode_work_item
from holdfast.core.contract.errors import CodecError, ProviderError
from holdfast.core.contract.ids import INT63_MAX, LockToken, Millis
from holdfast.core.contract.provider import TAGS_MAX, FetchedWork, TagFilter, session_not_owned
from holdfast.core.contract.work_items import ActivityExecute, Message
from holdfast.providers.arguments import deadline
from holdfast.providers.sqlite.database import Transaction, Values
from holdfast.providers.sqlite.statements import statements
from holdfast.providers.sqlite.turns import enqueue
from holdfast.providers.waiting import WORK

SQL = statements("work")

NO_DELAY: Final = Millis(0)


def put(transaction: Transaction, items: Sequence[ActivityExecute]) -> None:
    """Store activities in list order, with the copies that look-ups use (PV-10.1, PV-8.9, PV-24.22)."""
    transaction.wake(WORK)
    transaction.insert(
        SQL["enqueue_work"],
        [
            {
                "now": transaction.now,
                "instance": item.instance,
                "execution": item.execution_id,
                "activity": item.id,
                "session": item.session_id,
                "tag": item.tag,
                "work_item": encode_work_item(item).decode(),
            }
            for item in items
        ],
    )


def fetch(transaction: Transaction, lock_timeout: Millis, tags: TagFilter) -> FetchedWork | None:
    """Take the oldest eligible item that is bound to no session (PV-10.2 to PV-10.4)."""
    values = _search(transaction, lock_timeout, tags)
    values["first"] = first_eligible(transaction, {**values, "worker": None, "claim_new": False})
    found = None if values["first"] is None else _take(transaction, SQL["take_plain_work"], values)
    return None if found is None else found[0]


def fetch_with_session(
    transaction: Transaction,
    lock_timeout: Millis,
    tags: TagFilter,
    *,
    worker_id: str,
    session_lock_duration: Millis,
    claim_new: bool,
) -> FetchedWork | None:
    """Take the oldest eligible item, and with a session-bound one the session (PV-24.9 to PV-24.13).

    No claim can be lost: the transaction excludes every other writer from its first statement on (PV-24.15).
    """
    values = {**_search(transaction, lock_timeout, tags), "worker": worker_id, "claim_new": claim_new}
    values["first"] = first_eligible(transaction, values)
    found = None if values["first"] is None else _take(transaction, SQL["take_work"], values)
    if found is None:
        return None
    work, instance, session_id = found
    if session_id is not None:
        _attach(transaction, instance, session_id, worker_id, session_lock_duration)
    return work


def next_change(transaction: Transaction) -> int:
    """When the next item becomes visible or the next lock on one or its session ends; else far off."""
    ((due,),) = transaction.all(SQL["next_change"], {"now": transaction.now, "never": INT63_MAX})
    return int(due)


def first_eligible(transaction: Transaction, search: Values) -> int | None:
    """A number before which the search finds nothing; None if it finds nothing at all.

    This spares the statement that decides from passing over what is locked, tagged for others or bound to
    their sessions: it is found through copies of a few facts, which are brought up to date first.
    """
    now: Values = {"now": transaction.now}
    ((delays, lapsed, claimed),) = transaction.all(SQL["outdated_copies"], now)
    if delays:
        transaction.execute(SQL["end_delays"], now)
    if lapsed:
        transaction.execute(SQL["free_items"], now)
        transaction.execute(SQL["note_lapsed"], now)
    if claimed:
        transaction.execute(SQL["bind_items"], now)
        transaction.execute(SQL["note_claimed"], now)
    ((first,),) = transaction.all(SQL["first_work"], search)
    return None if first is None else int(first)


def _search(transaction: Transaction, lock_timeout: Millis, tags: TagFilter) -> dict[str, str | int | None]:
    wanted = [*sorted(tags.tags), *([None] * TAGS_MAX)]
    return {
        "now": transaction.now,
        "token": transaction.ids.token(),
        "locked_until": deadline(transaction.now, lock_timeout),
        "untagged": tags.untagged,
        "any_tag": tags.any_tag,
        "tag_1": wanted[0],
        "tag_2": wanted[1],
        "tag_3": wanted[2],
        "tag_4": wanted[3],
        "tag_5": wanted[4],
    }


def _take(
    transaction: Transaction, statement: str, values: Values
) -> tuple[FetchedWork, str, str | None] | None:
    """Take the next row that can be decoded, with its instance and session columns (PV-14.9)."""
    while rows := transaction.all(statement, values):
        assert len(rows) == 1, f"one fetch locked {len(rows)} rows: {[row[0] for row in rows]}"
        ((row_id, text, attempt_count, found_instance, found_session),) = rows
        try:
            item = decode_activity(text)
            instance = item.instance if found_instance is None else decode_text(found_instance)
            session_id = None if found_session is None else decode_text(found_session)
        except CodecError as error:
            transaction.change_one(SQL["set_work_aside"], {"id": row_id})
            transaction.tell(
                "undecodable worker row set aside",
                "warning",
                seq=row_id,
                instance_id=_as_far_as_readable(found_instance),
                error=str(error),
            )
            continue
        return FetchedWork(item, LockToken(str(values["token"])), attempt_count), instance, session_id
    return None


def _as_far_as_readable(found: bytes | None) -> str | None:
    return None if found is None else found.decode(errors="replace")


def _attach(
    transaction: Transaction, instance: str, session_id: str, worker_id: str, duration: Millis
) -> None:
    """The session becomes or stays the worker's (PV-24.13, SS-22.3, SS-22.4)."""
    values: Values = {
        "instance": instance,
        "session": session_id,
        "worker": worker_id,
        "locked_until": deadline(transaction.now, duration),
    }
    owner, locked_until = transaction.one(SQL["session_owner"], values) or (None, None)
    transaction.change_one(SQL["attach_session"], values)
    if owner == worker_id and locked_until > transaction.now:
        return
    transaction.wake(WORK)  # what the session holds is now eligible for this worker
    fields = {"instance_id": instance, "session_id": session_id, "worker_id": worker_id}
    transaction.tell("session.claimed", "info", **fields)
    if owner is not None and owner != worker_id:
        transaction.tell("session.migrated", "info", **fields, previous_worker_id=owner)


def acknowledge(transaction: Transaction, token: LockToken, completion: Message | None) -> None:
    """Delete the row and enqueue its completion, if the token still holds it (PV-11.1 to PV-11.4)."""
    finished = transaction.change(SQL["finish_work"], {"token": token, "now": transaction.now})
    if not finished:
        raise _work_token_error(transaction, token)
    assert finished == 1, f"token {token!r} held {finished} rows: a token belongs to one delivery"
    if completion is not None:
        enqueue(transaction, completion, NO_DELAY)


def renew(transaction: Transaction, token: LockToken, extend_for: Millis, extend_session_for: Millis) -> None:
    """Extend an item lock and the session of a session-bound item, both or neither (PV-11.7, PV-26.6)."""
    row = transaction.one(SQL["work_of_token"], {"token": token})
    if row is None or row[1] <= transaction.now:
        raise _work_token_error(transaction, token)
    row_id, _, instance, session_id, claimed_by = row
    if session_id is not None:
        _extend(transaction, instance, session_id, claimed_by, extend_session_for)
    transaction.change_one(
        SQL["extend_work"], {"id": row_id, "locked_until": deadline(transaction.now, extend_for)}
    )
    transaction.wake(WORK)  # it may end earlier than before


def abandon(transaction: Transaction, token: LockToken, delay: Millis, ignore_attempt: bool) -> None:
    """Give an item back; its token must be current, but may have expired (PV-11.9, PV-11.11)."""
    values: Values = {
        "token": token,
        "now": transaction.now,
        "visible_at": deadline(transaction.now, delay),
        "uncount": 1 if ignore_attempt else 0,
    }
    if not transaction.change(SQL["give_work_back"], values):
        raise _work_token_error(transaction, token)
    transaction.wake(WORK)


def _work_token_error(transaction: Transaction, token: LockToken) -> ProviderError:
    """The error for a token that holds no row; it tells a worker that it lost its activity (PV-11.3)."""
    row = transaction.one(SQL["work_of_token"], {"token": token})
    if row is None:
        return transaction.refuse(
            f"Invalid lock token {token!r}: the work item is finished, cancelled or taken over"
        )
    return transaction.refuse(
        f"the lock on the work item expired at {row[1]}, now is {transaction.now}; it may be handed out again"
    )


def renew_session(
    transaction: Transaction, instance: str, session_id: str, worker_id: str, extend_for: Millis
) -> None:
    """Extend a session that still names the worker (PV-26.1, PV-26.2)."""
    _extend(transaction, instance, session_id, worker_id, extend_for)


def release_session(transaction: Transaction, instance: str, session_id: str, worker_id: str) -> None:
    """Release a session if it is the worker's (PV-26.5)."""
    values: Values = {"instance": instance, "session": session_id, "worker": worker_id}
    if transaction.change(SQL["release_session"], values):
        transaction.execute(SQL["free_items_of_session"], values)
    transaction.wake(WORK)


def _extend(
    transaction: Transaction, instance: str, session_id: str, worker_id: str | None, extend_for: Millis
) -> None:
    changed = transaction.change(
        SQL["extend_session"],
        {
            "instance": instance,
            "session": session_id,
            "worker": worker_id,
            "locked_until": deadline(transaction.now, extend_for),
        },
    )
    if not changed:
        raise session_not_owned(transaction.operation, instance, session_id, str(worker_id))
