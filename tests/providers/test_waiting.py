"""Work made by a process wakes its own waiting fetches, on every provider (PV-23.6 to PV-23.10).

Waits end when something has happened; a fetch that missed its wake-up would look again only after a second.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast import ActivityContext, Client, OrchestrationContext, Registry, Runtime
from holdfast.core.contract.ids import INT63_MAX, Millis
from holdfast.core.contract.provider import Provider, TagFilter
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.providers.conformance import Factory
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.harness import SteppedClock
from holdfast.providers.conformance.messages import activity, completed, external, start, started, timer
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import SqliteStore, sqlite_store
from holdfast.providers.waiting import TURNS, WORK, Waiters
from holdfast.system import SystemClock, SystemIds, provider_clock

LONG = 30_000
SOON_S = 0.7
"""Less than the second after which a waiting fetch looks whatever happens."""


class Pair(Fixture):
    """A store, a provider that waits, and `other`, through which the same process makes work."""

    other: Provider


@pytest.fixture(params=["memory", "sqlite in memory", "one store on a file", "two stores on a file"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    path = tmp_path / "store.db"
    create: Any = memory_store if request.param == "memory" else sqlite_store
    if "file" in request.param:
        create = lambda clock, ids: sqlite_store(clock, ids, path=path)  # noqa: E731
    fx = Pair(Factory(create=create, long_polling=True))
    second = create(fx.clock, fx.ids) if request.param.startswith("two") else fx.store
    fx.other = second.open()
    yield fx
    second.close()
    if second is not fx.store:
        fx.store.close()


async def waits(store: Any, fetch: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """The fetch, once it waits."""
    waiters: Waiters = store._waiters if isinstance(store, SqliteStore) else store._calls.waiters

    def parked() -> int:
        return sum(len(kind.parked) for kind in waiters._kinds.values())

    before = parked()
    task = asyncio.ensure_future(fetch)
    while parked() == before:
        assert not task.done(), f"the fetch should wait, it answered {task.result()}"
        await asyncio.sleep(0.001)
    return task


async def woken(task: "asyncio.Task[Any]", what: str) -> Any:
    done, _ = await asyncio.wait([task], timeout=SOON_S)
    assert done, f"{what} does not wake the fetch"
    found = task.result()
    assert found is not None, f"{what}: the fetch found nothing"
    return found


def after(fx: Pair, milliseconds: int) -> None:
    fx.clock.advance(milliseconds)


async def an_enqueued_message(fx: Pair) -> None:
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.other.enqueue_for_orchestrator(start())
    await woken(task, "an enqueued message")


async def an_enqueued_item(fx: Pair) -> None:
    task = await waits(fx.store, fx.try_work(poll=LONG))
    await fx.other.enqueue_for_worker(activity())
    await woken(task, "an enqueued item")


async def an_acknowledged_turn_with_items(fx: Pair) -> None:
    await fx.send(start())
    turn = await fx.turn(by=fx.other)
    task = await waits(fx.store, fx.try_work(poll=LONG))
    await fx.ack(turn, by=fx.other, work=[activity()], name="Flow", version="1")
    await woken(task, "an acknowledgement with an item")


async def an_acknowledged_turn_that_hid_a_message(fx: Pair) -> None:
    await fx.send(start())
    turn = await fx.turn(by=fx.other)
    await fx.send(external())
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.ack(turn, by=fx.other, name="Flow", version="1")
    await woken(task, "the release of an instance")


async def an_acknowledged_item_with_a_completion(fx: Pair) -> None:
    await fx.begin()
    await fx.put(activity())
    work = await fx.work(by=fx.other)
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.other.ack_work_item(work.token, completed())
    await woken(task, "a completion")


async def an_abandoned_item(fx: Pair) -> None:
    await fx.put(activity())
    work = await fx.work(by=fx.other)
    task = await waits(fx.store, fx.try_work(poll=LONG))
    await fx.other.abandon_work_item(work.token)
    await woken(task, "an abandoned item")


async def an_abandoned_turn(fx: Pair) -> None:
    await fx.send(start())
    turn = await fx.turn(by=fx.other)
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.other.abandon_orchestration_item(turn.token)
    await woken(task, "an abandoned turn")


async def the_end_of_a_delay(fx: Pair) -> None:
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.other.enqueue_for_orchestrator(start(), delay=Millis(20))
    after(fx, 20)
    await woken(task, "the end of a delay")


async def the_end_of_the_delay_of_an_abandoned_item(fx: Pair) -> None:
    await fx.put(activity())
    work = await fx.work(by=fx.other)
    task = await waits(fx.store, fx.try_work(poll=LONG))
    await fx.other.abandon_work_item(work.token, delay=Millis(20))
    after(fx, 20)
    await woken(task, "the end of an item's delay")


async def the_end_of_the_delay_of_an_abandoned_turn(fx: Pair) -> None:
    await fx.send(start())
    turn = await fx.turn(by=fx.other)
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.other.abandon_orchestration_item(turn.token, delay=Millis(20))
    after(fx, 20)
    await woken(task, "the end of a turn's delay")


async def a_timer(fx: Pair) -> None:
    await fx.send(start())
    turn = await fx.turn(by=fx.other)
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    due = timer(fire_at_ms=fx.clock() + 20)
    await fx.ack(turn, by=fx.other, messages=[due], name="Flow", version="1")
    after(fx, 20)
    await woken(task, "a timer")


async def the_end_of_an_item_lock(fx: Pair) -> None:
    await fx.put(activity())
    await fx.work(by=fx.other, lock=20)
    task = await waits(fx.store, fx.try_work(poll=LONG))
    after(fx, 20)
    await woken(task, "the end of an item lock")


async def an_item_lock_renewed_for_less(fx: Pair) -> None:
    await fx.put(activity())
    work = await fx.work(by=fx.other)
    task = await waits(fx.store, fx.try_work(poll=LONG))
    await fx.other.renew_work_item_lock(work.token, extend_for=Millis(20))
    after(fx, 20)
    await woken(task, "the end of an item lock that was renewed for less")


async def the_end_of_an_instance_lock(fx: Pair) -> None:
    await fx.send(start())
    await fx.turn(by=fx.other, lock=20)
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    after(fx, 20)
    await woken(task, "the end of an instance lock")


async def an_instance_lock_renewed_for_less(fx: Pair) -> None:
    await fx.send(start())
    turn = await fx.turn(by=fx.other)
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.other.renew_orchestration_item_lock(turn.token, extend_for=Millis(20))
    after(fx, 20)
    await woken(task, "the end of an instance lock that was renewed for less")


async def a_released_session(fx: Pair) -> None:
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    await fx.claim("A", by=fx.other)
    task = await waits(fx.store, fx.try_claim("B", poll=LONG))
    await fx.other.release_session_lock("i", "s", "A")
    await woken(task, "a released session")


async def a_lapsed_session(fx: Pair) -> None:
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    await fx.claim("A", by=fx.other, lease=20)
    task = await waits(fx.store, fx.try_claim("B", poll=LONG))
    after(fx, 20)
    await woken(task, "a lapsed session")


async def a_session_claimed_by_another_slot(fx: Pair) -> None:
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    task = await waits(fx.store, fx.try_claim("A", poll=LONG, claim_new=False))
    await fx.claim("A", by=fx.other)
    await woken(task, "the claim of a session by another slot of the worker")


async def a_history_that_gives_a_message_its_context(fx: Pair) -> None:
    await fx.send(external())
    task = await waits(fx.store, fx.try_turn(poll=LONG))
    await fx.other.append_with_execution("i", 1, [started()])
    await woken(task, "a history")


WAYS = [
    an_enqueued_message,
    an_enqueued_item,
    an_acknowledged_turn_with_items,
    an_acknowledged_turn_that_hid_a_message,
    an_acknowledged_item_with_a_completion,
    an_abandoned_item,
    an_abandoned_turn,
    the_end_of_a_delay,
    the_end_of_the_delay_of_an_abandoned_item,
    the_end_of_the_delay_of_an_abandoned_turn,
    a_timer,
    the_end_of_an_item_lock,
    an_item_lock_renewed_for_less,
    the_end_of_an_instance_lock,
    an_instance_lock_renewed_for_less,
    a_released_session,
    a_lapsed_session,
    a_session_claimed_by_another_slot,
    a_history_that_gives_a_message_its_context,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_pv_23_6_whatever_makes_work_eligible_wakes_the_fetches_of_the_process(
    way: Callable[[Pair], Awaitable[None]], pair: Pair
) -> None:
    """PV-23.6: whichever provider object, and whichever store object of the file, it was done through."""
    asyncio.run(_run(way, pair))


async def _run(way: Callable[[Pair], Awaitable[None]], pair: Pair) -> None:
    await way(pair)


def test_pv_23_10_three_items_go_to_three_of_ten_and_the_others_wait_on(pair: Pair) -> None:
    """PV-23.10: ten that ask the same, and one that asks otherwise."""

    async def body() -> None:
        tasks = [await waits(pair.store, pair.try_work(poll=LONG)) for _ in range(10)]
        tagged = await waits(pair.store, pair.try_work(poll=LONG, tags=TagFilter.only("other")))
        waiting = set(tasks)
        for left in (9, 8, 7):
            await pair.other.enqueue_for_worker(activity(left))
            done, waiting = await asyncio.wait(waiting, timeout=SOON_S, return_when=asyncio.FIRST_COMPLETED)
            assert len(waiting) == left, f"{len(done)} fetches are answered after one more item"
        for task in (*waiting, tagged):
            task.cancel()
        done, _ = await asyncio.wait([*waiting, tagged])
        assert all(task.cancelled() for task in done)

    asyncio.run(body())


def test_pv_23_6_a_change_costs_one_look_of_each_kind() -> None:
    """Twenty fetches of two kinds wait; nothing is there, and each change makes two of them look."""
    looks: list[str] = []
    waiters = Waiters()

    async def body() -> None:
        async def look(name: str) -> tuple[None, int]:
            looks.append(name)
            return None, INT63_MAX

        def poll(name: str) -> Awaitable[None]:
            return waiters.poll(WORK, name, Millis(LONG), SteppedClock(), lambda: look(name))

        tasks = [asyncio.ensure_future(poll(name)) for name in ["a", "b"] * 10]
        await settled()
        assert sorted(looks) == ["a", "b"]
        for _ in range(3):
            looks.clear()
            waiters.wake(WORK)
            waiters.wake(TURNS)
            await settled()
            assert sorted(looks) == ["a", "b"]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert waiters._kinds == {}

    asyncio.run(body())


def test_pv_23_7_a_change_during_a_look_is_not_lost() -> None:
    """PV-23.7: what comes after the look has passed the place, and before the fetch waits, is found."""
    waiters = Waiters()
    answers = [None, None, "item"]

    async def body() -> object:
        async def look() -> tuple[object | None, int]:
            answer = answers.pop(0)
            waiters.wake(WORK)
            return answer, INT63_MAX

        return await waiters.poll(WORK, "kind", Millis(LONG), SteppedClock(), look)

    assert asyncio.run(asyncio.wait_for(body(), SOON_S)) == "item"


async def settled() -> None:
    """Let everything run that can run without time."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_pv_23_9_a_woken_fetch_that_is_cancelled_passes_its_turn_on(pair: Pair) -> None:
    """PV-23.9: the oldest is woken and cancelled before it looks; the next one gets the item."""

    async def body() -> None:
        first = await waits(pair.store, pair.try_work(poll=LONG))
        second = await waits(pair.store, pair.try_work(poll=LONG))
        await pair.other.enqueue_for_worker(activity())
        first.cancel()
        await asyncio.wait([first])
        if first.cancelled():
            work = await woken(second, "the cancellation of the first")
            assert work.attempt_count == 1
        else:
            second.cancel()
            await asyncio.wait([second])

    asyncio.run(body())


def test_pv_23_6_what_another_process_commits_is_found(tmp_path: Path) -> None:
    """PV-23.6: an item put into the file by a process of its own, and one by a bare connection."""
    path = tmp_path / "store.db"
    program = (
        "import asyncio, sys\n"
        "from holdfast.providers.conformance.messages import activity\n"
        "from holdfast.providers.sqlite import SqliteStore, sqlite_store\n"
        "from holdfast.system import SystemIds, provider_clock\n"
        "store = sqlite_store(provider_clock, SystemIds(), path=sys.argv[1])\n"
        "asyncio.run(store.open().enqueue_for_worker(activity(7)))\n"
        "store.close()\n"
    )

    async def body() -> None:
        store = sqlite_store(provider_clock, SystemIds(), path=path)
        provider = store.open()
        task = await waits(store, provider.fetch_work_item(Millis(5_000), Millis(LONG)))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(path), env={"PYTHONPATH": ":".join(filter(None, sys.path))}
        )
        assert await child.wait() == 0
        found = await woken(task, "another process")
        assert found.item.id == 7
        task = await waits(store, provider.fetch_work_item(Millis(5_000), Millis(LONG)))
        with apsw.Connection(str(path)) as bare:
            bare.execute("UPDATE worker_queue SET lock_token = NULL, locked_until = NULL")
        await woken(task, "a bare connection")
        await provider.close()
        store.close()

    asyncio.run(body())


class CountsEmptyFetches(ForwardingProvider):
    """Counts the fetches that were answered with nothing: each costs its slot the minimum poll interval."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self.empty = 0

    async def fetch_orchestration_item(self, *args: Any, **kwargs: Any) -> Any:
        found = await super().fetch_orchestration_item(*args, **kwargs)
        self.empty += found is None
        return found

    async def fetch_session_work_item(self, *args: Any, **kwargs: Any) -> Any:
        found = await super().fetch_session_work_item(*args, **kwargs)
        self.empty += found is None
        return found


@pytest.mark.parametrize("where", ["memory", "file"])
def test_pv_23_6_a_chain_of_ten_activities_never_waits_for_a_poll(where: str, tmp_path: Path) -> None:
    """On default options no fetch of the worker comes back empty, so that no slot pauses."""
    registry = Registry()

    @registry.activity("next")
    async def following(ctx: ActivityContext, input: str) -> str:
        return str(int(input) + 1)

    @registry.orchestration("chain")
    async def chain(ctx: OrchestrationContext, input: str) -> str:
        for _ in range(10):
            input = await ctx.schedule_activity("next", input)
        return input

    async def body() -> tuple[object, int]:
        path = tmp_path / "store.db" if where == "file" else None
        store = sqlite_store(provider_clock, SystemIds(), path=path)
        counted = CountsEmptyFetches(store.open())
        runtime = Runtime(counted, registry, clock=SystemClock(), ids=SystemIds())
        await runtime.start()
        client = Client(store.open(), clock=SystemClock())
        await client.start_orchestration("c", "chain", "0")
        ended = await client.wait_for_orchestration("c", timedelta(seconds=20))
        empty = counted.empty
        await runtime.shutdown()
        store.close()
        return ended, empty

    ended, empty = asyncio.run(body())
    assert (getattr(ended, "output", ended), empty) == ("10", 0)
