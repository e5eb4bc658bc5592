"""Matrix section 25, a fetch that waits: it sees whatever becomes eligible meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import FetchedWork, Provider
from holdfast.properties.matrix.parts.turns_by_hand import (
    ITEM_LOCK,
    D,
    begin,
    fetch,
    fetched,
    further_turn,
    item,
    items,
    records,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

P: Final = Millis(100)
"""The shortest poll interval of a worker, and so the longest time that its fetch may not look."""
LONGEST: Final = Millis(300_000)
TICK: Final = Millis(20)


async def _poll(provider: Provider, worker: str) -> FetchedWork:
    """Fetch again and again, at least every P; a provider that waits by itself does so for as long."""
    while True:
        next_look = asyncio.ensure_future(asyncio.sleep(P / 1_000))
        work = await provider.fetch_session_work_item(ITEM_LOCK, P, worker_id=worker, session_lock_duration=D)
        if work is not None:
            next_look.cancel()
            return work
        await next_look


async def _pass(bench: Bench, ms: int) -> None:
    """Let time go by, on the store's clock and on the loop's alike."""
    for _ in range(0, ms, TICK):
        bench.clock.advance(TICK)
        await asyncio.sleep(TICK / 1_000)


async def _is_noticed(
    bench: Bench, what: str, expected: tuple[str, int], becomes_eligible: Callable[[], Awaitable[None]]
) -> None:
    """B waits in vain; then something becomes eligible, and B has it within P."""
    waiting = asyncio.ensure_future(_poll(bench.open(), "B"))
    await _pass(bench, 3 * P)
    assert not waiting.done(), f"{what}: B has something too early: {waiting.result()}"
    await becomes_eligible()
    await _pass(bench, P)
    assert waiting.done(), f"{what}: B notices nothing within {P} ms"
    work = waiting.result()
    assert (work.item.instance, work.item.id) == expected, f"{what}: {work}"
    await bench.provider.ack_work_item(work.token)


@scenario(covers=["25.7", "SS-12.17"], workers=2, level="provider")
async def waiting_fetch_notices_release_and_expiry(bench: Bench) -> None:
    """A fetch that is already waiting sees items become eligible."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s", "t"), work=[item(2, "s"), item(3, "s")])
    held = await fetched(provider, "A")

    await _is_noticed(bench, "a release", ("i", 3), lambda: provider.release_session_lock("i", "s", "A"))
    await provider.ack_work_item(held.token)

    async def session_expires() -> None:
        (row,) = (row for row in records(bench) if row.session_id == "t")
        await _pass(bench, (row.locked_until or 0) - bench.clock.now_ms() - TICK)
        assert await fetch(bench.open(), "C") is None, "the session has not expired yet"
        await _pass(bench, TICK)

    await further_turn(provider, "i", work=[item(4, "t"), item(5, "t")])
    held = await fetched(provider, "A")
    await provider.abandon_work_item(held.token, delay=LONGEST)
    await _is_noticed(bench, "the expiry of a session", ("i", 5), session_expires)

    async def item_expires() -> None:
        (row,) = (row for row in items(bench) if row.token is not None)
        await _pass(bench, (row.locked_until or 0) - bench.clock.now_ms())

    await provider.enqueue_for_worker(item(6))
    await fetched(provider, "A")
    await _is_noticed(bench, "the expiry of an item", ("i", 6), item_expires)

    await provider.enqueue_for_worker(item(7))
    await provider.abandon_work_item((await fetched(provider, "A")).token, delay=Millis(5_000))
    await _is_noticed(bench, "the end of a delay", ("i", 7), lambda: _pass(bench, 5_000 - 3 * P))

    await provider.enqueue_for_worker(item(8))
    held = await fetched(provider, "A")
    await _is_noticed(bench, "an item given back", ("i", 8), lambda: provider.abandon_work_item(held.token))
    await _is_noticed(bench, "an item enqueued", ("i", 9), lambda: provider.enqueue_for_worker(item(9)))
    await _is_noticed(
        bench, "an item of a turn", ("j", 2), lambda: begin(provider, "j", work=[item(2, None, "j")])
    )
