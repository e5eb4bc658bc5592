"""The worker queue: delivery in order of sequence number, and what holders may do (PV-10, PV-11, PV-24)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import Logged, Observer
from holdfast.core.contract.provider import FetchedWork, TagFilter, session_not_owned
from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityExecute, ActivityFailedMessage
from holdfast.providers.arguments import deadline
from holdfast.providers.memory import affinity
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import Tables, WorkRow


@dataclass(frozen=True, slots=True)
class WorkQuery:
    """What a fetch asks for. Without a claimant it is a plain fetch, which sees no session rows."""

    lock_timeout: Millis
    tag_filter: TagFilter
    claimant: Claimant | None


def enqueue(tables: Tables, now: Millis, item: ActivityExecute) -> None:
    """Store one row, visible now (PV-10.1)."""
    tables.work.put(item, now)


def fetch(
    tables: Tables,
    now: Millis,
    query: WorkQuery,
    new_token: Callable[[], LockToken],
    observer: Observer | None,
) -> FetchedWork | None:
    """Deliver the eligible item with the smallest number, and with it its session (SS-13.1, SS-12.5)."""
    for row in candidates(tables, now, query):
        if not _is_eligible(tables, now, query, row):
            continue
        if not isinstance(row.item, ActivityExecute):
            _set_aside(tables, row, observer)
            continue
        claimant = None if row.session_id is None else query.claimant
        token = new_token()
        until = deadline(now, query.lock_timeout)
        tables.work.lock(row, token, until, None if claimant is None else claimant.worker_id)
        if row.session_id is not None:
            assert claimant is not None, f"session row {row.seq} must not reach a plain fetch"
            # The last change of the call, so that no claim is reported and then undone (SS-22.3).
            affinity.attach(tables, now, row.identity.instance, row.session_id, claimant, observer)
        return FetchedWork(row.item, token, row.attempt_count)
    return None


def candidates(tables: Tables, now: Millis, query: WorkQuery) -> Iterable[WorkRow]:
    """The rows that a fetch looks at, by number; what it cannot have for certain is spared."""
    claimant = query.claimant
    if claimant is None:
        return tables.ready_work.search(now, query.tag_filter, None, False)
    return tables.ready_work.search(now, query.tag_filter, claimant.worker_id, claimant.claim_new)


def _is_eligible(tables: Tables, now: Millis, query: WorkQuery, row: WorkRow) -> bool:
    """SS-13, PV-10.2: visible, not held or set aside, of a matching tag, its session open to the caller."""
    if row.visible_from > now or row.locked_until > now or row.set_aside:
        return False
    if not query.tag_filter.matches(row.tag):
        return False
    if row.session_id is None:
        return True
    if query.claimant is None:
        return False
    return affinity.is_open_to(tables, now, row.identity.instance, row.session_id, query.claimant)


def _set_aside(tables: Tables, row: WorkRow, observer: Observer | None) -> None:
    """A row that cannot be decoded is never eligible again, and kept for inspection (PV-14.9)."""
    tables.work.unlock(row)
    row.set_aside = True
    if observer is not None:
        fields: dict[str, object] = {"seq": row.seq, "instance_id": row.identity.instance}
        observer.notify(Logged("undecodable worker row set aside", "warning", fields))


def held_row(tables: Tables, operation: str, token: LockToken, now: int) -> WorkRow:
    """The row this token holds now. Raises if gone, superseded or expired (PV-11.2)."""
    row = current_row(tables, operation, token)
    if row.locked_until <= now:
        raise ProviderError.permanent(operation, f"the item lock of {row.identity} has expired")
    return row


def current_row(tables: Tables, operation: str, token: LockToken) -> WorkRow:
    """The row this token was the last to lock, expired or not (PV-11.11)."""
    row = tables.work.by_token.get(token)
    if row is None:
        raise ProviderError.permanent(
            operation, f"Invalid lock token {token!r}: the item is gone or taken over"
        )
    return row


def acknowledge(
    tables: Tables,
    now: Millis,
    token: LockToken,
    completion: ActivityCompletedMessage | ActivityFailedMessage | None,
) -> None:
    """Delete the row and enqueue its completion, both or neither; the session row is unchanged (PV-11.1)."""
    row = held_row(tables, "ack_work_item", token, now)
    tables.work.remove(row)
    if completion is not None:
        tables.messages.put(completion.instance, completion, now)


def renew(
    tables: Tables, now: Millis, token: LockToken, extend_for: Millis, extend_session_for: Millis
) -> None:
    """Extend the item and, if it is session-bound, its session: both or neither (PV-11.7, PV-26.6)."""
    row = held_row(tables, "renew_work_item_lock", token, now)
    if row.session_id is not None:
        instance, holder = row.identity.instance, row.claimed_by
        session = tables.session(instance, row.session_id)
        if session is None or holder is None or session.worker_id != holder:
            raise session_not_owned("renew_work_item_lock", instance, row.session_id, holder or "nobody")
        affinity.extend(tables, session, deadline(now, extend_session_for))
        tables.ready_work.touched_sessions.append((instance, row.session_id))
    tables.journal.keep(row)
    row.locked_until = deadline(now, extend_for)
    tables.work.touched.append(row)


def abandon(tables: Tables, now: Millis, token: LockToken, delay: Millis, ignore_attempt: bool) -> None:
    """Give an item back at its old rank; the session row stays as it is (PV-11.9, SS-12.14)."""
    row = current_row(tables, "abandon_work_item", token)
    tables.work.unlock(row)
    row.visible_from = deadline(now, delay)
    if ignore_attempt:
        row.attempt_count = max(row.attempt_count - 1, 0)
