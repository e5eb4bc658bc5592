"""Moves of a session row that address it by name (SS-25.8 to SS-25.10, SS-25.13, SS-25.14)."""

from __future__ import annotations

from holdfast.properties.judging.model.move import Move, refused, unchanged
from holdfast.properties.judging.model.operations import Call, Release, RenewSession
from holdfast.properties.judging.model.state import KnownRow, RowKey, StoreState, deadline, is_live, with_row


def extended(row: KnownRow, until: int) -> KnownRow:
    """Moved forward, never back (SS-24.5)."""
    before = row.locked_until
    if before is not None and before >= until:
        return row
    return KnownRow(row.instance_id, row.session_id, row.worker_id, until)


def not_owned(key: RowKey, worker: str) -> str:
    """The message of SS-12.7."""
    return f"session {key[0]}/{key[1]} not owned by {worker}"


def renew(state: StoreState, operation: RenewSession, call: Call) -> Move:
    """Extend a row that still names the caller, live or expired."""
    key = operation.key
    row = state.sessions.get(key)
    if row is None or row.worker_id is None or row.worker_id != operation.worker:
        return refused(state, "SS-25.10", key, not_owned(key, operation.worker))
    rule = "SS-25.8" if is_live(row, state.now) else "SS-25.9"
    after = extended(row, deadline(state.now, operation.extend_for))
    return Move(with_row(state, key, after), None, rule, ((key, rule),))


def release(state: StoreState, operation: Release, call: Call) -> Move:
    """Give a row up that names the caller; anything else is left as it is, and is no error."""
    key = operation.key
    row = state.sessions.get(key)
    if row is None or row.worker_id is None or row.worker_id != operation.worker:
        return unchanged(state, "SS-25.14", key)
    after = KnownRow(row.instance_id, row.session_id, None, None)
    return Move(with_row(state, key, after), None, "SS-25.13", ((key, "SS-25.13"),))
