"""In-memory databases, made cheaply: the simulator makes one for each schedule.

A database is made from the image of an empty, migrated one, which saves creating its tables. The
greater cost is that a new connection parses the schema and prepares each statement again, so a connection
whose store is closed is emptied and kept for the next store.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import apsw

from holdfast.providers.sqlite.opening import TABLES, create_tables, keep_plans

IDLE_MAX: Final = 4

_idle: list[apsw.Connection] = []
"""Emptied connections. They differ from new ones only in speed."""


def take_connection() -> apsw.Connection:
    """A connection to a private, empty in-memory database (PV-30.7)."""
    try:
        return _idle.pop()
    except IndexError:
        return _new_connection()


def give_back(connection: apsw.Connection) -> None:
    """Free a connection from `take_connection`; what it holds is gone."""
    if len(_idle) >= IDLE_MAX or connection.in_transaction:
        connection.close(True)
        return
    connection.execute(_WIPE)
    _idle.append(connection)


_WIPE = "BEGIN; " + "; ".join(f"DELETE FROM {table}" for table in (*TABLES, "sqlite_sequence")) + "; COMMIT"


def _new_connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    keep_plans(connection)
    connection.deserialize("main", _empty_image())
    connection.pragma("journal_mode", "memory")
    connection.pragma("synchronous", "off")
    return connection


@cache
def _empty_image() -> bytes:
    connection = apsw.Connection(":memory:")
    create_tables(connection)
    image = connection.serialize("main")
    connection.close()
    return image
