"""What monitors and the conformance suite look at, and how they damage a store (PV-33.2)."""

from __future__ import annotations

from typing import Final

import apsw

from holdfast.core.codec import decode_activity
from holdfast.core.errors import CodecError
from holdfast.core.provider import SessionRecord, WorkerRow
from holdfast.core.work_items import ActivityExecute
from holdfast.providers.sqlite.opening import TABLES
from holdfast.providers.sqlite.statements import statements

SQL = statements("inspection")

DAMAGE: Final = "undecodable"


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


def _item(text: str) -> ActivityExecute | None:
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


def corrupt_instance_history(connection: apsw.Connection, instance_id: str) -> None:
    """Replace the stored events of the instance by undecodable text."""
    connection.execute(SQL["corrupt_history"], {"instance": instance_id, "damage": DAMAGE})


def corrupt_message(connection: apsw.Connection, instance_id: str) -> None:
    """Replace the oldest orchestrator message of the instance by undecodable text."""
    connection.execute(SQL["corrupt_message"], {"instance": instance_id, "damage": DAMAGE})


def corrupt_worker_row(connection: apsw.Connection, instance_id: str) -> None:
    """Replace the oldest worker item of the instance by undecodable text."""
    connection.execute(SQL["corrupt_worker_row"], {"instance": instance_id, "damage": DAMAGE})
