"""Waiting for work: how long, woken by what; a waiting or cancelled fetch holds nothing (PV-23).

The store's clock is stepped while a fetch waits, and times are a few milliseconds on both clocks, so that a
provider may wait by the store's clock or by the loop's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TypeVar

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.provider import FetchedWork
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.harness import Broken
from holdfast.providers.conformance.messages import activity, external, start, timer
from holdfast.providers.conformance.registry import check

_T = TypeVar("_T")
POLL = 60
LONG = 5_000
SOON = 500
"""How soon a woken fetch must answer: ten times what PV-23.6 advises, for busy machines."""


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1_000


async def _waits(fetch: Coroutine[object, object, _T]) -> asyncio.Task[_T]:
    """The fetch, once it has begun to wait."""
    task = asyncio.ensure_future(fetch)
    await asyncio.wait([task], timeout=_seconds(10))
    if task.done():
        raise Broken(f"the fetch should wait, but it returned {task.result()!r}")
    return task


async def _answer(fx: Fixture, task: asyncio.Task[_T], what: str, within: int = SOON) -> _T:
    """What the fetch answers; fails the check if it is late."""
    await asyncio.wait([task], timeout=_seconds(within + fx.factory.latency))
    if not task.done():
        task.cancel()
        raise Broken(f"{what}: the fetch did not answer within {within} ms")
    return task.result()


async def _answers_empty_at_once(fx: Fixture, fetch: Coroutine[object, object, object]) -> None:
    limit = fx.factory.short_poll_threshold
    answer = await _answer(fx, asyncio.ensure_future(fetch), "short polling", within=limit)
    expect.nothing(answer, "the answer")


async def _answers_empty_after_poll_time(fx: Fixture, fetch: Coroutine[object, object, object]) -> None:
    task = await _waits(fetch)
    await asyncio.wait([task], timeout=_seconds(POLL // 2))
    expect.true(not task.done(), f"the fetch waits longer than {POLL // 2} of {POLL} ms")
    fx.clock.advance(POLL)
    expect.nothing(await _answer(fx, task, "long polling", within=POLL + 200), "the answer")


@check("PVC-058", polling="short")
async def short_poll_returns_immediately(fx: Fixture) -> None:
    """A short-polling provider answers an empty orchestration fetch at once although it may wait longer."""
    await _answers_empty_at_once(fx, fx.try_turn(poll=LONG))


@check("PVC-059", polling="long")
async def long_poll_waits_for_timeout(fx: Fixture) -> None:
    """A long-polling provider answers an empty orchestration fetch only after the poll time."""
    await _answers_empty_after_poll_time(fx, fx.try_turn(poll=POLL))


@check("PVC-060")
async def fetch_respects_timeout_upper_bound(fx: Fixture) -> None:
    """No provider answers an empty fetch much later than the poll time."""
    fetches = [fx.try_turn(poll=POLL), fx.try_work(poll=POLL)]
    if fx.provider.supports_sessions():
        fetches.append(fx.try_claim(poll=POLL))
    tasks = [asyncio.ensure_future(fetch) for fetch in fetches]
    await asyncio.sleep(0)
    fx.clock.advance(POLL)
    for task in tasks:
        expect.nothing(await _answer(fx, task, "an empty fetch", within=POLL + 200), "the answer")


@check("PVC-061", polling="short")
async def short_poll_work_item_returns_immediately(fx: Fixture) -> None:
    """A short-polling provider answers an empty work-item fetch at once."""
    await _answers_empty_at_once(fx, fx.try_work(poll=LONG))


@check("PVC-062", polling="long")
async def long_poll_work_item_waits_for_timeout(fx: Fixture) -> None:
    """A long-polling provider answers an empty work-item fetch only after the poll time."""
    await _answers_empty_after_poll_time(fx, fx.try_work(poll=POLL))


@check("PVC-344", polling="long")
async def poll_wakes_on_enqueue(fx: Fixture) -> None:
    """A waiting fetch returns soon after work arrives, for both queues and every way of arriving."""
    other = fx.open()
    turn = await _waits(fx.try_turn(poll=LONG))
    await other.enqueue_for_orchestrator(start())
    fetched = expect.present(await _answer(fx, turn, "an enqueued message"), "a turn")
    work = await _waits(fx.try_work(poll=LONG))
    await fx.ack(fetched, by=other, work=[activity()], name="Flow", version="1")
    item = expect.present(await _answer(fx, work, "an acknowledgement that schedules"), "an item")
    work = await _waits(fx.try_work(poll=LONG))
    await fx.provider.abandon_work_item(item.token)
    await _answer(fx, work, "an abandoned item")
    turn = await _waits(fx.try_turn(poll=LONG))
    await fx.send(external())
    fetched = expect.present(await _answer(fx, turn, "another message"), "a turn")
    turn = await _waits(fx.try_turn(poll=LONG))
    await fx.abandon_turn(fetched)
    expect.present(await _answer(fx, turn, "an abandoned turn"), "a turn")


@check("PVC-345", polling="long")
async def poll_wakes_on_delay_and_expiry(fx: Fixture) -> None:
    """A waiting fetch returns when a delay, a timer, an item lock, an instance lock or a session runs out."""
    soon = 20

    async def woken(task: asyncio.Task[_T | None], what: str) -> _T:
        fx.clock.advance(soon)
        return expect.present(await _answer(fx, task, what), what)

    await fx.send(start(), delay=soon)
    turn = await woken(await _waits(fx.try_turn(poll=LONG)), "the end of a delay")
    due = timer(fire_at_ms=fx.clock() + soon)
    await fx.ack(turn, messages=[due], name="Flow", version="1")
    await woken(await _waits(fx.try_turn(poll=LONG, lock=soon)), "a timer")
    await woken(await _waits(fx.try_turn(poll=LONG)), "the end of an instance lock")
    await fx.put(activity())
    await fx.work(lock=soon)
    work = await woken(await _waits(fx.try_work(poll=LONG)), "the end of an item lock")
    await fx.provider.ack_work_item(work.token)
    if fx.provider.supports_sessions():
        await fx.put(activity(3, session="s"), activity(4, session="s"))
        await fx.claim("A", lease=soon)
        await woken(await _waits(fx.try_claim("B", poll=LONG)), "the lapse of a session")
        await fx.put(activity(5, session="s"))
        task = await _waits(fx.try_claim("A", poll=LONG))
        await fx.release("B")
        expect.present(await _answer(fx, task, "the release of a session"), "an item")


@check("PVC-346", polling="long")
async def poll_one_item_many_waiters(fx: Fixture) -> None:
    """Ten waiting fetches and one item: one gets it, the others keep waiting."""
    providers = [fx.open() for _ in range(10)]
    tasks = [await _waits(fx.try_work(by=each, poll=LONG)) for each in providers]
    await fx.put(activity())
    await asyncio.wait(tasks, timeout=_seconds(SOON), return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait(tasks, timeout=_seconds(20))
    answered = [task.result() for task in tasks if task.done()]
    await _cancelled(tasks)
    expect.equal(len(answered), 1, "fetches that answered")
    expect.equal(expect.present(answered[0], "an item").item, activity(), "the item")


async def _cancelled(tasks: Sequence[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@check("PVC-347")
async def cancelled_fetch_loses_nothing(fx: Fixture) -> None:
    """Cancelling the task of a waiting or running fetch leaves every item fetchable."""
    for yields in range(6):
        await fx.put(activity(yields))
        await fx.send(start(f"i{yields}"))
        working = asyncio.ensure_future(fx.try_work(poll=LONG))
        turning = asyncio.ensure_future(fx.try_turn(poll=LONG))
        for _ in range(yields):
            await asyncio.sleep(0)
        await _cancelled([working, turning])
        work = await fx.work() if working.cancelled() else expect.present(working.result(), "the item")
        turn = await fx.turn() if turning.cancelled() else expect.present(turning.result(), "the turn")
        attempts = (work.attempt_count, turn.attempt_count)
        expect.equal(attempts, (1, 1), f"attempts after {yields} yields")
        await fx.provider.ack_work_item(work.token)
        await fx.ack(turn)


@check("PVC-382")
async def closed_provider_raises(fx: Fixture) -> None:
    """Calls after closing raise permanent errors and waiting fetches end; other objects go on."""
    other = fx.open()
    waiting = [asyncio.ensure_future(fx.try_work(by=other, poll=LONG)) for _ in range(2)]
    await asyncio.sleep(0)
    await other.close()
    for task in waiting:
        await _ended(fx, task)
    await expect.refused(fx.try_turn(by=other))
    await expect.refused(fx.try_work(by=other))
    await expect.refused(other.enqueue_for_worker(activity()))
    await expect.refused(other.read("i"))
    await fx.put(activity())
    await fx.work()


async def _ended(fx: Fixture, task: asyncio.Task[FetchedWork | None]) -> None:
    """The fetch is over, without an item: None, a permanent error or a cancellation."""
    try:
        answer = await expect.refused_or_answered(_answer(fx, task, "a fetch of a closed provider"))
    except asyncio.CancelledError:
        return
    if not isinstance(answer, ProviderError):
        expect.nothing(answer, "the answer of a waiting fetch")
