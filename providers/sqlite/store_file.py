"""The file of a store while it is open: is it there, is it still the one that was opened, who was told.

SQLite goes on with a file that was deleted, moved or replaced, and loses what it writes. So each call looks
first: one `stat` of the file, and now and then one of the two files beside it. What an operator must hear is
logged once.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Final

import apsw

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.sqlite.durability import Durability
from holdfast.providers.sqlite.storage_errors import CONTENTION, provider_error

LOGGER: Final = logging.getLogger("holdfast.providers.sqlite")

LOG_LOOK_EVERY: Final = Millis(1_000)
"""How often, by the store's clock, the files of the write-ahead log are looked at."""

OPERATORS_BUSINESS: Final = (
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
)
"""What no caller can mend: the disk, the file, its permissions."""

LOST: Final = "lost"
LOG_LOST: Final = "log lost"
GONE: Final = "is gone"
REPLACED: Final = "was replaced"

FileIdentity = tuple[int, int]


class StoreFile:
    """One file and what this process knows about it, shared by all connections of a store."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # a change of the working folder must not lead to another file
        self.may_have_log = True
        """False once it is known: to try again would disturb the connections that do without."""
        self._identity: FileIdentity | None = None
        self._size = 0
        self._beside: dict[str, FileIdentity] = {}
        self._looked_at = Millis(0)
        self._told: set[str] = set()

    # --- opening ------------------------------------------------------------------------------------------

    def opened(self, connection: apsw.Connection, durability: Durability) -> None:
        """Remember what the first connection opened, say how it is kept; later ones must find the same."""
        first = self._identity is None
        self.may_have_log = durability.journal_mode == "wal"
        if first:
            self._remember(connection, durability)
        else:
            self.look("open")
        LOGGER.log(
            logging.INFO if first else logging.DEBUG,
            "%s is open: durability %s, journal mode %s, synchronous %s, SQLite %s",
            self.path,
            durability.level,
            durability.journal_mode,
            durability.syncs,
            apsw.sqlite_lib_version(),
        )
        if first and durability.journal_mode != "wal":
            LOGGER.warning(
                "%s has no write-ahead log, which its file system or VFS does not allow (journal mode %s): "
                "readers and writers wait for each other, and synchronous is %s to keep what %s promises",
                self.path,
                durability.journal_mode,
                durability.syncs,
                durability.level,
            )

    def _remember(self, connection: apsw.Connection, durability: Durability) -> None:
        found = os.stat(self.path)
        self._identity, self._size = (found.st_dev, found.st_ino), found.st_size
        if durability.journal_mode == "wal":
            log = connection.filename_wal
            for name in (log, log.removesuffix("-wal") + "-shm"):
                with suppress(FileNotFoundError):  # a connection alone with its file has no index beside it
                    beside = os.stat(name)
                    self._beside[name] = (beside.st_dev, beside.st_ino)

    def look_before_opening(self, operation: str) -> None:
        """Before a connection is made, which would make a new file where one is gone. Raises as `look`."""
        if self._identity is not None:
            self.look(operation)

    # --- calls --------------------------------------------------------------------------------------------

    def look(self, operation: str) -> None:
        """Before a call. Raises ProviderError, retryable, if the file at the path is not the opened one.

        Retryable, because nobody's call is at fault (PV-4.5): it works again once the file is back, and no
        instance may fail for it.
        """
        try:
            found = os.stat(self.path)
        except FileNotFoundError as error:
            raise self._lost(operation, "is gone") from error
        except OSError as error:
            raise self._lost(operation, f"cannot be reached ({error.strerror})") from error
        if (found.st_dev, found.st_ino) != self._identity:
            raise self._lost(operation, "was replaced by another file")
        if found.st_size < self._size and not self._is_whole():
            raise self._lost(operation, f"was cut from {self._size} to {found.st_size} bytes")
        self._size = found.st_size
        if LOST in self._told:
            self._told.discard(LOST)
            LOGGER.warning("%s is back, and calls work again", self.path)

    def look_at_log(self, operation: str, now: Millis) -> None:
        """Within a write. Raises as `look` if a file of the write-ahead log is not the one that is in use."""
        if self._looked_at <= now < self._looked_at + LOG_LOOK_EVERY:
            return
        for name, known in self._beside.items():
            problem = _difference(name, known)
            if problem is not None:
                raise self._lost(operation, f"has lost its write-ahead log ({name} {problem})", LOG_LOST)
        self._looked_at = now

    def failed(self, operation: str, error: Exception) -> ProviderError:
        """The error a caller sees for a failed statement, logged once if an operator must hear it."""
        plain = provider_error(operation, error)
        if not isinstance(error, OPERATORS_BUSINESS):
            return plain
        try:
            self.look(operation)
        except ProviderError as lost:
            return lost
        answer = ProviderError(operation, f"{plain.message} ({self.path})", retryable=plain.retryable)
        self._tell(type(error).__name__, f"{self.path} fails: {plain.message}")
        return answer

    # --- closing ------------------------------------------------------------------------------------------

    def part(self, connection: apsw.Connection) -> None:
        """Before a connection is closed: if other files have taken the names, leave those alone.

        The last connection copies its log into the file and deletes the log by its name, which by now may be
        the log of another database.
        """
        others = self._identity is not None and _difference(self.path, self._identity) is not None
        if others or any(_difference(*each) == REPLACED for each in self._beside.items()):
            leave_log(connection)

    def left_running(self) -> None:
        """Log that closing has given up on a call."""
        LOGGER.warning(
            "%s: a call did not end in time; its connection stays open as long as it runs", self.path
        )

    # --- within -------------------------------------------------------------------------------------------

    def _lost(self, operation: str, what: str, kind: str = LOST) -> ProviderError:
        self._tell(
            kind,
            f"{self.path} {what} while this process had it open; calls are refused until the file that was "
            "opened is back; to use what is there now, start the process again",
        )
        return ProviderError.transient(
            operation,
            f"{self.path} {what} since it was opened; nothing was stored. Put the file back, or start the "
            "process again to use what is there now",
        )

    def _tell(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            LOGGER.error("%s", text)

    def _is_whole(self) -> bool:
        """Whether a file that has become smaller was vacuumed, not cut: read anew, not from a cache.

        Opened by SQLite: to close a file by other means would end the locks of this process on it.
        """
        connection: apsw.Connection | None = None
        try:
            connection = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READONLY)
            tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").get
            return tables > 0 and connection.pragma("quick_check", 1) == "ok"
        except CONTENTION:
            return True  # somebody is at work on it
        except apsw.Error:
            return False
        finally:
            if connection is not None:
                connection.close(True)


def _difference(name: str, known: FileIdentity) -> str | None:
    """What became of a file under its name; None if it is the same."""
    try:
        found = os.stat(name)
    except OSError:
        return GONE
    return None if (found.st_dev, found.st_ino) == known else REPLACED


def leave_log(connection: apsw.Connection) -> None:
    """Let closing neither copy the write-ahead log into the file nor delete it."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


def leave_found_log(connection: apsw.Connection) -> None:
    """If others have left a log with something in it, let it be until the file is known to be ours."""
    try:
        found = os.stat(connection.filename_wal).st_size > 0
    except OSError:
        found = False
    if found:
        leave_log(connection)


def take_found_log(connection: apsw.Connection) -> None:
    """The file is ours: closing tidies up again."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
