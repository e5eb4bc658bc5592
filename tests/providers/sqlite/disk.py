"""A disk between SQLite and the real one: it keeps every change that SQLite makes, and may refuse one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import apsw

NAME = "recorded"


@dataclass(frozen=True, slots=True)
class Change:
    """One call that changes files or makes a change last.

    `lasting`: the folder is synced with it. SQLite asks for that at some deletions, and its own VFS does it
    at the first sync of a journal or log that it has opened to be created.
    """

    kind: Literal["create", "write", "truncate", "sync", "delete"]
    file: str
    offset: int = 0
    data: bytes = b""
    lasting: bool = False


class Disk(apsw.VFS):
    """The default VFS with a record; while it is in place, every new connection uses it."""

    def __init__(self, refuse: Callable[[Change], None] = lambda _: None, real: str = "") -> None:
        """`refuse` may raise the error with which a change fails; `real` is another VFS than the default."""
        self.real = real or apsw.vfs_names()[0]
        super().__init__(NAME, self.real, makedefault=True)
        self.changes: list[Change] = []
        self._refuse = refuse

    def make(self, change: Change) -> None:
        """Take note of a change that is about to be made."""
        self._refuse(change)
        self.changes.append(change)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "DiskFile":
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is not None and flags[0] & apsw.SQLITE_OPEN_CREATE and not os.path.exists(path):
            self.make(Change("create", os.path.basename(path)))
        return DiskFile(self, name, "" if path is None else os.path.basename(path), flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if os.path.exists(filename):
            self.make(Change("delete", os.path.basename(filename), lasting=bool(syncdir)))
        super().xDelete(filename, syncdir)


class DiskFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, disk: Disk, name: Any, file: str, flags: list[int]) -> None:
        super().__init__(disk.real, name, flags)
        self._disk = disk
        self._file = file
        journals = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
        self._syncs_folder = bool(flags[0] & journals and flags[0] & apsw.SQLITE_OPEN_CREATE)

    def xWrite(self, data: Any, offset: int) -> None:
        self._disk.make(Change("write", self._file, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.make(Change("truncate", self._file, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.make(Change("sync", self._file, lasting=self._syncs_folder))
        self._syncs_folder = False
        super().xSync(flags)


@contextmanager
def disk_in_place(refuse: Callable[[Change], None] = lambda _: None, real: str = "") -> Iterator[Disk]:
    """Put a disk between SQLite and the real one for connections made within the block."""
    disk = Disk(refuse, real)
    try:
        yield disk
    finally:
        disk.unregister()
