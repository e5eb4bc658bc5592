"""How a file is kept: the journal mode it can have, and how often SQLite syncs (PV-30.1, PV-30.8).

docs/durability.md says what each level promises; tests/providers/sqlite/test_crash_points.py shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import apsw

from holdfast.core.contract.ids import Millis
from holdfast.providers.sqlite.storage_errors import CONTENTION

Synchronous = Literal["NORMAL", "FULL"]
"""NORMAL survives a crash of the process, FULL also a loss of power (PV-30.8)."""

Syncs = Literal["NORMAL", "FULL", "EXTRA"]

WITH_LOG: Final[dict[Synchronous, Syncs]] = {"NORMAL": "NORMAL", "FULL": "FULL"}
WITHOUT_LOG: Final[dict[Synchronous, Syncs]] = {"NORMAL": "FULL", "FULL": "EXTRA"}
"""What keeps the same promises with a rollback journal: there NORMAL may damage the file at a power cut, and
FULL may forget the last commit, because only EXTRA syncs the deletion of the journal."""

NO_SHARED_MEMORY: Final = (apsw.CantOpenError, apsw.IOError, apsw.ReadOnlyError, apsw.ProtocolError)
"""What the first use of a write-ahead log fails with where its index cannot be shared between processes."""

SWITCHES: Final = 20


@dataclass(frozen=True, slots=True)
class Durability:
    """What a connection was given: the level asked for, and how it is kept."""

    level: Synchronous
    journal_mode: str
    syncs: Syncs


def sync_everything(connection: apsw.Connection) -> None:
    """For what is done once in the life of a file: its tables and its journal mode are there to stay."""
    connection.pragma("synchronous", "EXTRA")


def use_write_ahead_log(connection: apsw.Connection, path: str, busy_timeout: Millis) -> apsw.Connection:
    """Switch a file to write-ahead logging, whose mode its header keeps, if it can have one (PV-30.1).

    Returns the connection, or another one in its place: where the log's index cannot be shared, that shows
    only once the header is written, and a connection that has looked at the log cannot take it back.
    """
    if connection.pragma("journal_mode") == "wal" or _switch(connection) != "wal":
        return connection
    try:
        connection.execute("BEGIN IMMEDIATE; COMMIT")
    except NO_SHARED_MEMORY:
        connection.close(True)
        return _without_log(path, busy_timeout)
    return connection


def _switch(connection: apsw.Connection) -> str:
    """Ask for the mode, and return the one that the file has then.

    Changing the mode fails at once while others have the file open, whatever the busy timeout. An empty write
    transaction does wait for them, so it comes between the attempts.
    """
    attempt = 1
    while True:
        try:
            return str(connection.pragma("journal_mode", "wal"))
        except CONTENTION:
            if attempt == SWITCHES:
                raise
        connection.execute("BEGIN IMMEDIATE; COMMIT")
        attempt += 1


def _without_log(path: str, busy_timeout: Millis) -> apsw.Connection:
    """Take the switch back in a connection that shares nothing, and let that share the file again."""
    connection = apsw.Connection(path)
    try:
        connection.set_busy_timeout(busy_timeout)
        connection.pragma("locking_mode", "exclusive")  # before anything looks at the file
        sync_everything(connection)
        connection.pragma("journal_mode", "delete")
        connection.pragma("locking_mode", "normal")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # lets the exclusive lock go
    except BaseException:
        connection.close(True)
        raise
    return connection


def settle(connection: apsw.Connection, level: Synchronous) -> Durability:
    """Make the connection sync as often as the level needs in the journal mode that the file has."""
    mode = str(connection.pragma("journal_mode"))
    syncs = (WITH_LOG if mode == "wal" else WITHOUT_LOG)[level]
    connection.pragma("synchronous", syncs)
    return Durability(level, mode, syncs)
