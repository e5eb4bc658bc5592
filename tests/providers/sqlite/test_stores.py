"""In-memory stores: each alone, shared by the providers opened on it, empty when new."""

import asyncio

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.harness import CountingIds, Factory, SteppedClock
from holdfast.providers.conformance.messages import activity, external, note
from holdfast.providers.sqlite import SqliteStore, memory_image, sqlite_store
from holdfast.providers.sqlite.opening import TABLES

LOCK = Millis(5_000)
NOW = Millis(0)


def test_two_stores_share_nothing(memory: SqliteStore, clock: SteppedClock, ids: CountingIds) -> None:
    """PV-30.7"""
    other = sqlite_store(clock, ids)
    asyncio.run(memory.open().enqueue_for_worker(activity()))
    assert len(memory.worker_rows()) == 1
    assert other.worker_rows() == []
    other.close()


def test_providers_of_one_store_share_everything(memory: SqliteStore) -> None:
    """PV-28.4, PV-30.7"""

    async def body() -> None:
        await memory.open().enqueue_for_worker(activity())
        assert await memory.open().fetch_work_item(LOCK, NOW) is not None

    asyncio.run(body())


def test_a_store_made_after_another_was_closed_is_like_the_first_ever(clock: SteppedClock) -> None:
    """PV-30.7: every table is empty and row numbers begin at 1, whatever its connection was used for."""

    async def fill(fx: Fixture) -> None:
        await fx.begin("i", note(2), opened=["s"], work=[activity(2, session="s")], status="Running")
        await fx.claim()
        await fx.send(external("i"))
        await fx.turn("i")
        await fx.close()

    used = Fixture(Factory(create=sqlite_store))
    asyncio.run(fill(used))
    assert memory_image._idle, "the closed store's connection is kept"
    store = sqlite_store(clock, CountingIds())
    assert store.raw_counts() == dict.fromkeys(TABLES, 0)
    asyncio.run(store.open().enqueue_for_worker(activity()))
    assert [row.seq for row in store.worker_rows()] == [1]
    store.close()


def test_idle_connections_are_bounded(clock: SteppedClock, ids: CountingIds) -> None:
    """Many stores closed at once leave only a few connections behind."""
    for store in [sqlite_store(clock, ids) for _ in range(memory_image.IDLE_MAX + 3)]:
        store.close()
    assert len(memory_image._idle) == memory_image.IDLE_MAX


def test_a_row_number_is_not_used_again(memory: SqliteStore) -> None:
    """PV-30.5, PV-2.4: not even after the row with the highest number is gone."""

    async def body() -> None:
        provider = memory.open()
        for _ in range(3):
            await provider.enqueue_for_worker(activity())
            work = await provider.fetch_work_item(LOCK, NOW)
            assert work is not None
            await provider.ack_work_item(work.token)
        await provider.enqueue_for_worker(activity())

    asyncio.run(body())
    assert [row.seq for row in memory.worker_rows()] == [4]


def test_a_closed_provider_refuses_and_leaves_the_others_alone(memory: SqliteStore) -> None:
    """PV-28.12"""

    async def body() -> None:
        first, second = memory.open(), memory.open()
        await first.close()
        await first.close()
        with pytest.raises(ProviderError, match="closed") as refusal:
            await first.enqueue_for_worker(activity())
        assert not refusal.value.retryable
        await second.enqueue_for_worker(activity())
        memory.close()
        memory.close()
        with pytest.raises(ProviderError, match="closed"):
            await second.fetch_work_item(LOCK, NOW)
        with pytest.raises(ProviderError, match="closed"):
            memory.worker_rows()
        with pytest.raises(ProviderError, match="closed"):
            memory.open()

    asyncio.run(body())


def test_nothing_hides_behind_hundreds_of_blocked_rows(memory: SqliteStore) -> None:
    """PV-24.12, SS-12.18: rows of sessions that another worker has are passed over, however many they are."""

    async def body() -> None:
        provider = memory.open()
        for number in range(300):
            await provider.enqueue_for_worker(activity(number, session=f"s{number % 3}"))
        for _ in range(3):
            assert await provider.fetch_session_work_item(
                LOCK, NOW, worker_id="A", session_lock_duration=Millis(60_000)
            )
        await provider.enqueue_for_worker(activity(1_000, session="free"))
        found = await provider.fetch_session_work_item(
            LOCK, NOW, worker_id="B", session_lock_duration=Millis(60_000)
        )
        assert found is not None
        assert found.item.id == 1_000

    asyncio.run(body())
