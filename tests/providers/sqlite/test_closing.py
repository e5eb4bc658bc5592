"""Closing waits no longer than its timeout, whatever its calls wait for or do."""

import asyncio
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import SqliteProvider, SqliteStore, sqlite_store

FAR_TOO_LONG = 60
"""Seconds: the default busy timeout, which a closing must not wait out."""

ENDLESS = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n"


def retryable(result: object) -> bool:
    return isinstance(result, ProviderError) and result.retryable


async def in_time(call: Callable[[], Any]) -> None:
    """A closing ends before the lock does: the test would find `FAR_TOO_LONG` broken by its own timeout."""
    async with asyncio.timeout(FAR_TOO_LONG / 2):
        await call()


async def close_provider(_: SqliteStore, provider: SqliteProvider) -> None:
    await provider.close()


async def close_store(store: SqliteStore, _: SqliteProvider) -> None:
    await asyncio.to_thread(store.close)


@pytest.fixture
def store(path: Path, clock: SteppedClock, ids: CountingIds) -> SqliteStore:
    return sqlite_store(clock, ids, path=path, close_timeout=Millis(50))


@pytest.mark.parametrize("close", [close_provider, close_store])
@pytest.mark.parametrize("calls", [1, 5])
def test_calls_that_wait_for_another_process_are_broken_off(
    close: Callable[[SqliteStore, SqliteProvider], Any], calls: int, store: SqliteStore, path: Path
) -> None:
    """PV-28.12: each of them fails with an error that may be retried, and nothing was stored."""

    async def body() -> None:
        provider = store.open()
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.ensure_future(provider.enqueue_for_worker(activity(n))) for n in range(calls)]
        await asyncio.sleep(0)
        await in_time(lambda: close(store, provider))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(map(retryable, results)), results
        with pytest.raises(ProviderError, match="closed"):
            await provider.enqueue_for_worker(activity())
        other.execute("ROLLBACK")
        assert other.execute("SELECT count(*) FROM worker_queue").get == 0
        other.close()
        store.close()

    asyncio.run(body())


@pytest.mark.parametrize("close", [close_provider, close_store])
def test_a_statement_that_does_not_end_is_interrupted(
    close: Callable[[SqliteStore, SqliteProvider], Any], store: SqliteStore
) -> None:
    """A query in the middle of a large table looks the same from outside."""

    async def body() -> None:
        provider = store.open()
        begun = threading.Event()

        def endless(connection: apsw.Connection) -> None:
            begun.set()
            for _ in range(3):  # each interrupt ends one statement
                try:
                    connection.execute(ENDLESS).fetchall()
                except apsw.InterruptError:
                    continue
            connection.execute(ENDLESS).fetchall()

        call = asyncio.ensure_future(provider._calls.read("read", endless))
        await asyncio.to_thread(begun.wait)
        await in_time(lambda: close(store, provider))
        (result,) = await asyncio.gather(call, return_exceptions=True)
        assert retryable(result)
        store.close()

    asyncio.run(body())


@pytest.mark.parametrize("close", [close_provider, close_store])
def test_a_call_that_nothing_can_end_is_left_behind_and_logged(
    close: Callable[[SqliteStore, SqliteProvider], Any], store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that does not answer; the connection is closed when the call does end."""

    async def body() -> None:
        provider = store.open()
        begun, go_on = threading.Event(), threading.Event()

        def stuck(_: apsw.Connection) -> None:
            begun.set()
            go_on.wait()

        call = asyncio.ensure_future(provider._calls.read("read", stuck))
        await asyncio.to_thread(begun.wait)
        await in_time(lambda: close(store, provider))
        (told,) = [each.getMessage() for each in caplog.records]
        assert "did not end in time" in told
        go_on.set()
        await call
        store.close()

    asyncio.run(body())


def test_a_call_that_ends_within_the_timeout_is_waited_for(path: Path, ids: CountingIds) -> None:
    """PV-28.12: closing does not break off what would have ended."""
    begun, go_on = threading.Event(), threading.Event()
    hold = False

    def clock() -> Millis:
        if hold:
            begun.set()
            go_on.wait()
        return Millis(1_000_000)

    store = sqlite_store(clock, ids, path=path, close_timeout=Millis(FAR_TOO_LONG * 1_000))

    async def body() -> None:
        nonlocal hold
        provider = store.open()
        hold = True
        call = asyncio.ensure_future(provider.enqueue_for_worker(activity()))
        await asyncio.to_thread(begun.wait)
        closing = asyncio.ensure_future(provider.close())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(call, closing)
        assert len(store.worker_rows()) == 1
        store.close()

    asyncio.run(body())


@pytest.mark.parametrize("holds", ["BEGIN; SELECT count(*) FROM worker_queue", "BEGIN IMMEDIATE"])
def test_a_checkpoint_that_another_process_blocks_is_left_to_it(
    holds: str, store: SqliteStore, path: Path
) -> None:
    """A reader or a writer: the log stays, with everything in it."""

    async def body() -> None:
        provider = store.open()
        await provider.enqueue_for_worker(activity())
        other = apsw.Connection(str(path))
        other.execute(holds).fetchall()
        await in_time(provider.close)
        await in_time(lambda: asyncio.to_thread(store.close))
        assert path.with_name(path.name + "-wal").stat().st_size > 0
        assert other.execute("SELECT count(*) FROM worker_queue").get == 1
        other.close(True)

    asyncio.run(body())
    again = apsw.Connection(str(path))
    assert again.execute("SELECT count(*) FROM worker_queue").get == 1
    again.close()


def test_ten_providers_that_wait_are_closed_in_the_time_of_one(path: Path, store: SqliteStore) -> None:
    """The timeout is the store's, not each connection's."""

    async def body() -> None:
        providers = [store.open() for _ in range(10)]
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.ensure_future(each.enqueue_for_worker(activity())) for each in providers]
        await asyncio.sleep(0)
        await in_time(lambda: asyncio.to_thread(store.close))
        assert all(map(retryable, await asyncio.gather(*waiting, return_exceptions=True)))
        other.close(True)

    asyncio.run(body())


LEFT_OPEN = """
import asyncio, sys
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import sqlite_store
async def work():
    provider = sqlite_store(SteppedClock(), CountingIds(), path=sys.argv[1]).open()
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.ensure_future(provider.enqueue_for_worker(activity()))
    await asyncio.sleep(0)
asyncio.run(work())
"""


def test_a_process_that_closes_nothing_ends_although_a_call_waits(
    path: Path, spawn: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """Python waits for its threads when it exits; the loop that asked is closed, so nobody waits for it."""
    child = spawn(LEFT_OPEN, path)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    child.communicate("\n", timeout=FAR_TOO_LONG / 2)
    assert child.returncode == 0
    assert other.execute("SELECT count(*) FROM worker_queue").get == 0
    other.close(True)
