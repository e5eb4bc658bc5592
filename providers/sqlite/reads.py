"""Plain reads of the contract, and the repair tool that appends history (PV-5, PV-16, PV-17)."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from holdfast.core.contract.codec import decode_stored_event
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.provider import CustomStatus
from holdfast.providers.sqlite.statements import statements

SQL = statements("reads")
EXECUTION_HISTORY = statements("turns")["execution_history"]


def latest_history(connection: apsw.Connection, instance_id: str) -> list[StoredEvent]:
    """The history of the highest recorded execution. Raises CodecError if an event is damaged (PV-5.14)."""
    return _decoded(connection.execute(SQL["latest_history"], {"instance": instance_id}).fetchall())


def history(connection: apsw.Connection, instance_id: str, execution_id: int) -> list[StoredEvent]:
    """The history of one execution. Raises CodecError if an event is damaged (PV-5.13, PV-5.15)."""
    values = {"instance": instance_id, "execution": execution_id}
    return _decoded(connection.execute(EXECUTION_HISTORY, values).fetchall())


def _decoded(rows: Sequence[tuple[object, ...]]) -> list[StoredEvent]:
    return [decode_stored_event(text) for (text,) in rows]


def custom_status(
    connection: apsw.Connection, instance_id: str, last_seen_version: int
) -> CustomStatus | None:
    """The custom status if its version is higher than the one seen (PV-16.5)."""
    row = connection.execute(SQL["custom_status"], {"instance": instance_id}).fetchone()
    return CustomStatus(*row) if row is not None and row[1] > last_seen_version else None


def key_value(connection: apsw.Connection, instance_id: str, key: str) -> str | None:
    """One key as clients see it (PV-17.10)."""
    value: str | None = connection.execute(SQL["key_value"], {"instance": instance_id, "key": key}).get
    return value


def key_values(connection: apsw.Connection, instance_id: str) -> dict[str, str]:
    """All keys as clients see them (PV-17.10)."""
    rows = connection.execute(SQL["key_values"], {"instance": instance_id}).fetchall()
    return {str(key): str(value) for key, value in rows}
