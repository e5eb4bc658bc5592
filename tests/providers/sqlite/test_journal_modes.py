"""The write-ahead log is looked for after it was asked for; without it promises are kept by other means."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apsw
import pytest
from tests.providers.sqlite.test_files import execute

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import SqliteStore, sqlite_store
from holdfast.providers.sqlite.durability import Synchronous

LOGGER = "holdfast.providers.sqlite"
NUMBERS = {"NORMAL": 1, "FULL": 2, "EXTRA": 3}


@contextmanager
def no_shared_memory() -> Iterator[None]:
    """The default VFS is one whose files have no shared memory, as on a network file system."""
    vfs = apsw.VFS("without shared memory", "unix-dotfile", makedefault=True)
    try:
        yield
    finally:
        vfs.unregister()


@contextmanager
def index_that_cannot_be_made(path: Path) -> Iterator[None]:
    """The file of the shared index is a link that leads nowhere, which SQLite does not follow."""
    path.with_name(path.name + "-shm").symlink_to("/nowhere/at/all")
    yield


@contextmanager
def index_that_cannot_be_written(path: Path) -> Iterator[None]:
    """A folder stands where the file of the shared index belongs; SQLite opens it for reading."""
    path.with_name(path.name + "-shm").mkdir()
    yield


Without = Callable[[Path], AbstractContextManager[None]]

WITHOUT: list[Without] = [
    lambda _: no_shared_memory(),
    index_that_cannot_be_made,
    index_that_cannot_be_written,
]


def pragma(store: SqliteStore, name: str) -> object:
    return store._own.connection.pragma(name)


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == LOGGER and each.levelno == level]


@pytest.mark.parametrize("without", WITHOUT, ids=["VFS", "no index", "index only read"])
@pytest.mark.parametrize(("level", "syncs"), [("NORMAL", "FULL"), ("FULL", "EXTRA")])
def test_without_a_log_the_levels_keep_their_promises_and_it_is_logged_once(
    without: Without,
    level: Synchronous,
    syncs: str,
    path: Path,
    clock: SteppedClock,
    ids: CountingIds,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """PV-30.1, PV-30.8: and the store works as any other."""
    caplog.set_level(logging.WARNING, LOGGER)
    with without(path):
        store = sqlite_store(clock, ids, path=path, synchronous=level)
        first, second = store.open(), store.open()
        assert pragma(store, "journal_mode") == "delete"
        assert pragma(store, "synchronous") == NUMBERS[syncs]

        async def body() -> None:
            await first.enqueue_for_worker(activity(1))
            work = await second.fetch_work_item(Millis(5_000), Millis(0))
            assert work is not None
            await second.ack_work_item(work.token)
            await first.close()
            await second.close()

        asyncio.run(body())
        assert store.worker_rows() == []
        store.close()
    (told,) = messages(caplog, logging.WARNING)
    assert str(path) in told
    assert syncs in told


@pytest.mark.parametrize("level", ["NORMAL", "FULL"])
def test_with_a_log_nothing_is_warned_of_and_what_was_got_is_said(
    level: Synchronous, path: Path, clock: SteppedClock, ids: CountingIds, caplog: pytest.LogCaptureFixture
) -> None:
    """PV-30.8: at info for the store, at debug for each provider."""
    caplog.set_level(logging.DEBUG, LOGGER)
    store = sqlite_store(clock, ids, path=path, synchronous=level)
    store.open()
    assert pragma(store, "journal_mode") == "wal"
    assert pragma(store, "synchronous") == NUMBERS[level]
    store.close()
    (of_the_store,), (of_a_provider,) = messages(caplog, logging.INFO), messages(caplog, logging.DEBUG)
    assert of_the_store == of_a_provider
    assert f"{path} is open: durability {level}, journal mode wal, synchronous {level}" in of_the_store
    assert messages(caplog, logging.WARNING) == []


def test_a_file_that_got_its_log_elsewhere_is_refused_where_there_is_none(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """Others may have it open with its log; the error says what is missing."""
    sqlite_store(clock, ids, path=path).close()
    before = path.read_bytes()
    with no_shared_memory(), pytest.raises(ProviderError, match="shared memory") as caught:
        sqlite_store(clock, ids, path=path)
    assert str(path) in caught.value.message
    assert path.read_bytes() == before


def test_a_file_whose_log_was_switched_off_by_hand_gets_it_again(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-30.1"""
    sqlite_store(clock, ids, path=path).close()
    assert execute(path, "PRAGMA journal_mode = delete") == [("delete",)]
    store = sqlite_store(clock, ids, path=path)
    assert pragma(store, "journal_mode") == "wal"
    store.close()


def test_the_log_is_had_although_others_read_the_file_for_a_while(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """Two stores on one new file, in one process."""
    first = sqlite_store(clock, ids, path=path)
    second = sqlite_store(clock, ids, path=path)
    asyncio.run(first.open().enqueue_for_worker(activity()))
    assert len(second.worker_rows()) == 1
    first.close()
    assert len(second.worker_rows()) == 1
    second.close()
