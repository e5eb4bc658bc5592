"""A store: a database file or an in-memory database, opened by any number of processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar, get_args
from weakref import WeakValueDictionary

import apsw

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.errors import ConfigurationError, ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.store import SessionRecord, TableShape, WorkerRow
from holdfast.providers.breakage import Breakage
from holdfast.providers.sqlite import inspection, memory_image, opening
from holdfast.providers.sqlite.calls import FORKED, SqliteCalls
from holdfast.providers.sqlite.database import Database, close_all
from holdfast.providers.sqlite.durability import Synchronous
from holdfast.providers.sqlite.provider import SqliteProvider
from holdfast.providers.sqlite.store_arguments import file_name, milliseconds
from holdfast.providers.sqlite.store_file import StoreFile
from holdfast.providers.waiting import Waiters

BUSY_TIMEOUT: Final = Millis(60_000)
"""How long a call waits for another process that is writing (PV-30.1)."""

CLOSE_TIMEOUT: Final = Millis(2_000)
"""How long closing waits for calls that run, or wait for another process, before it breaks them off."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def sqlite_store(
    clock: ProviderClock,
    ids: IdSource,
    *,
    path: str | os.PathLike[str] | None = None,
    synchronous: Synchronous = "NORMAL",
    busy_timeout: Millis = BUSY_TIMEOUT,
    close_timeout: Millis = CLOSE_TIMEOUT,
    long_polling: bool = True,
) -> SqliteStore:
    """A store in a file, or in memory without a path; in memory it is private (PV-30.7).

    `synchronous` says what a returned call survives in a file: NORMAL a crash, FULL also a loss of power.
    `busy_timeout` is how long a call waits for another process that writes, `close_timeout` how long closing
    waits for calls that still run.
    With `long_polling` a fetch that finds nothing waits for what this process does, and finds within 25 ms
    what others have done (PV-23.6); without it, no fetch waits.
    Raises: ProviderError, permanent, if the file is not one this version may use, and leaves it as it was;
    ConfigurationError for an invalid option.
    """
    if synchronous not in get_args(Synchronous):
        raise ConfigurationError(f"synchronous must be one of {get_args(Synchronous)}, not {synchronous!r}")
    if path is None:
        breakage = Breakage()
        own = Database(memory_image.take_connection(), clock, ids, breakage)
        return SqliteStore(own, breakage, None, long_polling=long_polling)
    file = StoreFile(file_name(path))
    busy_timeout = milliseconds("busy_timeout", busy_timeout)
    close_timeout = milliseconds("close_timeout", close_timeout)
    breakage = Breakage()

    def connect() -> Database:
        connection = opening.connect(file.path, synchronous, busy_timeout, file)
        return Database(
            connection, clock, ids, breakage, waiters_of_file(file.path), file=file, busy_timeout=busy_timeout
        )

    return SqliteStore(connect(), breakage, connect, close_timeout, long_polling=long_polling)


_waiters_of_files: WeakValueDictionary[tuple[int, int], Waiters] = WeakValueDictionary()


def waiters_of_file(path: str) -> Waiters:
    """The fetches of this process that wait for a file, however many stores are opened on it."""
    try:
        found = os.stat(path)
    except OSError:
        return Waiters()
    return _waiters_of_files.setdefault((found.st_dev, found.st_ino), Waiters())


class SqliteStore:
    """One isolated store. Make it with `sqlite_store`."""

    def __init__(
        self,
        own: Database,
        breakage: Breakage,
        connect: Callable[[], Database] | None,
        close_timeout: Millis = CLOSE_TIMEOUT,
        *,
        long_polling: bool = True,
    ) -> None:
        """Without `connect` the one connection is shared: an in-memory database has no other way in."""
        # In memory: the database of all providers. In a file: that of the inspection hooks.
        self._own = own
        self._breakage = breakage
        self._connect = connect
        self._close_timeout = close_timeout
        self._long_polling = long_polling
        self._waiters = own.waiters
        self._opened: list[Database] = []
        self._aged = False

    def open(self, observer: Observer | None = None) -> SqliteProvider:
        """A provider for a newly started process. Raises ProviderError if the store is closed."""
        self._check_open(opening.OPERATION)
        if self._connect is None:
            calls = SqliteCalls(self._own, observer, long_polling=self._long_polling)
            return SqliteProvider(calls)
        database = self._connect()
        self._opened.append(database)
        calls = SqliteCalls(
            database, observer, long_polling=self._long_polling, close_timeout=self._close_timeout
        )
        return SqliteProvider(calls)

    def close(self) -> None:
        """Wait for running calls and free everything; providers opened from it fail from then on.

        Calls of a file that still run, or wait for another process, after the timeout are broken off.
        """
        if self._own.closed or self._own.thread.is_elsewhere:
            return
        if self._connect is None:
            self._own.retire()
            if self._aged:  # no longer like a new one
                self._own.connection.close(True)
            else:
                memory_image.give_back(self._own.connection)
        else:
            close_all([*self._opened, self._own], self._close_timeout)
        self._waiters.wake_all()

    def _check_open(self, operation: str) -> None:
        if self._own.closed:
            raise ProviderError.permanent(operation, "the store is closed; make another one")
        if self._own.thread.is_elsewhere:
            raise ProviderError.permanent(operation, FORKED)

    # --- inspection ---------------------------------------------------------------------------------------

    def session_records(self) -> list[SessionRecord]:
        """All session rows, ordered by (instance, session id)."""
        return self._inspect(inspection.session_records)

    def worker_rows(self) -> list[WorkerRow]:
        """All worker-queue rows, ordered by seq."""
        return self._inspect(inspection.worker_rows)

    def max_attempt_count(self, instance_id: str) -> int:
        """The highest attempt count among the instance's orchestrator messages; 0 if none."""
        return self._inspect(inspection.max_attempt_count, instance_id)

    def raw_counts(self) -> dict[str, int]:
        """Number of records per table."""
        return self._inspect(inspection.raw_counts)

    def table_shapes(self) -> dict[str, TableShape]:
        """The shapes of `sessions` and `worker_queue`."""
        return self._inspect(inspection.table_shapes)

    def event_types(self, instance_id: str) -> list[str]:
        """The type names under which the events of the instance are stored."""
        return self._inspect(inspection.event_types, instance_id)

    def age(self) -> None:
        """Remove what sessions added, and open the database as one from before them (SS-10.7)."""
        self._aged = True
        self._inspect(inspection.age)

    def corrupt_instance_history(self, instance_id: str) -> None:
        """Replace the stored events of the instance with undecodable text."""
        self._inspect(inspection.corrupt_instance_history, instance_id)

    def corrupt_message(self, instance_id: str) -> None:
        """Replace the oldest orchestrator message of the instance with undecodable text."""
        self._inspect(inspection.corrupt_message, instance_id)

    def corrupt_worker_row(self, instance_id: str) -> None:
        """Replace the oldest worker item of the instance with undecodable text."""
        self._inspect(inspection.corrupt_worker_row, instance_id)

    def break_calls(self, operation: str, *, change: int = 1, times: int = 1, retryable: bool = True) -> None:
        """Make the next calls of an operation fail midway, at their `change`-th change."""
        self._breakage.arm(operation, change, times, retryable)

    def _inspect(
        self,
        query: Callable[Concatenate[apsw.Connection, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Look between two calls, not into the middle of one that runs on the connection's thread."""
        self._check_open("inspect")
        own = self._own
        return own.thread.call(lambda: own.read("inspect", query, *args, **kwargs))
