"""How calls run: inline in one step, on a thread, contended, cancelled half-way, and what they log."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.contract.provider import ExecutionMetadata
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import (
    activity,
    completed,
    external,
    named,
    queued,
    session,
    start,
    started,
)
from holdfast.providers.sqlite import SqliteProvider, SqliteStore, calls, sqlite_store
from holdfast.providers.sqlite.database import CONTENTION_ATTEMPTS, Database, Transaction
from holdfast.providers.sqlite.memory_image import give_back, take_connection

LOCK = Millis(5_000)
NOW = Millis(0)


class Recorder:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[LocalEvent] = []

    def notify(self, event: LocalEvent) -> None:
        self.events.append(event)

    def logged(self) -> list[tuple[str, dict[str, object]]]:
        return [(each.event, each.fields) for each in self.events if isinstance(each, Logged)]


class InlineLoop(asyncio.SelectorEventLoop):
    """A loop as the simulator's: what is handed to an executor runs at once."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def one_step(call: Coroutine[Any, Any, Any]) -> Any:
    """Drive a call with a single send; it must not wait for anything."""
    try:
        awaited = call.send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError(f"the call waits for {awaited!r}")


async def every_call(provider: SqliteProvider, drive: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Use each method of the contract once or more, with `drive`."""
    drive(provider.enqueue_for_orchestrator(start("i")))
    turn = drive(provider.fetch_orchestration_item(LOCK, NOW))
    drive(provider.renew_orchestration_item_lock(turn.token, extend_for=LOCK))
    drive(provider.abandon_orchestration_item(turn.token))
    turn = drive(provider.fetch_orchestration_item(LOCK, NOW))
    drive(
        provider.ack_orchestration_item(
            turn.token,
            execution_id=1,
            history_delta=[started()],
            worker_items=[activity(2, session="s"), activity(3), activity(4)],
            orchestrator_items=[external("j")],
            metadata=ExecutionMetadata(
                orchestration_name="Flow", orchestration_version="1.0.0", opened_sessions=[session("s")]
            ),
            cancelled_activities=[named(4)],
        )
    )
    bound = drive(provider.fetch_session_work_item(LOCK, NOW, worker_id="A", session_lock_duration=LOCK))
    drive(provider.renew_work_item_lock(bound.token, extend_for=LOCK))
    drive(provider.renew_session_lock("i", "s", "A", extend_for=LOCK))
    drive(provider.release_session_lock("i", "s", "A"))
    drive(provider.ack_work_item(bound.token, completed("i", 2)))
    plain = drive(provider.fetch_work_item(LOCK, NOW))
    drive(provider.abandon_work_item(plain.token))
    drive(provider.enqueue_for_worker(activity(5)))
    drive(provider.append_with_execution("k", 1, [started()]))
    assert drive(provider.read("i")) == drive(provider.read_with_execution("i", 1)) == [started()]
    assert drive(provider.get_custom_status("i", 0)) is None
    assert drive(provider.get_kv_value("i", "k")) is None
    assert drive(provider.get_kv_all_values("i")) == {}
    assert drive(provider.as_management().list_instances()) == ["i"]


def test_each_call_ends_in_one_step_where_blocking_calls_run_inline(memory: SqliteStore) -> None:
    """Design idea 1, PV-23.1: and no executor is made for it."""
    loop = InlineLoop()
    provider = memory.open()
    loop.run_until_complete(every_call(provider, one_step))
    assert provider._calls._database.thread._made == {}
    loop.run_until_complete(provider.close())
    loop.close()


def test_calls_of_several_loops_do_not_meet_inside_a_transaction(memory: SqliteStore) -> None:
    """PV-1.8, PV-30.7, PV-28.3: one in-memory connection, four threads with loops of their own."""
    number_of_items = 60

    async def fill() -> None:
        for number in range(number_of_items):
            await memory.open().enqueue_for_worker(activity(number))

    async def work() -> list[int]:
        provider = memory.open()
        done = []
        while (taken := await provider.fetch_work_item(LOCK, NOW)) is not None:
            await provider.ack_work_item(taken.token)
            done.append(taken.item.id)
        return done

    asyncio.run(fill())
    with ThreadPoolExecutor(4) as threads:
        shares = list(threads.map(lambda _: asyncio.run(work()), range(4)))
    assert sorted(itertools.chain(*shares)) == list(range(number_of_items))
    assert memory.worker_rows() == []


@pytest.mark.parametrize("queue", ["worker", "orchestrator"])
def test_a_cancelled_fetch_gives_back_what_it_took(
    queue: str, path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-23.9: the caller leaves while the thread is inside the transaction; the attempt is not counted."""
    inside, go_on = threading.Event(), threading.Event()
    go_on.set()

    def slow_clock() -> Millis:
        inside.set()
        go_on.wait()
        return clock()

    store = sqlite_store(slow_clock, ids, path=path)

    async def body() -> None:
        provider = store.open()
        await provider.enqueue_for_worker(activity())
        await provider.enqueue_for_orchestrator(start("i"))
        fetch = provider.fetch_work_item if queue == "worker" else provider.fetch_orchestration_item
        inside.clear()
        go_on.clear()
        task = asyncio.ensure_future(fetch(LOCK, NOW))
        await asyncio.to_thread(inside.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        again = await fetch(LOCK, NOW)
        assert again is not None
        assert again.attempt_count == 1

    asyncio.run(body())
    store.close()


def test_a_busy_store_is_tried_again_and_nothing_is_done_twice(clock: SteppedClock, ids: CountingIds) -> None:
    """PV-28.7: each attempt is a transaction of its own, and only the last one's log counts."""
    database = Database(take_connection(), clock, ids)
    attempts: list[int] = []

    def effect(transaction: Transaction) -> int:
        attempts.append(1)
        transaction.execute("INSERT INTO sessions (instance_id, session_id) VALUES ('i', 's')")
        transaction.tell("tried", "info")
        if len(attempts) < CONTENTION_ATTEMPTS:
            raise apsw.BusyError("somebody else")
        return len(attempts)

    log: list[Logged] = []
    assert database.write("test", log, effect) == CONTENTION_ATTEMPTS
    assert len(log) == 1
    assert database.connection.execute("SELECT count(*) FROM sessions").get == 1
    give_back(database.connection)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (apsw.BusyError, True),
        (apsw.LockedError, True),
        (apsw.FullError, True),
        (apsw.IOError, True),
        (apsw.InterruptError, True),
        (apsw.ConstraintError, False),
        (apsw.CorruptError, False),
        (apsw.NotADBError, False),
        (OverflowError, False),
    ],
)
def test_storage_errors_have_the_class_of_the_contract(
    error: type[Exception], retryable: bool, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-4.5, PV-4.6, PV-30.4: and the transaction is rolled back."""
    database = Database(take_connection(), clock, ids)

    def effect(transaction: Transaction) -> None:
        transaction.execute("INSERT INTO sessions (instance_id, session_id) VALUES ('i', 's')")
        raise error("made for this test")

    with pytest.raises(ProviderError) as caught:
        database.write("ack_work_item", [], effect)
    assert caught.value.operation == "ack_work_item"
    assert caught.value.retryable is retryable
    assert database.connection.execute("SELECT count(*) FROM sessions").get == 0
    assert not database.connection.in_transaction
    give_back(database.connection)


def test_claims_and_migrations_are_logged_once_they_are_committed(
    memory: SqliteStore, clock: SteppedClock
) -> None:
    """SS-22.3, SS-22.4: fetching again from one's own live session is neither."""
    heard = Recorder()

    async def claim(worker: str) -> LockToken:
        work = await memory.open(heard).fetch_session_work_item(
            LOCK, NOW, worker_id=worker, session_lock_duration=LOCK
        )
        assert work is not None
        return work.token

    async def body() -> None:
        for number in range(3):
            await memory.open().enqueue_for_worker(activity(number, session="s"))
        await claim("A")
        await claim("A")
        clock.advance(LOCK)
        await claim("B")

    asyncio.run(body())
    session_of = {"instance_id": "i", "session_id": "s"}
    assert heard.logged() == [
        ("session.claimed", {**session_of, "worker_id": "A"}),
        ("session.claimed", {**session_of, "worker_id": "B"}),
        ("session.migrated", {**session_of, "worker_id": "B", "previous_worker_id": "A"}),
    ]


def test_what_is_dropped_or_set_aside_is_logged(memory: SqliteStore) -> None:
    """PV-7.13, PV-14.9"""
    heard = Recorder()

    async def body() -> None:
        provider = memory.open(heard)
        await provider.enqueue_for_orchestrator(queued("nobody"))
        await provider.enqueue_for_orchestrator(queued("nobody"))
        await provider.enqueue_for_worker(activity(1))
        await provider.enqueue_for_worker(activity(2))
        memory.corrupt_worker_row("i")
        assert await provider.fetch_orchestration_item(LOCK, NOW) is None
        work = await provider.fetch_work_item(LOCK, NOW)
        assert work is not None
        assert work.item.id == 2

    asyncio.run(body())
    dropped, set_aside = heard.logged()
    assert dropped == ("orphan queue messages dropped", {"instance_id": "nobody", "count": 2})
    assert (set_aside[0], set_aside[1]["seq"]) == ("undecodable worker row set aside", 1)
    first, _ = memory.worker_rows()
    assert (first.seq, first.item, first.attempt_count) == (1, None, 0)


def test_a_reader_is_not_kept_waiting_by_a_writer(path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """PV-16.5, PV-19.10: with a write-ahead log a read sees the last commit."""

    async def body() -> None:
        store = sqlite_store(clock, ids, path=path, busy_timeout=NOW)
        provider = store.open()
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        assert await provider.get_custom_status("i", 0) is None
        assert await provider.as_management().list_instances() == []
        other.close(True)
        store.close()

    asyncio.run(body())


def test_pv_28_9_brief_calls_in_memory_need_no_thread_and_long_ones_get_it(
    memory: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done to one item is done at once; when such a call was long, the next ones go to the thread."""

    async def body() -> None:
        provider = memory.open()
        thread = provider._calls._database.thread
        await provider.enqueue_for_worker(activity())
        assert await provider.fetch_work_item(LOCK, NOW) is not None
        assert thread._made == {}
        monkeypatch.setattr(calls, "LONG_S", -1.0)
        await provider.enqueue_for_worker(activity(2))
        monkeypatch.undo()
        assert thread._made == {}
        await provider.enqueue_for_worker(activity(3))
        assert thread._made
        await provider.as_management().list_instances()
        assert [row.seq for row in memory.worker_rows()] == [1, 2, 3]

    asyncio.run(body())


def test_pv_1_8_a_brief_call_waits_on_the_thread_for_the_one_that_runs(memory: SqliteStore) -> None:
    """Two loops: while one is in the middle of a call, the other's does not enter it."""
    inside, go_on = threading.Event(), threading.Event()

    async def long(provider: SqliteProvider) -> None:
        def effect(transaction: Transaction) -> None:
            transaction.execute("INSERT INTO sessions (instance_id, session_id) VALUES ('i', 's')")
            inside.set()
            go_on.wait()

        await provider._calls.write("prune_executions", effect)

    async def brief(provider: SqliteProvider) -> int:
        task = asyncio.ensure_future(provider.enqueue_for_worker(activity()))
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        await task
        return len(memory.session_records())

    with ThreadPoolExecutor(1) as other:
        running = other.submit(lambda: asyncio.run(long(memory.open())))
        inside.wait()
        assert asyncio.run(brief(memory.open())) == 1
        running.result()
