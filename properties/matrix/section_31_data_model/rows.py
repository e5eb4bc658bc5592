"""Matrix section 31, rows: what operations leave in them, and what they leave alone."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import FetchedWork, Provider
from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.properties.matrix.parts.dice import Dice
from holdfast.properties.matrix.parts.random_calls import Callers, Trial, move_clock
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    begin,
    fetch,
    fetched,
    further_turn,
    held_now,
    item,
    items,
    records,
    row_of,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

CALLS: Final = 400


@scenario(covers=["31.2", "SS-10.2"], workers=2, level="provider")
async def null_pairing(bench: Bench) -> None:
    """Owner and expiry are null together."""
    dice = Dice(31)
    callers, trial, looked_at = Callers(dice), Trial(bench), list[bool]()
    for number in range(CALLS):
        if dice.below(5) == 0:
            move_clock(bench, dice)
        both = [callers.one_of(callers.of_all) for _ in range(2)]
        for made in await trial.make_both(*both):
            callers.hear(made)
        for row in records(bench):
            assert (row.worker_id is None) == (row.locked_until is None), f"after pair {number}: {row}"
            looked_at.append(row.worker_id is None)
    unclaimed = sum(looked_at)
    assert CALLS // 4 < unclaimed < len(looked_at) - CALLS // 4, f"{unclaimed} of {len(looked_at)} unclaimed"


def _holder(bench: Bench, id: int) -> str | None:
    """Who is noted on the worker-queue row of an activity."""
    (row,) = (row for row in items(bench) if row.item is not None and row.item.id == id)
    return row.claimed_by


@scenario(covers=["31.5", "SS-10.5"], workers=2, level="provider")
async def lock_holder_recorded_and_cleared(bench: Bench) -> None:
    """The queue row knows who locked it."""
    provider, other = bench.provider, bench.open()
    await begin(provider, opened=sessions_named("s", "t"), work=[item(2, "s"), item(3), item(4, "t")])
    assert [row.claimed_by for row in items(bench)] == [None, None, None], items(bench)
    bound = await fetched(provider, "A")
    assert bound.item.id == 2 and _holder(bench, 2) == "A", items(bench)
    plain = await fetched(provider, "A")
    assert plain.item.id == 3 and _holder(bench, 3) is None, "a plain row notes nobody"
    await provider.abandon_work_item(plain.token)
    by_plain_fetch = await provider.fetch_work_item(ITEM_LOCK, AT_ONCE)
    assert by_plain_fetch is not None and _holder(bench, 3) is None, items(bench)
    await provider.abandon_work_item(bound.token)
    assert _holder(bench, 2) is None, "given back, and still A's"
    await provider.release_session_lock("i", "s", "A")
    taken = await fetched(other, "B")
    assert taken.item.id == 2 and _holder(bench, 2) == "B", items(bench)
    bench.clock.advance(D)
    assert _holder(bench, 2) == "B", "an expiry writes nothing"
    again = await fetched(provider, "A")
    assert (again.item.id, again.attempt_count, _holder(bench, 2)) == (2, 3, "A"), items(bench)
    await provider.renew_work_item_lock(again.token, extend_for=ITEM_LOCK, extend_session_for=Millis(2 * D))
    assert row_of(bench, "s") == held_now(bench, "A", for_ms=2 * D), "the renewal knows whose lock it is"
    await provider.release_session_lock("i", "s", "A")
    await fetched(other, "B")
    assert _holder(bench, 2) == "A" and _holder(bench, 4) is None, items(bench)


Others = tuple[list[SessionRecord], list[WorkerRow]]


def _others(bench: Bench, instance: str, session: str) -> Others:
    """All rows and items but those of one session."""
    return (
        [row for row in records(bench) if (row.instance_id, row.session_id) != (instance, session)],
        [
            row
            for row in items(bench)
            if row.item is None or (row.item.instance, row.session_id) != (instance, session)
        ],
    )


@scenario(covers=["31.12", "SS-12.20", "SS-3.1"], workers=2, level="provider")
async def operations_stay_within_key(bench: Bench) -> None:
    """No session operation touches another key."""
    provider, other = bench.provider, bench.open()
    for instance in ("i", "j"):
        work = [item(id, session, instance) for id, session in ((2, "s"), (3, "s"), (4, "t"), (5, "t"))]
        await begin(provider, instance, opened=sessions_named(f"{instance}/s", f"{instance}/t"), work=work)
    # j's sessions are B's; of i's, t is A's too, and an item of each is in flight
    held: dict[tuple[str, str | None], FetchedWork] = {}
    for by, worker, count in ((provider, "A", 4), (other, "B", 4)):
        for _ in range(count):
            work_item = await fetched(by, worker)
            held.setdefault((work_item.item.instance, work_item.item.session_id), work_item)
            if work_item is not held[work_item.item.instance, work_item.item.session_id]:
                await by.abandon_work_item(work_item.token, delay=Millis(1))
    assert sorted(held, key=str) == [("i", "s"), ("i", "t"), ("j", "s"), ("j", "t")], held
    bench.clock.advance(1_000)
    mine = held["i", "s"]
    before = _others(bench, "i", "s")

    async def within(what: str, call: Awaitable[object]) -> object:
        row, result = row_of(bench, "s"), await call
        assert _others(bench, "i", "s") == before, f"{what} touched another key"
        assert row_of(bench, "s") != row or what in ("give back", "ack"), f"{what} did nothing"
        return result

    await within("renew", provider.renew_session_lock("i", "s", "A", extend_for=D))
    bench.clock.advance(1)
    renewal = provider.renew_work_item_lock(mine.token, extend_for=ITEM_LOCK, extend_session_for=D)
    await within("renew the item", renewal)
    bench.clock.advance(1)
    await within("extend by a fetch", _next_of_s(provider, "A"))
    await within("release", provider.release_session_lock("i", "s", "A"))
    await within("give back", provider.abandon_work_item(mine.token))
    claimed = await within("claim", _next_of_s(other, "B"))
    assert isinstance(claimed, FetchedWork) and claimed.item == item(2, "s"), claimed
    await within("ack", other.ack_work_item(claimed.token))
    await within("close", further_turn(provider, "i", closed=sessions_named("s")))
    assert row_of(bench, "s") is None
    await within("open", further_turn(provider, "i", opened=sessions_named("s")))
    assert len(before[0]) == 3 and len(before[1]) == 6, before


async def _next_of_s(provider: Provider, worker: str) -> FetchedWork:
    """The next item of i's session s."""
    work = await fetched(provider, worker)
    assert (work.item.instance, work.item.session_id) == ("i", "s"), work
    return work


@scenario(covers=["31.13", "SS-1.1", "SS-1.2"], level="provider")
async def session_lifetime_independent_of_queue(bench: Bench) -> None:
    """An open session without items keeps existing; a closed one does not, items or not."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s", "t", "never"), work=[item(2, "s"), item(3, "t")])
    for _ in range(2):
        await provider.ack_work_item((await fetched(provider, "A")).token)
    open_rows = [
        SessionRecord("i", "never", None, None),
        held_now(bench, "A", "s"),
        held_now(bench, "A", "t"),
    ]
    for _ in range(10):
        bench.clock.advance(D)
        for worker in ("A", "B"):
            assert await fetch(provider, worker) is None and items(bench) == []
        assert records(bench) == open_rows, records(bench)
    await further_turn(provider, "i", work=[item(4, "t")])
    await further_turn(provider, "i", closed=sessions_named("s", "t"))
    assert records(bench) == open_rows[:1] and items(bench) == [], (records(bench), items(bench))
    await further_turn(provider, "i", opened=sessions_named("u"), work=[item(5, "u")])
    await fetched(provider, "B")
    await further_turn(provider, "i", status="Completed", output="done")
    assert records(bench) == [] and items(bench) == [], (records(bench), items(bench))
