"""Matrix section 25, the order of deliveries: by number, whoever else waits and whatever was given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.contract.events import ActivityScheduled
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.store import WorkerRow
from holdfast.core.contract.work_items import ActivityCompletedMessage as Completion
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    completed,
    encoded,
    observations,
    of_kind,
    running,
    start,
)
from holdfast.properties.matrix.parts.deliveries import deliveries, item_of
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    begin,
    fetch,
    fetched,
    further_turn,
    ids,
    item,
    items,
    records,
    sessions_named,
)
from holdfast.sim import World
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

FOREIGN_ITEMS: Final = 500
DELAY: Final = Millis(10_000)


def completion(id: int, instance: str = "i") -> Completion:
    """The completion of an activity."""
    return Completion(instance=instance, execution_id=1, id=id, result="done")


async def _order(provider: Provider, worker: str, count: int) -> list[int]:
    """The activities that so many fetches of a worker hand out."""
    return [(await fetched(provider, worker)).item.id for _ in range(count)]


@scenario(covers=["25.2", "SS-13.2", "SS-12.14"], level="provider")
async def redelivery_keeps_rank(bench: Bench) -> None:
    """An item given back comes before later ones."""
    provider = bench.provider
    for instance, session in (("i", None), ("j", "s")):
        opened = sessions_named(f"{instance}/s")
        work = [item(id, session, instance) for id in (2, 3, 4)]
        await begin(provider, instance, opened=opened, work=work)
        seqs = [row.seq for row in items(bench)]
        given_back = await fetched(provider, "A")
        await provider.abandon_work_item(given_back.token)
        first = await fetched(provider, "A")
        assert (first.item.id, first.attempt_count) == (2, 2), f"{session}: abandoned, then {first}"
        bench.clock.advance(ITEM_LOCK)
        again = await fetched(provider, "A")
        assert (again.item.id, again.attempt_count) == (2, 3), f"{session}: expired, then {again}"
        assert [row.seq for row in items(bench)] == seqs, "a number changed"
        assert await _order(provider, "A", 2) == [3, 4]
        assert await fetch(provider, "A") is None
        bench.clock.advance(ITEM_LOCK)
        for _ in range(3):
            await provider.ack_work_item((await fetched(provider, "A")).token)


@scenario(covers=["25.3", "SS-13.3"], level="provider")
async def delayed_item_regains_rank(bench: Bench) -> None:
    """After its delay an item is first again."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s"), item(4, "s")])
    seqs = [row.seq for row in items(bench)]
    first = await fetched(provider, "A")
    await provider.abandon_work_item(first.token, delay=DELAY)
    assert items(bench)[0].visible_from == bench.clock.now_ms() + DELAY, items(bench)
    second = await fetched(provider, "A")
    assert second.item.id == 3, f"q1 is delayed: {second}"
    bench.clock.advance(DELAY - 1)
    third = await fetched(provider, "A")
    assert third.item.id == 4, f"q1 is delayed by 1 ms yet: {third}"
    await provider.abandon_work_item(third.token)
    bench.clock.advance(1)
    assert [row.seq for row in items(bench)] == seqs, "a number changed"
    assert await _order(provider, "A", 2) == [2, 4], "q1 precedes q3 once its delay has ended"


@scenario(covers=["25.4", "SS-12.18"], workers=2, level="provider")
async def no_candidate_window(bench: Bench) -> None:
    """Many foreign items in front do not hide an eligible one."""
    provider, other = bench.provider, bench.open()
    sessions = [f"s{number}" for number in range(5)]
    front = [item(2 + at, sessions[at % 5]) for at in range(FOREIGN_ITEMS + 5)]
    last = 2 + len(front)
    await begin(provider, opened=sessions_named(*sessions), work=[*front, item(last), item(last + 1, "u")])
    owned = [await fetched(other, "B") for _ in sessions]
    assert [work.item.session_id for work in owned] == sessions
    ahead = [row for row in items(bench) if row.token is None and row.session_id in sessions]
    assert len(ahead) == FOREIGN_ITEMS, len(ahead)
    for claim_new in (False, True):
        found = await fetch(provider, "A", claim_new=claim_new)
        assert found is not None and found.item.id == last, f"claim_new={claim_new}: {found}"
        await provider.abandon_work_item(found.token)
    plain = await provider.fetch_work_item(ITEM_LOCK, AT_ONCE)
    assert plain is not None and plain.item.id == last, plain
    bound = await fetched(provider, "A")
    assert (bound.item.id, bound.item.session_id) == (last + 1, "u"), bound
    assert await fetch(provider, "A") is None


@scenario(covers=["25.5", "SS-13.7"], level="provider")
async def ack_enqueue_order(bench: Bench) -> None:
    """Items of one turn are queued in scheduling order."""
    provider = bench.provider
    fan_out = [item(2 + at, (None, "s", "t", "s", None)[at % 5]) for at in range(25)]
    await begin(provider, opened=sessions_named("s", "t"), work=fan_out)
    await further_turn(
        provider, "i", opened=sessions_named("a"), work=[item(40, "t"), item(39, "a"), item(38), item(41)]
    )
    scheduled = [one.id for one in fan_out] + [40, 39, 38, 41]
    assert [id for _, id in ids(bench)] == scheduled, items(bench)
    seqs = [row.seq for row in items(bench)]
    assert seqs == sorted(seqs) and len(frozenset(seqs)) == len(seqs), seqs
    assert await _order(provider, "A", len(scheduled)) == scheduled


@scenario(covers=["25.8", "SS-12.14", "SS-12.15", "SS-25.22"], level="provider")
async def item_ops_do_not_touch_row(bench: Bench) -> None:
    """Ack and abandon of an item leave the session row alone."""
    provider = bench.provider
    work = [item(2, "s"), item(3, "s"), item(4, "t"), item(5, "s"), item(6)]
    await begin(provider, opened=sessions_named("s", "t", "u"), work=work)
    held = {work.item.id: work for work in [await fetched(provider, "A") for _ in range(5)]}
    bench.clock.advance(7)
    rows = records(bench)

    def same(what: str) -> None:
        assert records(bench) == rows, f"{what}: {rows} became {records(bench)}"

    await provider.ack_work_item(held[2].token, completion(2))
    same("ack with a completion")
    await provider.ack_work_item(held[6].token)
    same("ack of an item without session")
    await provider.abandon_work_item(held[3].token)
    same("abandon")
    await provider.abandon_work_item(held[4].token, delay=DELAY, ignore_attempt=True)
    same("abandon of the only item, uncharged and delayed")
    bench.clock.advance(ITEM_LOCK)
    same("expiry of the item's lock")
    await provider.abandon_work_item(held[5].token)
    same("abandon after the item's expiry")
    bench.clock.advance(2 * D)
    same("expiry of the session")
    assert [row.session_id for row in rows] == ["s", "t", "u"] and rows[2].worker_id is None, rows


def _counts(rows: Sequence[WorkerRow]) -> list[int]:
    return [row.attempt_count for row in rows]


@scenario(covers=["25.9", "SS-9.10", "SS-7.20", "SS-12.5"], level="provider")
async def attempt_numbers(bench: Bench) -> None:
    """Attempts count deliveries, uncharged give-backs excepted."""
    provider = bench.provider
    for instance, session in (("i", "s"), ("j", None)):
        await begin(
            provider, instance, opened=sessions_named(f"{instance}/s"), work=[item(2, session, instance)]
        )
        attempts = []
        first = await fetched(provider, "A")
        attempts.append(first.attempt_count)
        await provider.abandon_work_item(first.token)
        assert _counts(items(bench)) == [1], "a charged give-back takes nothing off"
        second = await fetched(provider, "A")
        attempts.append(second.attempt_count)
        await provider.abandon_work_item(second.token, ignore_attempt=True)
        assert _counts(items(bench)) == [1], "an uncharged give-back takes its delivery off"
        third = await fetched(provider, "A")
        attempts.append(third.attempt_count)
        bench.clock.advance(ITEM_LOCK)
        assert _counts(items(bench)) == [2], "an expiry changes no count"
        fourth = await fetched(provider, "A")
        attempts.append(fourth.attempt_count)
        assert attempts == [1, 2, 2, 3], f"{instance}: {attempts}"
        await provider.ack_work_item(fourth.token)


async def _slow_and_quick(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    slow = ctx.schedule_activity_on_session("insist", input, session)
    quick = ctx.schedule_activity_on_session("insist", "0", session)
    return encoded(await ctx.join(slow, quick))


@scenario(
    covers=["25.6", "SS-13.6", "SS-1.3"],
    options={**MINUTE, "worker_concurrency": 2},
    situations=["session.shared_by_slots"],
)
async def delivery_order_only(world: World) -> None:
    """Order of delivery does not force order of execution."""
    world.worker("a", running(_slow_and_quick))
    slow = str(1 + world.draw("seconds of the slow one", 4))
    await start(world, _slow_and_quick, "i", input=slow)
    status = await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("25.6"):
        assert [one.input for one in observations(status)] == [slow, "0"], status
        scheduled = [one.event_id for one in of_kind(history, ActivityScheduled)]
        handed_out = [item_of(commit).id for commit in deliveries(world.commits, "s", "i")]
        assert len(scheduled) == 2 and handed_out == scheduled, (handed_out, scheduled)
        assert completed(history) == [scheduled[1], scheduled[0]], f"delivered {handed_out}, then {history}"
