"""Matrix section 31, rows: what operations leave in them, and what they leave alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import FetchedWork, Provider
from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.properties.matrix.parts.dice import Dice
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    begin,
    fetch,
    fetched,
    further_turn,
    item,
    items,
    records,
    row_of,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

CALLS: Final = 150
SESSIONS: Final = ("s", "t", "u")


async def _turn(dice: Dice, bench: Bench, number: int) -> None:
    """A turn that opens a session and uses it, or closes one."""
    session = dice.one_of(SESSIONS)
    if dice.below(3) == 0:
        await further_turn(bench.provider, "i", closed=sessions_named(session))
    else:
        await further_turn(bench.provider, "i", opened=sessions_named(session), work=[item(number, session)])


async def _worker_call(dice: Dice, provider: Provider, tokens: list[LockToken]) -> None:
    """Any call of a worker that may touch a session row; what is refused changes nothing."""
    session, worker = dice.one_of(SESSIONS), dice.one_of(("A", "B"))
    match dice.below(7):
        case 0:
            await provider.renew_session_lock("i", session, worker, extend_for=D)
        case 1:
            await provider.release_session_lock("i", session, worker)
        case 2 if tokens:
            await provider.renew_work_item_lock(
                dice.one_of(tokens), extend_for=ITEM_LOCK, extend_session_for=D
            )
        case 3 if tokens:
            await provider.abandon_work_item(dice.one_of(tokens))
        case 4 if tokens:
            await provider.ack_work_item(dice.one_of(tokens))
        case _:
            work = await fetch(provider, worker, claim_new=dice.below(3) > 0)
            if work is not None:
                tokens.append(work.token)


@scenario(covers=["31.2", "SS-10.2"], workers=2, level="provider")
async def null_pairing(bench: Bench) -> None:
    """Owner and expiry are null together."""
    by = (bench.provider, bench.open())
    await begin(bench.provider, opened=sessions_named(*SESSIONS), work=[item(2, "s"), item(3, "t")])
    dice, tokens = Dice(31), list[LockToken]()
    seen: dict[bool, int] = {True: 0, False: 0}
    for number in range(10, 10 + CALLS):
        if dice.below(5) == 0:
            bench.clock.advance(dice.one_of((1, ITEM_LOCK, D - ITEM_LOCK, D)))
        calls = [_worker_call(dice, provider, tokens) for provider in by]
        if dice.below(3) == 0:
            calls.insert(dice.below(3), _turn(dice, bench, number))
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, ProviderError):
                raise outcome
        for row in records(bench):
            assert (row.worker_id is None) == (row.locked_until is None), f"after call {number}: {row}"
            seen[row.worker_id is None] += 1
    assert min(seen.values()) > CALLS // 4, f"rows looked at, unclaimed and claimed: {seen}"


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
    until = bench.clock.now_ms() + 2 * D
    await provider.renew_work_item_lock(again.token, extend_for=ITEM_LOCK, extend_session_for=Millis(2 * D))
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", until), "the renewal knows whose lock it is"
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
        work = [
            item(2, "s", instance),
            item(3, "s", instance),
            item(4, "t", instance),
            item(5, "t", instance),
        ]
        await begin(provider, instance, opened=sessions_named(f"{instance}/s", f"{instance}/t"), work=[*work])
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
    until = bench.clock.now_ms() + D
    for _ in range(2):
        await provider.ack_work_item((await fetched(provider, "A")).token)
    open_rows = [
        SessionRecord("i", "never", None, None),
        SessionRecord("i", "s", "A", until),
        SessionRecord("i", "t", "A", until),
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
