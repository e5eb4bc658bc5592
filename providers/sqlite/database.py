"""One connection and the rules of using it: transactions, contention, error classes.

Every writing call is one `BEGIN IMMEDIATE` transaction, so that it waits for other writers before it has read
anything (PV-30.2), and the clock is read after that wait (PV-30.3).
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from threading import Lock
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import apsw

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import Logged
from holdfast.providers.breakage import MESSAGE, Breakage
from holdfast.providers.sqlite.one_thread import OneThread
from holdfast.providers.sqlite.storage_errors import CONTENTION, STORAGE_FAILURES, provider_error
from holdfast.providers.sqlite.store_file import StoreFile
from holdfast.providers.waiting import BOTH, Waiters

CONTENTION_ATTEMPTS = 3
"""How often a call is tried while the store is busy; each attempt waits for the busy timeout."""

NO_WAIT = Millis(0)

SLICE = Millis(100)
"""The busy timeout is waited out in pieces: nothing ends a wait within SQLite, and closing must."""

BREAKS_MAX = 10
"""How often closing breaks off what runs, a slice apart: one interrupt ends one statement."""

FAILURES: tuple[type[Exception], ...] = (*STORAGE_FAILURES, ProviderError)

Values = Mapping[str, str | int | None]
SqlRow = tuple[Any, ...]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Transaction:
    """What a call works with while it holds the store: one reading of the clock, statements, a log.

    Log records collected here go to the observer after the commit; a rollback discards them.
    """

    __slots__ = ("_connection", "execute", "ids", "log", "now", "operation", "woken")

    def __init__(
        self, connection: apsw.Connection, operation: str, now: Millis, ids: IdSource, log: list[Logged]
    ) -> None:
        self._connection = connection
        self.execute = connection.execute
        self.operation = operation
        self.now = now
        self.ids = ids
        self.log = log
        self.woken = 0

    def wake(self, queues: int) -> None:
        """If the transaction commits, something may have become eligible in these queues."""
        self.woken |= queues

    def one(self, statement: str, values: Values) -> SqlRow | None:
        """The first row of a query, or None."""
        row: SqlRow | None = self.execute(statement, values).fetchone()
        return row

    def all(self, statement: str, values: Values) -> list[SqlRow]:
        """All rows; needed also for a write that returns rows, which must be read to its end."""
        return self.execute(statement, values).fetchall()

    def change(self, statement: str, values: Values) -> int:
        """Run a write and say how many rows it changed."""
        self.execute(statement, values)
        return self._connection.changes()

    def change_one(self, statement: str, values: Values) -> None:
        """Run a write of one row, which this transaction has found or is about to create."""
        changed = self.change(statement, values)
        assert changed == 1, f"{self.operation} must touch one row and touches {changed}: {dict(values)}"

    def insert(self, statement: str, rows: Sequence[Values]) -> None:
        """Insert one row for each set of values."""
        inserted = self.many(statement, rows)
        assert inserted == len(rows), f"{self.operation} must store {len(rows)} rows and stores {inserted}"

    def many(self, statement: str, rows: Iterable[Values]) -> int:
        """Run one write for each set of values, and say how many rows were changed; any number (PV-30.9)."""
        before = self._connection.total_changes()
        self._connection.executemany(statement, rows)
        return self._connection.total_changes() - before

    def tell(self, event: str, level: Literal["info", "warning"], **fields: object) -> None:
        """Log something if the transaction commits."""
        self.log.append(Logged(event, level, fields))

    def refuse(self, message: str) -> ProviderError:
        """A permanent error of this call (PV-4.6)."""
        return ProviderError.permanent(self.operation, message)


class Database:
    """A connection, the thread its calls run on, the clock and ids of its store, and who waits for it."""

    def __init__(
        self,
        connection: apsw.Connection,
        clock: ProviderClock,
        ids: IdSource,
        breakage: Breakage | None = None,
        waiters: Waiters | None = None,
        file: StoreFile | None = None,
        busy_timeout: Millis = NO_WAIT,
    ) -> None:
        """`file` and `busy_timeout` are those of a database in a file."""
        self.connection = connection
        self.thread = OneThread()
        self.closed = False
        self._clock = clock
        self._ids = ids
        self._breakage = Breakage() if breakage is None else breakage
        self.waiters = Waiters() if waiters is None else waiters
        self._data_version = 0
        self._file = file
        self._busy_timeout = busy_timeout
        self._impatient = False
        self._ended = False
        self._interrupting = Lock()  # SQLite must not be asked to interrupt a connection while it closes it
        self.asked_from: AbstractEventLoop | None = None
        if file is not None:
            connection.set_busy_timeout(min(SLICE, busy_timeout))

    def write(
        self,
        operation: str,
        log: list[Logged],
        effect: Callable[Concatenate[Transaction, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Run an effect in a transaction of its own, whole or not at all (PV-28.1).

        Raises: ProviderError, as the effect raised it or by the class of the storage error. A busy store is
        retried a bounded number of times, each time from the start (PV-28.7).
        """
        attempt = 0
        while True:
            attempt += 1
            log.clear()
            try:
                return self._attempt(operation, log, effect, *args, **kwargs)
            except CONTENTION as error:
                if attempt == CONTENTION_ATTEMPTS or self._gives_up():
                    raise self._failure(operation, error) from error
            except STORAGE_FAILURES as error:
                raise self._failure(operation, error) from error

    def _attempt(
        self,
        operation: str,
        log: list[Logged],
        effect: Callable[Concatenate[Transaction, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        connection, file = self.connection, self._file
        self._bound("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(connection, operation, self._clock(), self._ids, log)
            if file is not None:
                file.look(operation)
                file.look_at_log(operation, transaction.now)
            if self._breakage.operation == operation:
                self._break_in_the_middle()
            result = effect(transaction, *args, **kwargs)
            self._bound("COMMIT")
        except BaseException:
            # After some errors, such as a full disk, SQLite has already rolled back.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.exec_trace = None
        if transaction.woken:
            self.waiters.wake(transaction.woken)
        return result

    def _break_in_the_middle(self) -> None:
        """Make a statement of the running transaction fail, possibly its COMMIT."""
        left = self._breakage.change
        error = (apsw.FullError if self._breakage.retryable else apsw.CorruptError)(MESSAGE)
        self._breakage.spend()

        def before_each(cursor: object, statement: object, values: object) -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                raise error
            return True

        self.connection.exec_trace = before_each

    def read(
        self,
        operation: str,
        query: Callable[Concatenate[apsw.Connection, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Run a query of one statement, or of several whose answers need not agree (PV-28.2).

        Raises: ProviderError, by the class of the storage error.
        """
        try:
            if self._file is None:
                return query(self.connection, *args, **kwargs)
            self._file.look(operation)
            return self._patiently(lambda: query(self.connection, *args, **kwargs))
        except STORAGE_FAILURES as error:
            raise self._failure(operation, error) from error

    def _bound(self, statement: str) -> None:
        """Begin or end a transaction, which may find a file locked by others."""
        if self._file is None:
            self.connection.execute(statement)
        else:
            self._patiently(lambda: self.connection.execute(statement))

    def _patiently(self, attempt: Callable[[], _R]) -> _R:
        """Try again and again until the busy timeout is over, or closing is."""
        left: int = self._busy_timeout
        while True:
            try:
                return attempt()
            except CONTENTION:
                left -= SLICE
                if left <= 0 or self._gives_up():
                    raise

    def _gives_up(self) -> bool:
        """Whether a wait for others must end: at closing, or because the loop that asked is closed itself.

        Python joins the thread when it exits, so that a store which nobody has closed would hold it up.
        """
        return self._impatient or (self.asked_from is not None and self.asked_from.is_closed())

    def _failure(self, operation: str, error: Exception) -> ProviderError:
        if self._file is None:
            return provider_error(operation, error)
        return self._file.failed(operation, error)

    def look_elsewhere(self) -> None:
        """Wake those who wait if another connection, of whatever process, has committed since the last call.

        This reads a counter in shared memory and takes no lock.
        """
        try:
            version = self.connection.execute("PRAGMA data_version").get
            if self._file is not None:
                self._file.look("fetch")
        except FAILURES:
            version = 0  # what is wrong, the fetch that looks next will hear
        if version != self._data_version:
            self._data_version = version
            self.waiters.wake(BOTH)

    def now(self) -> Millis:
        """The store's clock, for reads that depend on it."""
        return self._clock()

    def retire(self) -> None:
        """Wait for running calls and accept no more; the connection stays open."""
        self.closed = True
        self.thread.shutdown()

    def close(self) -> None:
        """Close the connection, from its own thread or when nothing runs on it."""
        self.closed = True
        with self._interrupting:
            self._ended = True
        self.thread.shutdown(False)
        if self._file is not None:
            self._file.part(self.connection)
        try:
            self.connection.close(True)
        except STORAGE_FAILURES as error:  # the log was not copied into the file; nothing in it is lost
            self._failure("close", error)

    def break_off(self) -> None:
        """End waits for other processes and the running statement; their calls fail and may be retried."""
        self._impatient = True
        with self._interrupting:
            if not self._ended:
                self.connection.interrupt()

    def leave_running(self) -> None:
        """Say that a call did not end when it was broken off; the connection stays open until it does."""
        if self._file is not None:
            self._file.left_running()


def close_all(databases: Iterable[Database], timeout: Millis) -> None:
    """Wait for running calls, break off those that have not ended after the timeout, close connections."""
    ends = {each: each.thread.when_idle() for each in databases if not each.closed}
    for database in ends:
        database.closed = True
    _, running = futures.wait(ends.values(), timeout / 1000)
    for _ in range(BREAKS_MAX):
        if not running:
            break
        for database, end in ends.items():
            if end in running:
                database.break_off()
        _, running = futures.wait(running, SLICE / 1000)
    for database, end in ends.items():
        if end in running:
            database.thread.submit(database.close)
            database.leave_running()
        else:
            database.close()
