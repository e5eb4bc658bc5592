"""Files of the reference implementation: which of them are adopted, and what stands against it (PV-27.10).

The reference makes a table `sessions` in every file, keyed by session id alone, for the feature of implicit
sessions. Nothing is lost with it while it is empty and nothing stored names a session; otherwise there is a
bond that explicit sessions cannot express. Everything here only reads, but `drop_sessions`.
"""

from __future__ import annotations

from typing import Any, Final

import apsw

from holdfast.providers.sqlite.table_check import columns_of

IMPLICIT_SESSION_COLUMNS: Final = frozenset({"session_id", "worker_id", "locked_until", "last_activity_at"})
"""The table `sessions` of the other session feature, which has no instance (PV-27.1)."""

_SESSION_OF_EVENT: Final = """
SELECT instance_id, session FROM (
    SELECT instance_id, CASE WHEN json_valid(CAST(event_data AS TEXT))
        THEN json_extract(CAST(event_data AS TEXT), '$.session_id') END AS session
    FROM history)
WHERE session IS NOT NULL AND (:session IS NULL OR session = :session) LIMIT 1
"""

_SESSION_OF_ITEM: Final = """
SELECT json_extract(item, '$.ActivityExecute.instance'), session FROM (
    SELECT CAST(work_item AS TEXT) AS item, CASE WHEN json_valid(CAST(work_item AS TEXT))
        THEN json_extract(CAST(work_item AS TEXT), '$.ActivityExecute.session_id') END AS session
    FROM worker_queue)
WHERE session IS NOT NULL AND (:session IS NULL OR session = :session) LIMIT 1
"""

_SESSION_OF_ROW: Final = """
SELECT instance_id, session_id FROM worker_queue
WHERE session_id IS NOT NULL AND (:session IS NULL OR session_id = :session) LIMIT 1
"""
"""The copy that look-ups use; it is there even if the item cannot be decoded."""


def has_implicit_sessions(connection: apsw.Connection) -> bool:
    """Whether the table `sessions` has the shape of the other session feature."""
    found = columns_of(connection, "sessions").keys()
    return found >= IMPLICIT_SESSION_COLUMNS and "instance_id" not in found


def use_of_sessions(connection: apsw.Connection) -> str | None:
    """What uses implicit sessions in a file of the reference, as part of a sentence; None if nothing does."""
    held = _first(connection, "SELECT session_id, worker_id FROM sessions LIMIT 1", None)
    named = _naming(connection, None if held is None else held[0])
    if held is not None:
        if named is None:
            named = _first(connection, "SELECT instance_id FROM instances ORDER BY instance_id LIMIT 1", None)
        whose = "the store has no instance" if named is None else f"instance {named[0]!r} is in the store"
        return f"holds session {held[0]!r} of worker {held[1]!r}, and {whose}"
    if named is not None:
        return f"is empty, but instance {named[0]!r} has an event or item that names session {named[1]!r}"
    return None


def drop_sessions(connection: apsw.Connection) -> None:
    """Remove the table, which `use_of_sessions` has found unused in this transaction."""
    connection.execute("DROP TABLE sessions")


def _naming(connection: apsw.Connection, session: object) -> tuple[Any, ...] | None:
    """An instance with an event or item that names the session, or any session for None, and its name."""
    queries = [_SESSION_OF_EVENT, _SESSION_OF_ITEM]
    if columns_of(connection, "worker_queue").keys() >= {"instance_id", "session_id"}:
        queries.append(_SESSION_OF_ROW)
    for query in queries:
        if (found := _first(connection, query, {"session": session})) is not None:
            return found
    return None


def _first(connection: apsw.Connection, query: str, values: dict[str, Any] | None) -> tuple[Any, ...] | None:
    found: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
    return found
