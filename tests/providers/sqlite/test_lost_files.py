"""A file that is taken away, replaced or cut while a store has it open: told, never written to unseen."""

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import SqliteProvider, SqliteStore, sqlite_store
from holdfast.providers.sqlite.store_file import LOG_LOOK_EVERY

LOCK = Millis(5_000)
NOW = Millis(0)

LOGGER = "holdfast.providers.sqlite"


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What an operator was told so far."""
    caplog.set_level(logging.WARNING, LOGGER)
    return lambda: [record.getMessage() for record in caplog.records if record.name == LOGGER]


def refused(call: Callable[[], Awaitable[object]], path: Path, what: str) -> None:
    """A call fails with an error that may be retried, names the file and says what happened."""

    async def body() -> None:
        with pytest.raises(ProviderError, match=what) as caught:
            await call()
        assert caught.value.retryable, "the call is not at fault, and no instance may fail for it"
        assert str(path) in caught.value.message

    asyncio.run(body())


def filled(path: Path, clock: SteppedClock, ids: CountingIds) -> tuple[SqliteStore, SqliteProvider]:
    """A store in a file that has some pages, and a provider that has used it."""
    store = sqlite_store(clock, ids, path=path)
    provider = store.open()

    async def fill() -> None:
        for number in range(20):
            await provider.enqueue_for_worker(activity(number))

    asyncio.run(fill())
    return store, provider


def checkpoint(path: Path) -> None:
    """Copy the log into the file, as another program would."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def delete(path: Path) -> None:
    path.unlink()


def move_away(path: Path) -> None:
    path.rename(beside(path, ".old"))


def replace_by_a_copy(path: Path) -> None:
    shutil.copyfile(path, beside(path, ".copy"))
    beside(path, ".copy").replace(path)


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_another_store(path: Path) -> None:
    sqlite_store(SteppedClock(), CountingIds(), path=beside(path, ".new")).close()
    beside(path, ".new").replace(path)


def empty(path: Path) -> None:
    checkpoint(path)
    os.truncate(path, 0)


def cut_to_one_page(path: Path) -> None:
    checkpoint(path)
    os.truncate(path, 4096)


def cut_the_last_page(path: Path) -> None:
    checkpoint(path)
    os.truncate(path, path.stat().st_size - 4096)


def move_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


MISFORTUNES = [
    (delete, "is gone"),
    (move_away, "is gone"),
    (move_the_folder, "is gone"),
    (replace_by_a_copy, "replaced"),
    (replace_by_a_folder, "replaced"),
    (replace_by_another_store, "replaced"),
    (empty, "was cut"),
    (cut_to_one_page, "was cut"),
    (cut_the_last_page, "was cut"),
]


@pytest.mark.parametrize(("misfortune", "what"), MISFORTUNES, ids=lambda each: getattr(each, "__name__", ""))
def test_every_call_on_a_lost_file_is_refused_and_it_is_logged_once(
    misfortune: Callable[[Path], None],
    what: str,
    tmp_path: Path,
    clock: SteppedClock,
    ids: CountingIds,
    errors: Callable[[], list[str]],
) -> None:
    """PV-4.5, PV-28.5: reads, writes, fetches, inspection, further providers; then it can be closed."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "store.db"
    store, provider = filled(path, clock, ids)
    misfortune(path)
    refused(lambda: provider.enqueue_for_worker(activity()), path, what)
    refused(lambda: provider.fetch_work_item(LOCK, NOW), path, what)
    refused(lambda: provider.fetch_orchestration_item(LOCK, NOW), path, what)
    refused(lambda: provider.get_custom_status("i", 0), path, what)
    refused(lambda: provider.as_management().list_instances(), path, what)
    with pytest.raises(ProviderError, match=what):
        store.worker_rows()
    with pytest.raises(ProviderError, match=what):
        store.open()
    (told,) = errors()
    assert str(path) in told
    store.close()


def test_no_new_file_appears_where_one_was_deleted(path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """Not by a call, not by opening another provider."""
    store, provider = filled(path, clock, ids)
    path.unlink()
    refused(lambda: provider.enqueue_for_worker(activity()), path, "is gone")
    with pytest.raises(ProviderError, match="is gone"):
        store.open()
    assert not path.exists()
    store.close()
    assert not path.exists()


def test_a_file_that_comes_back_works_again_and_that_is_logged(
    path: Path, clock: SteppedClock, ids: CountingIds, errors: Callable[[], list[str]]
) -> None:
    """Moved away and back: the same file, and nothing is missing in it."""
    store, provider = filled(path, clock, ids)
    away = beside(path, ".away")
    path.rename(away)
    refused(lambda: provider.enqueue_for_worker(activity()), path, "is gone")
    away.rename(path)
    asyncio.run(provider.enqueue_for_worker(activity()))
    assert len(store.worker_rows()) == 21
    path.rename(away)
    refused(lambda: provider.enqueue_for_worker(activity()), path, "is gone")
    gone, back, gone_again = errors()
    assert "is back" in back
    assert gone == gone_again
    away.rename(path)
    store.close()


def test_closing_leaves_the_log_of_a_file_that_took_the_name(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """The last connection deletes its log by name, and by then that is the log of another database."""
    store, _ = filled(path, clock, ids)
    for suffix in ("", "-wal", "-shm"):
        beside(path, suffix).unlink()
    successor = sqlite_store(SteppedClock(), CountingIds(), path=path)
    asyncio.run(successor.open().enqueue_for_worker(activity(99)))
    log = beside(path, "-wal").stat()
    assert log.st_size > 0
    store.close()
    assert beside(path, "-wal").stat().st_ino == log.st_ino
    other = apsw.Connection(str(path))
    assert other.execute("SELECT count(*) FROM worker_queue").get == 1
    other.close()
    successor.close()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_that_was_deleted_is_told_and_closing_saves_what_it_held(
    suffix: str, path: Path, clock: SteppedClock, ids: CountingIds, errors: Callable[[], list[str]]
) -> None:
    """PV-28.5: others would begin a log of their own, and each side's commits would be lost to the other."""
    store, provider = filled(path, clock, ids)
    beside(path, suffix).unlink()
    clock.advance(LOG_LOOK_EVERY)
    refused(lambda: provider.enqueue_for_worker(activity()), path, f"write-ahead log.*{suffix} is gone")
    refused(lambda: provider.fetch_work_item(LOCK, NOW), path, f"{suffix} is gone")
    assert len(errors()) == 1
    store.close()
    again = sqlite_store(clock, ids, path=path)
    assert len(again.worker_rows()) == 20
    again.close()


def test_a_link_that_leads_elsewhere_is_a_replaced_file(
    tmp_path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """A deployment that turns `current` over while the process runs."""
    for name in ("one.db", "two.db"):
        sqlite_store(SteppedClock(), CountingIds(), path=tmp_path / name).close()
    link = tmp_path / "current.db"
    link.symlink_to("one.db")
    store = sqlite_store(clock, ids, path=link)
    provider = store.open()
    asyncio.run(provider.enqueue_for_worker(activity()))
    link.unlink()
    link.symlink_to("two.db")
    refused(lambda: provider.enqueue_for_worker(activity()), link, "replaced")
    store.close()


def test_a_vacuum_by_another_program_is_no_loss(
    path: Path, clock: SteppedClock, ids: CountingIds, errors: Callable[[], list[str]]
) -> None:
    """A file may become smaller and still be whole."""
    store, provider = filled(path, clock, ids)

    async def fill_and_clear() -> None:
        for number in range(200):
            await provider.enqueue_for_worker(activity(number, input="x" * 4_000))
        while (work := await provider.fetch_work_item(LOCK, NOW)) is not None:
            await provider.ack_work_item(work.token)

    asyncio.run(fill_and_clear())
    checkpoint(path)
    before = path.stat().st_size
    asyncio.run(provider.enqueue_for_worker(activity(1)))
    other = apsw.Connection(str(path))
    other.execute("VACUUM")
    other.close()
    checkpoint(path)
    assert path.stat().st_size < before
    asyncio.run(provider.enqueue_for_worker(activity(2)))
    assert len(store.worker_rows()) == 2
    assert errors() == []
    store.close()


def test_a_relative_path_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SteppedClock, ids: CountingIds
) -> None:
    """Providers that are opened later use the same file, and errors name it in full."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = sqlite_store(clock, ids, path="store.db")
    monkeypatch.chdir(tmp_path / "there")
    provider = store.open()
    asyncio.run(provider.enqueue_for_worker(activity()))
    assert len(store.worker_rows()) == 1
    assert list((tmp_path / "there").iterdir()) == []
    path = tmp_path / "here" / "store.db"
    path.rename(tmp_path / "there" / "store.db")
    refused(lambda: provider.enqueue_for_worker(activity()), path, "is gone")
    store.close()


@pytest.mark.parametrize("in_file", [True, False])
def test_a_forked_process_is_told_to_open_the_store_itself(
    in_file: bool, path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """A connection does not survive a fork, and its thread is not there: a call would wait for ever."""
    store = sqlite_store(clock, ids, path=path if in_file else None)
    provider = store.open()
    asyncio.run(provider.enqueue_for_worker(activity()))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = []
        for call in (
            lambda: asyncio.run(provider.enqueue_for_worker(activity())),
            lambda: asyncio.run(provider.get_custom_status("i", 0)),
            store.worker_rows,
            store.open,
        ):
            try:
                call()
                said.append("worked")
            except ProviderError as error:
                said.append(f"{'forked' in error.message} {error.retryable}")
        asyncio.run(provider.close())
        store.close()
        os.write(writing, "\n".join(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        assert answers.read().splitlines() == ["True False"] * 4
    assert os.waitpid(child, 0)[1] == 0
    asyncio.run(provider.enqueue_for_worker(activity()))
    assert len(store.worker_rows()) == 2
    store.close()


def test_a_fetch_that_waits_hears_of_it(path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """PV-23.6: within the pace at which it looks for work of other processes, not after its whole wait."""
    store = sqlite_store(clock, ids, path=path)

    async def body() -> None:
        provider = store.open()
        fetch = asyncio.ensure_future(provider.fetch_work_item(LOCK, Millis(3_600_000)))
        while not any(kind.parked for kind in store._waiters._kinds.values()):
            await asyncio.sleep(0.001)
        path.unlink()
        with pytest.raises(ProviderError, match="is gone"):
            await fetch
        await provider.close()

    asyncio.run(body())
    store.close()
