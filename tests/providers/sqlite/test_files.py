"""Database files: kept, upgraded, refused."""

import asyncio
from pathlib import Path

import apsw
import pytest

from holdfast.core.contract.codec import encode_event, encode_work_item
from holdfast.core.contract.errors import ConfigurationError, ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import START_OF_TIME, CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity, external, started
from holdfast.providers.sqlite import opening, sqlite_store
from holdfast.providers.sqlite.durability import Synchronous

LOCK = Millis(5_000)
NOW = Millis(0)


def execute(path: Path, statements: str) -> list[tuple[object, ...]]:
    """Run statements on a file as another program would."""
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(statements).fetchall()
    finally:
        connection.close()


def refusal(path: Path) -> ProviderError:
    """The one error with which a file is refused; the file is the same afterwards."""
    before = path.read_bytes()
    with pytest.raises(ProviderError) as caught:
        sqlite_store(SteppedClock(), CountingIds(), path=path)
    assert path.read_bytes() == before
    assert not caught.value.retryable
    assert str(path) in caught.value.message
    return caught.value


def test_what_a_call_stored_is_there_after_reopening(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-28.5, PV-14.4: rows, locks and attempt counts."""

    async def before() -> None:
        store = sqlite_store(clock, ids, path=path)
        provider = store.open()
        await provider.enqueue_for_worker(activity())
        assert await provider.fetch_work_item(LOCK, NOW) is not None
        await provider.close()
        store.close()

    async def after() -> None:
        store = sqlite_store(clock, ids, path=path)
        provider = store.open()
        assert await provider.fetch_work_item(LOCK, NOW) is None
        clock.advance(LOCK)
        work = await provider.fetch_work_item(LOCK, NOW)
        assert work is not None
        assert work.attempt_count == 2
        store.close()

    asyncio.run(before())
    asyncio.run(after())


def test_a_file_has_a_write_ahead_log_and_says_whose_it_is(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-30.1"""
    sqlite_store(clock, ids, path=path).close()
    assert execute(path, "PRAGMA journal_mode") == [("wal",)]
    assert execute(path, "PRAGMA application_id; PRAGMA user_version") == [
        (opening.APPLICATION_ID,),
        (opening.SCHEMA_VERSION,),
    ]


@pytest.mark.parametrize(("synchronous", "number"), [("NORMAL", 1), ("FULL", 2)])
def test_durability_is_an_option(path: Path, synchronous: Synchronous, number: int) -> None:
    """PV-30.8"""
    connection = opening.connect(str(path), synchronous, Millis(60_000))
    assert connection.pragma("synchronous") == number
    connection.close()


def test_the_clock_is_read_while_the_write_lock_is_held(path: Path, ids: CountingIds) -> None:
    """PV-30.2, PV-30.3, PV-3.6: at the moment of reading nobody else can begin to write."""
    readings: list[str] = []

    def clock() -> Millis:
        other = apsw.Connection(str(path))
        with pytest.raises(apsw.BusyError):
            other.execute("BEGIN IMMEDIATE")
        other.close()
        readings.append("under the lock")
        return START_OF_TIME

    async def body() -> None:
        provider = sqlite_store(clock, ids, path=path).open()
        await provider.enqueue_for_worker(activity())
        work = await provider.fetch_work_item(LOCK, NOW)
        assert work is not None
        await provider.renew_work_item_lock(work.token, extend_for=LOCK)
        await provider.ack_work_item(work.token)
        await provider.close()

    asyncio.run(body())
    assert len(readings) == 4


def test_a_store_that_stays_busy_is_a_retryable_error(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-30.4, PV-28.7, PV-4.5: and the call has changed nothing."""

    async def body() -> None:
        store = sqlite_store(clock, ids, path=path, busy_timeout=Millis(1))
        provider = store.open()
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ProviderError, match="BusyError") as caught:
            await provider.enqueue_for_worker(activity())
        assert caught.value.retryable
        other.execute("ROLLBACK")
        assert store.worker_rows() == []
        await provider.enqueue_for_worker(activity())
        store.close()

    asyncio.run(body())


def test_a_text_file_is_refused(path: Path) -> None:
    """No database at all."""
    path.write_text("these are notes, not a database\n" * 100)
    assert "not a SQLite database" in refusal(path).message


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    """Its tables are not ours, and they are named."""
    execute(path, "CREATE TABLE songs (title TEXT)")
    assert "songs" in refusal(path).message


def test_a_database_marked_by_another_program_is_refused(path: Path) -> None:
    """Even without a table, its header says that it is somebody's."""
    execute(path, "PRAGMA application_id = 12345")
    assert "another application" in refusal(path).message


def test_a_file_of_a_newer_version_is_refused(path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """Tables this version does not know are not touched."""
    sqlite_store(clock, ids, path=path).close()
    execute(path, f"PRAGMA user_version = {opening.SCHEMA_VERSION + 1}")
    assert "newer version" in refusal(path).message


def test_a_damaged_file_is_refused(path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """A page that holds a table's beginning is overwritten."""
    sqlite_store(clock, ids, path=path).close()
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = b"\xff" * (4096 * 2)
    path.write_bytes(content)
    assert "damaged" in refusal(path).message


def test_a_truncated_file_is_refused(path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """The first pages are whole, the rest is missing."""
    sqlite_store(clock, ids, path=path).close()
    path.write_bytes(path.read_bytes()[: 4096 * 3])
    assert "damaged" in refusal(path).message


def test_a_missing_folder_is_one_clear_error(tmp_path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """The message names the file and what to look at."""
    with pytest.raises(ProviderError, match="check the folder") as caught:
        sqlite_store(clock, ids, path=tmp_path / "nowhere" / "store.db")
    assert not caught.value.retryable


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_path_that_names_no_file_is_refused(name: str, clock: SteppedClock, ids: CountingIds) -> None:
    """Each connection would have a database of its own."""
    with pytest.raises(ConfigurationError, match="names no file"):
        sqlite_store(clock, ids, path=name)


def test_an_unknown_durability_is_refused(path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """The choices are named, and no file is made."""
    with pytest.raises(ConfigurationError, match="'NORMAL', 'FULL'"):
        sqlite_store(clock, ids, path=path, synchronous="OFF")  # type: ignore[arg-type]
    assert not path.exists()


def test_a_folder_in_place_of_a_file_is_one_clear_error(
    tmp_path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """The message names it."""
    with pytest.raises(ProviderError, match="cannot be") as caught:
        sqlite_store(clock, ids, path=tmp_path)
    assert str(tmp_path) in caught.value.message


REFERENCE = """
CREATE TABLE instances (
    instance_id TEXT PRIMARY KEY, orchestration_name TEXT NOT NULL, orchestration_version TEXT,
    current_execution_id INTEGER NOT NULL DEFAULT 1,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    parent_instance_id TEXT REFERENCES instances (instance_id));
CREATE TABLE executions (
    instance_id TEXT NOT NULL, execution_id INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'Running',
    output TEXT, started_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, completed_at TIMESTAMP,
    PRIMARY KEY (instance_id, execution_id));
CREATE TABLE history (
    instance_id TEXT NOT NULL, execution_id INTEGER NOT NULL, event_id INTEGER NOT NULL,
    event_type TEXT NOT NULL, event_data TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (instance_id, execution_id, event_id));
CREATE TABLE orchestrator_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, instance_id TEXT NOT NULL, work_item TEXT NOT NULL,
    visible_at TIMESTAMP NOT NULL, lock_token TEXT, locked_until TIMESTAMP,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE worker_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, work_item TEXT NOT NULL, lock_token TEXT, locked_until INTEGER,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE instance_locks (
    instance_id TEXT PRIMARY KEY, lock_token TEXT NOT NULL, locked_until INTEGER NOT NULL,
    locked_at INTEGER NOT NULL);
INSERT INTO instances VALUES ('i', 'Flow', '1.0.0', 1, '2020-01-02 03:04:05', '2020-01-02 03:04:06', NULL);
INSERT INTO executions VALUES ('i', 1, 'Running', NULL, '2020-01-02 03:04:05', 1577934246000);
"""


def fill_reference(path: Path) -> None:
    """A file of an early release of the reference: one running instance, one message, one activity."""
    execute(path, REFERENCE)
    connection = apsw.Connection(str(path))
    connection.execute(
        "INSERT INTO history (instance_id, execution_id, event_id, event_type, event_data)"
        " VALUES ('i', 1, 1, 'OrchestrationStarted', ?)",
        (encode_event(started()).decode(),),
    )
    connection.execute(
        "INSERT INTO orchestrator_queue (instance_id, work_item, visible_at) VALUES ('i', ?, 1577934246000)",
        (encode_work_item(external("i")).decode(),),
    )
    connection.execute(
        "INSERT INTO worker_queue (work_item) VALUES (?)", (encode_work_item(activity(7)).decode(),)
    )
    connection.close()


def test_a_database_of_the_reference_opens_in_place(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """SS-10.7, PV-30.6: items stay deliverable, histories readable, text times become milliseconds."""
    fill_reference(path)

    async def body() -> None:
        provider = sqlite_store(clock, ids, path=path).open()
        info = await provider.as_management().get_instance_info("i")
        assert (info.created_at, info.updated_at) == (1_577_934_245_000, 1_577_934_246_000)
        execution = await provider.as_management().get_execution_info("i", 1)
        assert (execution.started_at, execution.completed_at) == (1_577_934_245_000, None)
        work = await provider.fetch_session_work_item(LOCK, NOW, worker_id="A", session_lock_duration=LOCK)
        assert work is not None
        assert work.item == activity(7)
        turn = await provider.fetch_orchestration_item(LOCK, NOW)
        assert turn is not None
        assert list(turn.item.history) == [started()]
        assert list(turn.item.messages) == [external("i")]
        await provider.close()

    asyncio.run(body())
    (row,) = execute(path, "SELECT instance_id, execution_id, activity_id, session_id FROM worker_queue")
    assert row == ("i", 1, 7, None)


def test_opening_a_database_of_the_reference_twice_changes_it_once(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-28.11"""
    fill_reference(path)
    sqlite_store(clock, ids, path=path).close()
    schema = execute(path, "SELECT name, sql FROM sqlite_schema ORDER BY name")
    sqlite_store(clock, ids, path=path).close()
    assert execute(path, "SELECT name, sql FROM sqlite_schema ORDER BY name") == schema


VERSION_1 = """
DROP INDEX idx_orch_ready; DROP INDEX idx_orch_behind;
DROP INDEX idx_worker_ready; DROP INDEX idx_worker_ready_any;
DROP INDEX idx_worker_expiry; DROP INDEX idx_worker_delayed; DROP INDEX idx_instance_locks_until;
DROP TRIGGER session_attached_first; DROP TRIGGER session_attached;
DROP TRIGGER session_extended; DROP TRIGGER session_ended; DROP TABLE session_holds;
ALTER TABLE orchestrator_queue DROP COLUMN behind;
ALTER TABLE worker_queue DROP COLUMN holder;
ALTER TABLE worker_queue DROP COLUMN waits;
PRAGMA user_version = 1;
"""


def test_pv_28_11_a_file_of_version_1_gets_what_it_lacks(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """Free, delayed, locked and session-bound items and a locked instance are what they were."""

    async def before() -> None:
        store = sqlite_store(clock, ids, path=path)
        provider = store.open()
        for number in range(1, 4):
            await provider.enqueue_for_worker(activity(number))
        await provider.enqueue_for_worker(activity(4, session="s"))
        await provider.enqueue_for_worker(activity(5, session="s"))
        first = await provider.fetch_work_item(LOCK, NOW)
        second = await provider.fetch_work_item(LOCK, NOW)
        third = await provider.fetch_work_item(LOCK, NOW)
        assert first is not None and second is not None and third is not None
        await provider.abandon_work_item(first.token)
        await provider.abandon_work_item(second.token, delay=Millis(50))
        await provider.append_with_execution("i", 1, [started()])
        await provider.enqueue_for_orchestrator(external("i"))
        assert await provider.fetch_orchestration_item(LOCK, NOW) is not None
        await provider.enqueue_for_orchestrator(external("i"))
        await provider.close()
        store.close()

    async def claim(worker: str, *, claim_new: bool) -> int | None:
        work = await provider.fetch_session_work_item(
            LOCK, NOW, worker_id=worker, session_lock_duration=LOCK, claim_new=claim_new
        )
        return None if work is None else work.item.id

    async def after() -> None:
        assert [await claim("A", claim_new=new) for new in (True, False, True)] == [1, None, 4]
        assert [await claim("A", claim_new=False), await claim("B", claim_new=True)] == [5, None]
        clock.advance(Millis(50))
        assert await claim("B", claim_new=False) == 2
        assert await provider.fetch_orchestration_item(LOCK, NOW) is None
        clock.advance(LOCK)
        assert await claim("B", claim_new=False) == 1
        turn = await provider.fetch_orchestration_item(LOCK, NOW)
        assert turn is not None
        assert len(turn.item.messages) == 2

    asyncio.run(before())
    execute(path, VERSION_1)
    store = sqlite_store(clock, ids, path=path)
    provider = store.open()
    asyncio.run(after())
    store.close()
    assert execute(path, "PRAGMA user_version") == [(opening.SCHEMA_VERSION,)]
