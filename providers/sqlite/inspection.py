"""What monitors and the conformance suite read, and how they damage a store (PV-33.2)."""

from __future__ import annotations

from typing import Any, Final, Literal, cast

import apsw

from holdfast.core.contract.codec import decode_activity
from holdfast.core.contract.errors import CodecError
from holdfast.core.contract.store import SessionRecord, TableShape, WorkerRow
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.sqlite.opening import TABLES, adopt
from holdfast.providers.sqlite.statements import statements

SQL = statements("inspection")

DAMAGE: Final = "undecodable"

BEFORE_SESSIONS: Final = """
DROP TABLE sessions;
DROP INDEX idx_worker_session;
ALTER TABLE worker_queue DROP COLUMN session_id;
ALTER TABLE worker_queue DROP COLUMN claimed_by;
PRAGMA application_id = 0;
PRAGMA user_version = 0;
"""
"""Removes from the tables what SS-10 added, and the application id, so that they are upgraded again."""

COLUMN_TYPES: Final[dict[str, Literal["text", "integer"]]] = {"TEXT": "text", "INTEGER": "integer"}


def session_records(connection: apsw.Connection) -> list[SessionRecord]:
    """All session rows, ordered by (instance, session id)."""
    return [SessionRecord(*row) for row in connection.execute(SQL["session_records"])]


def worker_rows(connection: apsw.Connection) -> list[WorkerRow]:
    """All worker-queue rows, ordered by seq."""
    return [
        WorkerRow(seq, _item(text), session_id, token, locked_until, visible_from, attempt_count, claimed_by)
        for (
            seq,
            text,
            session_id,
            token,
            locked_until,
            visible_from,
            attempt_count,
            claimed_by,
        ) in connection.execute(SQL["worker_rows"])
    ]


def _item(text: bytes) -> ActivityExecute | None:
    try:
        return decode_activity(text)
    except CodecError:
        return None


def max_attempt_count(connection: apsw.Connection, instance_id: str) -> int:
    """The highest attempt count among the instance's messages; 0 if none."""
    count: int = connection.execute(SQL["max_attempt_count"], {"instance": instance_id}).get
    return count


def raw_counts(connection: apsw.Connection) -> dict[str, int]:
    """Number of records per table. A hold (PV-9.2) is not an instance lock and is not counted as one."""
    counts: dict[str, int] = {}
    for table in TABLES:
        condition = "WHERE lock_token <> ''" if table == "instance_locks" else ""
        counts[table] = connection.execute(f"SELECT count(*) FROM {table} {condition}").get
    return counts


def table_shapes(connection: apsw.Connection) -> dict[str, TableShape]:
    """The shapes of `sessions` and `worker_queue`, as the database itself reports them."""
    return {table: _shape(connection, table) for table in ("sessions", "worker_queue")}


def _shape(connection: apsw.Connection, table: str) -> TableShape:
    columns: list[tuple[str, str, int, int]] = [
        *cast(Any, connection.execute(SQL["columns"], {"table": table}))
    ]
    lookups: dict[str, list[str]] = {}
    for index, column in cast(Any, connection.execute(SQL["indexes"], {"table": table})):
        lookups.setdefault(index, []).append(column)
    in_key = sorted((place, name) for name, _, _, place in columns if place)
    return TableShape(
        columns={name: COLUMN_TYPES.get(kind, "other") for name, kind, _, _ in columns},
        nullable=frozenset(name for name, _, not_null, _ in columns if not not_null),
        key=tuple(name for _, name in in_key),
        lookups=tuple(tuple(names) for names in lookups.values()),
    )


def event_types(connection: apsw.Connection, instance_id: str) -> list[str]:
    """The type column of an instance's history."""
    return [kind for (kind,) in connection.execute(SQL["event_types"], {"instance": instance_id})]


def age(connection: apsw.Connection) -> None:
    """Make the tables those of a database from before sessions, then bring them up to date."""
    connection.execute(BEFORE_SESSIONS)
    adopt(connection)


def corrupt_instance_history(connection: apsw.Connection, instance_id: str) -> None:
    """Replace the stored events of the instance with undecodable text."""
    connection.execute(SQL["corrupt_history"], {"instance": instance_id, "damage": DAMAGE})


def corrupt_message(connection: apsw.Connection, instance_id: str) -> None:
    """Replace the oldest orchestrator message of the instance with undecodable text."""
    connection.execute(SQL["corrupt_message"], {"instance": instance_id, "damage": DAMAGE})


def corrupt_worker_row(connection: apsw.Connection, instance_id: str) -> None:
    """Replace the oldest worker item of the instance with undecodable text."""
    connection.execute(SQL["corrupt_worker_row"], {"instance": instance_id, "damage": DAMAGE})
