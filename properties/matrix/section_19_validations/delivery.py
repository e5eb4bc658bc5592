"""Matrix section 19, deliveries at the provider: who gets what, in which order, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import ActivityScheduled, SessionOpened
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import FetchedWork, Provider
from holdfast.core.contract.store import SessionRecord, inspectable
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    begin,
    event,
    fetch,
    fetched,
    further_turn,
    item,
    item_row,
    items,
    records,
    row_of,
    sessions_named,
)
from holdfast.sim import FaultBudget, World
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario


@scenario(covers=["19.1", "SS-12.2", "SS-13.4"], level="provider")
async def plain_fetch_only_non_session(bench: Bench) -> None:
    """Plain fetch passes over a session item that comes first in the queue."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3)])
    before = item_row(bench, 2)
    work = await provider.fetch_work_item(ITEM_LOCK, AT_ONCE)
    assert work is not None and work.item.id == 3, work
    assert await provider.fetch_work_item(ITEM_LOCK, AT_ONCE) is None, "a second plain fetch gets something"
    after = item_row(bench, 2)
    assert (after.token, after.locked_until, after.attempt_count) == (None, None, 0), after
    assert after == before, (before, after)
    assert records(bench) == [SessionRecord("i", "s", None, None)], records(bench)


@scenario(covers=["19.2", "SS-12.3", "SS-13.5"], level="provider")
async def session_fetch_mixed_behavior(bench: Bench) -> None:
    """Session-aware fetch serves a mixed queue."""
    provider = bench.provider
    work = [item(2), item(3, "s"), item(4), item(5, "t"), item(6, "s"), item(7)]
    await begin(provider, opened=sessions_named("s", "t", "u"), work=work)
    by_seq = [row.item.id for row in items(bench) if row.item is not None]
    got = [(await fetched(provider, "A")).item.id for _ in work]
    assert got == by_seq == [2, 3, 4, 5, 6, 7], (got, by_seq)
    assert await fetch(provider, "A") is None
    until = bench.clock.now_ms() + D
    assert records(bench) == [
        SessionRecord("i", "s", "A", until),
        SessionRecord("i", "t", "A", until),
        SessionRecord("i", "u", None, None),
    ], records(bench)


async def _patiently(call: Callable[[], Awaitable[FetchedWork | None]]) -> FetchedWork | None:
    """Repeat a call that the store refuses for now."""
    for _ in range(5):
        try:
            return await call()
        except ProviderError as error:
            assert error.retryable, error
    raise AssertionError("five refusals in a row")


@scenario(covers=["19.3", "SS-4.4", "SS-12.5"], workers=2, level="provider")
async def session_claim_race_single_winner(bench: Bench) -> None:
    """Two concurrent fetches for one unclaimed session: one gets it."""
    by = {"A": bench.provider, "B": bench.open()}
    for number in range(24):
        instance = f"i{number}"
        await begin(
            bench.provider, instance, opened=sessions_named(f"{instance}/s"), work=[item(2, "s", instance)]
        )
        broken, change = number % 4, 1 + number // 8
        if broken:
            inspectable(bench.store, "break_calls").break_calls(
                "fetch_session_work_item", change=change, times=broken
            )
        order = ("A", "B") if number % 2 else ("B", "A")
        answers = await asyncio.gather(*(_patiently(partial(fetch, by[name], name)) for name in order))
        inspectable(bench.store, "break_calls").break_calls("fetch_session_work_item", times=0)
        got = {name: work for name, work in zip(order, answers, strict=True) if work is not None}
        assert len(got) == 1, f"round {number}: {sorted(got)} have it"
        ((winner, work),) = got.items()
        assert (work.item.instance, work.item.id, work.attempt_count) == (instance, 2, 1), work
        row = item_row(bench, 2, instance)
        assert (row.token, row.attempt_count, row.claimed_by) == (work.token, 1, winner), row
        until = bench.clock.now_ms() + D
        assert records(bench, instance) == [SessionRecord(instance, "s", winner, until)], records(bench)
        await by[winner].ack_work_item(work.token)


async def _compete(process: Process, got: list[tuple[str, FetchedWork]]) -> None:
    """Fetch until something comes, again after each refusal; keep what came."""
    while True:
        work = await _patiently(partial(fetch, process.provider, process.name))
        if work is not None:
            got.append((process.name, work))
        await asyncio.sleep(0.2)


async def _one_item_of_a_session(provider: Provider, instance: str) -> None:
    """A started instance with a session open and its only item queued, as an engine would store it."""
    await begin(
        provider,
        instance,
        event(SessionOpened, 2, instance, session_id="s"),
        event(ActivityScheduled, 3, instance, name="x", input="", session_id="s"),
        opened=sessions_named(f"{instance}/s"),
        work=[item(3, "s", instance)],
    )


@scenario(
    covers=["19.3", "SS-4.4", "SS-12.5"],
    workers=2,
    faults=FaultBudget(refused=2, unsent=1),
    situations=["session.claimed", "session.claim_raced"],
    level="multi-runtime",
)
async def session_claim_race_under_every_schedule(world: World) -> None:
    """Whichever of two fetches reaches the store first gets the session, and is the only one."""
    got: list[tuple[str, FetchedWork]] = []
    instances = ("i", "j", "k")
    for instance in instances[: 1 + world.draw("instances", 3)]:
        await _one_item_of_a_session(world.provider, instance)
    expected = len(world.worker_rows())
    for name in ("A", "B"):
        world.process(name, lambda process: _compete(process, got))
    await world.until(lambda: len(got) == expected)
    await world.sleep(1)
    with world.oracle("19.3"):
        assert len(got) == expected, got
        assert all(work.attempt_count == 1 for _, work in got), got
        winners = {work.item.instance: winner for winner, work in got}
        assert {row.instance_id: row.worker_id for row in world.sessions()} == winners, world.sessions()
        rows = world.worker_rows()
        assert all(row.attempt_count == 1 for row in rows), rows
        assert {row.item.instance: row.claimed_by for row in rows if row.item} == winners, rows


@scenario(covers=["19.5", "SS-4.5", "SS-25.6"], workers=2, level="provider")
async def session_affinity_routing(bench: Bench) -> None:
    """A second item of a claimed session goes to the owner only."""
    provider, other = bench.provider, bench.open()
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s")])
    first = await fetched(provider, "A")
    for passed in (0, D - 1):
        bench.clock.advance(passed)
        assert await fetch(other, "B") is None, f"B gets an item of A's session after {passed} ms"
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", bench.clock.now_ms() + 1)
    assert (item_row(bench, 3).attempt_count, item_row(bench, 3).token) == (0, None)
    await provider.abandon_work_item(first.token, delay=Millis(10 * D))
    second = await fetched(provider, "A")
    assert (second.item.id, second.attempt_count) == (3, 1), second
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", bench.clock.now_ms() + D)


@scenario(covers=["19.6", "SS-13.1", "SS-13.5"], level="provider")
async def session_fifo_no_starvation(bench: Bench) -> None:
    """Session items are not preferred over plain ones."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(2), item(3, "s"), item(4)])
    unowned = [(await fetched(provider, "A")).item.id for _ in range(3)]
    assert unowned == [2, 3, 4], unowned
    await begin(provider, "j", work=[item(2, None, "j")])
    await further_turn(provider, "i", work=[item(5, "s"), item(6)])
    owned = [(await fetched(provider, "A")).item for _ in range(3)]
    assert [(one.instance, one.id) for one in owned] == [("j", 2), ("i", 5), ("i", 6)], owned


@scenario(covers=["19.7", "SS-4.7", "SS-25.6"], workers=2, level="provider")
async def session_lock_extended_on_fetch(bench: Bench) -> None:
    """Fetching for an owned session extends its lock."""
    provider, other = bench.provider, bench.open()
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s"), item(4, "s")])
    await fetched(provider, "A")
    claimed_at = bench.clock.now_ms()
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", claimed_at + D)
    bench.clock.advance(D // 2)
    await fetched(provider, "A")
    until = bench.clock.now_ms() + D
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", until), records(bench)
    bench.clock.advance(claimed_at + D - bench.clock.now_ms())
    assert await fetch(other, "B") is None, "B gets the session at the first claim's expiry"
    bench.clock.advance(until - 1 - bench.clock.now_ms())
    assert await fetch(other, "B") is None, "B gets the session before its expiry"
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", until), records(bench)
    bench.clock.advance(1)
    taken = await fetched(other, "B")
    assert taken.item.id == 2 and row_of(bench, "s") == SessionRecord("i", "s", "B", until + D), taken


@scenario(covers=["19.8", "SS-13.4", "SS-25.7"], workers=2, level="provider")
async def session_item_skipped_when_owned_by_other(bench: Bench) -> None:
    """A foreign session item does not block what is behind it."""
    provider, other = bench.provider, bench.open()
    work = [item(2, "s"), item(3, "s"), item(4), item(5, "t")]
    await begin(provider, opened=sessions_named("s", "t"), work=work)
    await fetched(provider, "A")
    before, passed_over = row_of(bench, "s"), item_row(bench, 3)
    assert (await fetched(other, "B")).item.id == 4
    assert (await fetched(other, "B")).item.id == 5
    assert await fetch(other, "B") is None
    assert row_of(bench, "s") == before and item_row(bench, 3) == passed_over, (records(bench), items(bench))


async def _claim_for(
    provider: Provider, bench: Bench, instance: str, *, item_lock: Millis, duration: Millis
) -> None:
    """Claim a session of its own with these two durations, and look at what each one set."""
    await begin(provider, instance, opened=sessions_named(f"{instance}/s"), work=[item(2, "s", instance)])
    work = await fetched(provider, "A", lock=item_lock, duration=duration)
    assert work.item.instance == instance, work
    now = bench.clock.now_ms()
    assert records(bench, instance) == [SessionRecord(instance, "s", "A", now + duration)], records(bench)
    assert item_row(bench, 2, instance).locked_until == now + item_lock, items(bench)


@scenario(covers=["19.10", "SS-4.3", "SS-20.7"], level="provider")
async def claim_uses_given_session_duration(bench: Bench) -> None:
    """The claim's expiry depends on the session duration, not on the item-lock timeout."""
    short, long = Millis(5_000), Millis(600_000)
    await _claim_for(bench.provider, bench, "i", item_lock=short, duration=long)
    bench.clock.advance(1)
    await _claim_for(bench.provider, bench, "j", item_lock=long, duration=short)
