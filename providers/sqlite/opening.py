"""Opening a file: refuse what is not ours, create what is new, bring what is older up to date (PV-28.11).

Whatever is refused is left as it was: nothing is written before the tables have been looked at.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import apsw

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.sqlite import adoption, table_check
from holdfast.providers.sqlite.durability import Synchronous, settle, sync_everything, use_write_ahead_log
from holdfast.providers.sqlite.statements import script
from holdfast.providers.sqlite.storage_errors import CONTENTION
from holdfast.providers.sqlite.store_file import StoreFile, leave_found_log, take_found_log

OPERATION: Final = "open"

APPLICATION_ID: Final = 0x486F6C64  # "Hold", in the file's header: whose file it is
SCHEMA_VERSION: Final = 2  # PRAGMA user_version: the number of the last migration applied

TABLES: Final = (
    "instances",
    "executions",
    "history",
    "orchestrator_queue",
    "worker_queue",
    "instance_locks",
    "sessions",
    "kv_store",
    "kv_delta",
)

REFERENCE_TABLES: Final = frozenset(
    {"instances", "executions", "history", "orchestrator_queue", "worker_queue", "instance_locks"}
)
"""The tables that every database of the reference implementation has."""

ADDED_TABLES: Final = frozenset({"session_holds"})
"""Tables that a file of an older version of ours lacks."""

ADDED_COLUMNS: Final[dict[str, dict[str, str]]] = {
    "instances": {
        "parent_instance_id": "TEXT",
        "custom_status": "TEXT",
        "custom_status_version": "INTEGER NOT NULL DEFAULT 0",
    },
    "executions": {
        "duroxide_version_major": "INTEGER",
        "duroxide_version_minor": "INTEGER",
        "duroxide_version_patch": "INTEGER",
    },
    "orchestrator_queue": {
        "attempt_count": "INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0)",
        "behind": "INTEGER NOT NULL DEFAULT 0",
    },
    "worker_queue": {
        "attempt_count": "INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0)",
        "visible_at": "INTEGER NOT NULL DEFAULT 0",
        "instance_id": "TEXT",
        "execution_id": "INTEGER",
        "activity_id": "INTEGER",
        "session_id": "TEXT",
        "tag": "TEXT",
        "claimed_by": "TEXT",
        "set_aside": "INTEGER NOT NULL DEFAULT 0",
        "holder": "TEXT",
        "waits": "INTEGER NOT NULL DEFAULT 0",
    },
}
"""Columns that a table of the reference or of an older version of ours may lack (SS-10.7)."""


def connect(
    path: str, synchronous: Synchronous, busy_timeout: Millis, file: StoreFile | None = None
) -> apsw.Connection:
    """A connection to a file whose tables are those of this version; `file` is told how it is kept.

    Raises: ProviderError: permanent if the file cannot be opened or written, is no database, is damaged,
    belongs to another application, a newer version or implicit sessions; retryable if it stays busy or the
    disk fails.
    """
    if file is not None:
        file.look_before_opening(OPERATION)
    try:
        connection = apsw.Connection(path)
    except apsw.Error as error:
        raise _refusal(path, f"cannot be opened ({error}); check the folder and its permissions") from error
    try:
        leave_found_log(connection)
        if connection.readonly("main"):
            raise _refusal(path, "can only be read; check its permissions and how its file system is mounted")
        connection.set_busy_timeout(busy_timeout)
        sync_everything(connection)
        if _found_version(connection, path) < SCHEMA_VERSION:
            _upgrade(connection, path)
        if file is None or file.may_have_log:
            connection = use_write_ahead_log(connection, path, busy_timeout)
        durability = settle(connection, synchronous)
        keep_plans(connection)
        connection.pragma("foreign_keys", 0)  # a file of the reference declares one on the parent (PV-5.4)
        for table in TABLES:
            connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall()
        if file is not None:
            file.opened(connection, durability)
    except apsw.Error as error:
        _discard(connection)
        raise _explained(path, error) from error
    except BaseException:
        _discard(connection)
        raise
    take_found_log(connection)
    return connection


def _discard(connection: apsw.Connection) -> None:
    """Close after a failure, of which closing must not be the better known one."""
    with suppress(apsw.Error):
        connection.close(True)


def _explained(path: str, error: apsw.Error) -> ProviderError:
    """What a failed opening is raised as."""
    if isinstance(error, CONTENTION):
        return ProviderError.transient(OPERATION, f"{path} stayed busy: {error}")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError | apsw.SQLError):
        return _refusal(path, f"is not a SQLite database or is damaged ({error})")
    if isinstance(error, apsw.FullError | apsw.IOError):
        return ProviderError.transient(OPERATION, f"{path} could not be read or written: {error}")
    return _refusal(
        path,
        f"cannot be used ({error}): SQLite must be able to write it and to create files beside it, and a "
        "file in WAL mode needs a file system with shared memory; check its permissions and the folder's",
    )


def adopt(connection: apsw.Connection) -> None:
    """Bring a database that is open already up to date, as `connect` does with one in a file."""
    _upgrade(connection, "the database")


def keep_plans(connection: apsw.Connection) -> None:
    """Plan each statement once, not for each bound value: planning costs more than running it."""
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def create_tables(connection: apsw.Connection) -> None:
    """Create the tables of the newest version that are missing."""
    connection.execute(script("schema"))
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", SCHEMA_VERSION)


def _refusal(path: str, reason: str) -> ProviderError:
    return ProviderError.permanent(OPERATION, f"{path} {reason}; nothing was changed")


def _require(path: str, lacking: list[str]) -> None:
    """Refuse a file whose tables are not those of this version: calls would fail later, one by one."""
    if lacking:
        raise _refusal(path, f"lacks {', '.join(lacking)}; restore it from a backup or use another file")


def _found_version(connection: apsw.Connection, path: str) -> int:
    """The version of the tables in a file: 0 for an empty one and one of the reference.

    Raises: ProviderError, permanent, if the file must not be touched.
    """
    application, version = connection.pragma("application_id"), connection.pragma("user_version")
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    tables = {str(name) for (name,) in rows if not str(name).startswith("sqlite_")}
    if application == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise _refusal(
                path,
                f"was written by a newer version (tables {version}, this version knows {SCHEMA_VERSION}); "
                "use that version or another file",
            )
        if version == SCHEMA_VERSION:
            _require(path, table_check.missing_tables(connection) + table_check.missing_columns(connection))
        return int(version)
    if application != 0 or (tables and not tables >= REFERENCE_TABLES):
        raise _refusal(
            path,
            f"is a database of another application (tables: {', '.join(sorted(tables)) or 'none'}); "
            "use another file",
        )
    if adoption.has_implicit_sessions(connection) and (use := adoption.use_of_sessions(connection)):
        raise _refusal(
            path,
            "has a table 'sessions' of implicit sessions, which explicit sessions cannot share (PV-27.10): "
            f"it {use}; use another file",
        )
    return 0


def _upgrade(connection: apsw.Connection, path: str) -> None:
    """Bring the tables to this version, in one transaction; another process may have been first.

    In the journal mode that the file has: a switch would change its header, and stay if the upgrade fails.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _found_version(connection, path)
        if version < SCHEMA_VERSION:
            if adoption.has_implicit_sessions(connection):
                adoption.drop_sessions(connection)
            for table, columns in ADDED_COLUMNS.items():
                present = table_check.columns_of(connection, table)
                for column, declaration in columns.items():
                    if present and column not in present:
                        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declaration}")
            lost = [] if version == 0 else table_check.missing_tables(connection, but=ADDED_TABLES)
            _require(path, lost + table_check.missing_columns(connection))
            create_tables(connection)
            if version < 1:
                connection.execute(script("migrations/0001_adopt_reference"))
            connection.execute(script("migrations/0002_ready_items"))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        # After a failed write SQLite leaves what it has written already for the next reader to take back.
        with suppress(apsw.Error):
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        raise
