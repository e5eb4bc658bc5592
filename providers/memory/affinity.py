"""Session rows: who may have one, and how long (PV-24, PV-26, SS-25).

A row is absent, unattached, attached to a worker, or lapsed; lapsing is time passing and writes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import Logged, Observer
from holdfast.core.contract.provider import session_not_owned
from holdfast.providers.arguments import deadline
from holdfast.providers.memory.tables import SessionRow, Tables


class Claimant(NamedTuple):
    """A worker that fetches: how long it would hold a session, and whether it takes new ones."""

    worker_id: str
    session_lock_duration: Millis
    claim_new: bool


def is_open_to(tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant) -> bool:
    """Whether items of the session are delivered to the claimant (SS-12.3, SS-12.4)."""
    row = tables.session(instance, session_id)
    if row is not None and row.is_live(now):
        return row.worker_id == claimant.worker_id
    return claimant.claim_new


def attach(
    tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant, observer: Observer | None
) -> None:
    """Claim a free or absent session, or extend one's own (PV-24.13, SS-25.3 to SS-25.6, SS-25.21)."""
    open_session(tables, instance, session_id)
    row = tables.sessions[instance][session_id]
    until = deadline(now, claimant.session_lock_duration)
    tables.ready_work.touched_sessions.append((instance, session_id))
    if row.worker_id == claimant.worker_id and row.is_live(now):
        extend(tables, row, until)
        return
    assert not row.is_live(now), f"session {instance}/{session_id} is {row.worker_id}'s: no claim may win it"
    previous = row.worker_id
    tables.journal.keep(row)
    row.locked_until = until if previous != claimant.worker_id else max(row.locked_until or 0, until)
    row.worker_id = claimant.worker_id
    if observer is not None:
        _log_claim(observer, instance, session_id, claimant.worker_id, previous)


def extend(tables: Tables, row: SessionRow, until: Millis) -> None:
    """Move the expiry forward, never back (SS-24.5)."""
    assert row.locked_until is not None, "an unattached session has no expiry to extend"
    tables.journal.keep(row)
    row.locked_until = max(row.locked_until, until)


def renew(
    tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str, extend_for: Millis
) -> None:
    """Extend a session that still names this worker, live or lapsed (PV-26.1, PV-26.2)."""
    row = tables.session(instance, session_id)
    if row is None or row.worker_id is None or row.worker_id != worker_id:
        raise session_not_owned("renew_session_lock", instance, session_id, worker_id)
    extend(tables, row, deadline(now, extend_for))
    tables.ready_work.touched_sessions.append((instance, session_id))


def release(tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str) -> None:
    """Release a session if it is this worker's; otherwise do nothing (PV-26.5)."""
    row = tables.session(instance, session_id)
    if row is not None and row.worker_id == worker_id:
        tables.journal.keep(row)
        row.worker_id = row.locked_until = None
        tables.ready_work.touched_sessions.append((instance, session_id))


def open_session(tables: Tables, instance: str, session_id: str) -> None:
    """Make sure the row exists, unattached if it is new (PV-25.1)."""
    rows = tables.of_instance(tables.sessions, instance)
    if session_id not in rows:
        tables.journal.put(rows, session_id, SessionRow())


def close_session(tables: Tables, instance: str, session_id: str) -> None:
    """Remove the row and every item of the session, whoever holds it (PV-25.3)."""
    rows = tables.sessions.get(instance)
    if rows is not None and session_id in rows:
        tables.journal.remove(rows, session_id)
        if not rows:
            tables.journal.remove(tables.sessions, instance)
    for item in tables.work.of_instance(instance):
        if item.session_id == session_id:
            tables.work.remove(item)


def close_all(tables: Tables, instance: str) -> None:
    """Remove all session rows and session-bound items of the instance (PV-25.6)."""
    tables.forget(tables.sessions, instance)
    for item in tables.work.of_instance(instance):
        if item.session_id is not None:
            tables.work.remove(item)


def _log_claim(
    observer: Observer, instance: str, session_id: str, worker_id: str, previous: str | None
) -> None:
    """SS-22.3, SS-22.4."""
    fields: dict[str, object] = {
        "instance_id": instance,
        "session_id": session_id,
        "worker_id": worker_id,
    }
    observer.notify(Logged("session.claimed", "info", fields))
    if previous is not None and previous != worker_id:
        observer.notify(Logged("session.migrated", "info", {**fields, "previous_worker_id": previous}))
