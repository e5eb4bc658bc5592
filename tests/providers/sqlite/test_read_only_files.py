"""Files and folders that can only be read, in a process that the permissions bind."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from tests.providers.sqlite.disk import Change, disk_in_place
from tests.providers.sqlite.test_files import execute

from holdfast.core.contract.errors import ProviderError
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import sqlite_store

Spawn = Callable[..., "subprocess.Popen[str]"]

OPEN = """
import ctypes, sys
class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
class Data(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]
if sys.platform == "linux":  # root without its privileges is bound by permissions like anybody
    assert ctypes.CDLL(None).capset(ctypes.byref(Header(0x20080522, 0)), (Data * 2)()) == 0
import logging
from holdfast.core.contract.errors import ProviderError
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.sqlite import sqlite_store
try:
    sqlite_store(SteppedClock(), CountingIds(), path=sys.argv[1]).close()
except ProviderError as error:
    print(error.retryable, error.message)
else:
    print("opened")
"""


def file_not_writable(path: Path) -> None:
    path.chmod(0o444)


def file_not_readable(path: Path) -> None:
    path.chmod(0)


def folder_not_writable(path: Path) -> None:
    path.parent.chmod(0o555)


def folder_not_passable(path: Path) -> None:
    path.parent.chmod(0)


def folder_not_writable_and_no_file(path: Path) -> None:
    path.unlink()
    path.parent.chmod(0o555)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that can be removed at the end."""
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    folder.chmod(0o755)


@pytest.mark.parametrize(
    ("forbid", "what"),
    [
        (file_not_writable, "can only be read"),
        (file_not_readable, "cannot be opened"),
        (folder_not_writable, "create files beside it"),
        (folder_not_passable, "check the folder"),
        (folder_not_writable_and_no_file, "check the folder"),
    ],
)
@pytest.mark.parametrize("log", [True, False])
def test_a_store_that_must_not_be_written_is_refused_and_left_as_it_was(
    forbid: Callable[[Path], None], what: str, log: bool, folder: Path, spawn: Spawn
) -> None:
    """PV-4.6: a permanent error that names the file and what to look at."""
    path = folder / "store.db"
    sqlite_store(SteppedClock(), CountingIds(), path=path).close()
    if not log:
        execute(path, "PRAGMA journal_mode = delete")
    before = path.read_bytes()
    forbid(path)
    child = spawn(OPEN, path)
    said, _ = child.communicate()
    folder.chmod(0o755)
    assert said.startswith(f"False {path} "), said
    assert what in said
    assert not path.exists() or path.read_bytes() == before
    assert {each.name for each in folder.iterdir()} <= {"store.db"}


class OnlyToRead(apsw.VFS):
    """A file system that is mounted for reading: whatever is opened can only be read."""

    def __init__(self) -> None:
        self._real = apsw.vfs_names()[0]
        super().__init__("only to read", self._real, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        changing = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        flags[0] = flags[0] & ~changing | apsw.SQLITE_OPEN_READONLY
        return apsw.VFSFile(self._real, name, flags)


@pytest.mark.parametrize("log", [True, False])
def test_a_store_on_a_file_system_that_can_only_be_read_is_refused(
    log: bool, path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-4.6"""
    sqlite_store(clock, ids, path=path).close()
    if not log:
        execute(path, "PRAGMA journal_mode = delete")
    before = path.read_bytes()
    vfs = OnlyToRead()
    try:
        with pytest.raises(ProviderError, match=r"can only be read.*mounted") as caught:
            sqlite_store(clock, ids, path=path)
    finally:
        vfs.unregister()
    assert not caught.value.retryable
    assert str(path) in caught.value.message
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "error", "retryable"),
    [
        ("write", apsw.ReadOnlyError, False),
        ("write", apsw.IOError, True),
        ("write", apsw.FullError, True),
        ("sync", apsw.IOError, True),
    ],
)
def test_a_disk_that_begins_to_fail_is_told_by_each_call_and_logged_once(
    kind: str,
    error: type[Exception],
    retryable: bool,
    path: Path,
    clock: SteppedClock,
    ids: CountingIds,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """PV-4.5, PV-4.7: what was stored can be read, nothing is half stored, and it may work again."""
    broken = False

    def refuse(change: Change) -> None:
        if broken and change.kind == kind:
            raise error("made for this test")

    async def body() -> None:
        nonlocal broken
        store = sqlite_store(clock, ids, path=path, synchronous="FULL")
        provider = store.open()
        await provider.enqueue_for_worker(activity(1))
        broken = True
        for _ in range(3):
            with pytest.raises(ProviderError) as caught:
                await provider.enqueue_for_worker(activity(2))
            assert str(path) in caught.value.message
            assert caught.value.retryable is retryable
        (told,) = [each.getMessage() for each in caplog.records]
        assert str(path) in told
        assert len(store.worker_rows()) == 1
        broken = False
        await provider.enqueue_for_worker(activity(3))
        assert len(store.worker_rows()) == 2
        store.close()

    with disk_in_place(refuse):
        asyncio.run(body())


@pytest.mark.parametrize("kind", ["write", "sync", "truncate", "delete"])
def test_a_log_that_cannot_be_copied_at_the_end_is_no_loss(
    kind: str, path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-28.5: closing does not fail for it, and the log is there for the next."""
    broken = False

    def refuse(change: Change) -> None:
        if broken and change.kind == kind:
            raise apsw.IOError("made for this test")

    with disk_in_place(refuse):
        store = sqlite_store(clock, ids, path=path)
        asyncio.run(store.open().enqueue_for_worker(activity(1)))
        broken = True
        store.close()
    again = sqlite_store(clock, ids, path=path)
    assert len(again.worker_rows()) == 1
    again.close()
