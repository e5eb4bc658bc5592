"""Matrix section 23, what an acknowledgement does to sessions: all of it or nothing, and to no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import permutations

from holdfast.core.contract import events
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import FetchedTurn, Provider, ScheduledActivityIdentifier
from holdfast.core.contract.store import SessionRecord, inspectable
from holdfast.core.contract.work_items import QueueMessage, StartOrchestration
from holdfast.properties.matrix.parts import turns_by_hand as hand
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    acknowledge,
    begin,
    event,
    everything,
    fetch,
    fetched,
    further_turn,
    held_now,
    ids,
    is_refused,
    item,
    items,
    note,
    records,
    row_of,
    sessions_named,
    wake,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

CHANGES_MIN = 12
"""The acknowledgement below makes at least so many changes, whatever the store counts as one."""


async def _about_to_close(bench: Bench) -> Provider:
    """Instance i with s (owned, running, waiting), t (unclaimed); instance j next to it with its own s."""
    provider = bench.provider
    await begin(
        provider,
        opened=sessions_named("s", "t"),
        work=[item(2, "s"), item(3, "s"), item(4), item(5, "t")],
    )
    await begin(provider, "j", opened=sessions_named("j/s"), work=[item(2, "s", "j")])
    await fetched(provider, "A")
    return provider


async def _close(bench: Bench, turn: FetchedTurn) -> None:
    """Close s, open u and use it, write, schedule, cancel and send: every part of an acknowledgement."""
    await acknowledge(
        bench.provider,
        turn,
        event(events.CustomStatusUpdated, 2, status="busy"),
        event(events.KeyValueSet, 3, key="k", value="v", last_updated_at_ms=1),
        event(events.SessionClosed, 4, session_id="s"),
        event(events.ActivityCancelRequested, 5, source_event_id=2, reason="session_closed"),
        event(events.SessionOpened, 6, session_id="u"),
        opened=sessions_named("u"),
        closed=sessions_named("s"),
        work=[item(7, "u"), item(8)],
        messages=[
            StartOrchestration(instance="c", orchestration="flow", input="", execution_id=1),
            QueueMessage(instance="j", name="n", data=""),
        ],
        cancelled=[ScheduledActivityIdentifier("i", 1, 4)],
    )


async def _after_the_close(bench: Bench) -> None:
    assert [(row.instance_id, row.session_id, row.worker_id) for row in records(bench)] == [
        ("i", "t", None),
        ("i", "u", None),
        ("j", "s", None),
    ], records(bench)
    assert ids(bench) == [("i", 5), ("j", 2), ("i", 7), ("i", 8)], items(bench)
    assert [one.event_id for one in await bench.provider.read("i")] == [1, 2, 3, 4, 5, 6]
    status = await bench.provider.get_custom_status("i", 0)
    assert status is not None and status.text == "busy", status
    assert await bench.provider.get_kv_all_values("i") == {"k": "v"}
    got = []
    while (turn := await bench.provider.fetch_orchestration_item(hand.TURN_LOCK, AT_ONCE)) is not None:
        got.append((turn.item.instance, len(turn.item.messages)))
    assert sorted(got) == [("c", 1), ("j", 1)], got


@scenario(covers=["23.1", "SS-12.10", "SS-6.3", "SS-5.7"], level="provider")
async def cancelled_sessions_atomic_with_ack(bench: Bench) -> None:
    """Row, items, events and lock change together, wherever in the ack the store fails."""
    provider = await _about_to_close(bench)
    turn = await wake(provider)
    before = await everything(bench, "i", "j")
    change, broke = 0, True
    while broke:
        change += 1
        for retryable in (True, False):
            inspectable(bench.store, "break_calls").break_calls(
                "ack_orchestration_item", change=change, retryable=retryable
            )
            try:
                await _close(bench, turn)
            except ProviderError as error:
                assert error.retryable is retryable, (change, error)
                assert await everything(bench, "i", "j") == before, f"change {change} is left behind"
                assert await hand.token_is_held(provider, turn.token), f"change {change} loses the lock"
                await provider.renew_orchestration_item_lock(turn.token, extend_for=hand.TURN_LOCK)
            else:
                broke = False
                break
    assert change > CHANGES_MIN, f"the acknowledgement makes {change - 1} changes, which is too few"
    await _after_the_close(bench)
    assert not await hand.token_is_held(provider, turn.token)


@scenario(covers=["23.2", "SS-5.5"], workers=2, level="provider")
async def open_and_first_item_visible_together(bench: Bench) -> None:
    """No fetch sees an item whose session has no row."""
    for number, order in enumerate(permutations(("ack", "A", "B"))):
        for head_start in range(4):
            await _fetch_during_ack(bench, f"i{number}-{head_start}", order, head_start)


async def _fetch_during_ack(bench: Bench, instance: str, order: tuple[str, ...], head_start: int) -> None:
    provider, other = bench.provider, bench.open()
    await provider.enqueue_for_orchestrator(
        StartOrchestration(instance=instance, orchestration="flow", input="", version="1.0.0", execution_id=1)
    )
    turn = await hand.turn_of(provider, instance)
    got: list[int] = []

    async def ack() -> None:
        for _ in range(head_start):
            await asyncio.sleep(0)
        sessions = sessions_named(f"{instance}/s", f"{instance}/t")
        work = [item(4, "s", instance), item(5, "t", instance), item(6, "s", instance)]
        await acknowledge(provider, turn, hand.started(instance), opened=sessions, work=work)

    async def poll(worker: str, by: Provider) -> None:
        for _ in range(8):
            before = [row.session_id for row in records(bench, instance)]
            work = await fetch(by, worker)
            after = [row.session_id for row in records(bench, instance)]
            if work is not None:
                assert work.item.session_id in before, (order, work, before)
                got.append(work.item.id)
            assert after == before, f"a fetch made a row: {before} -> {after}"
            await asyncio.sleep(0)

    calls: dict[str, Callable[[], Awaitable[None]]] = {
        "ack": ack,
        "A": partial(poll, "A", provider),
        "B": partial(poll, "B", other),
    }
    await asyncio.gather(*(calls[name]() for name in order))
    assert sorted(got) == [4, 5, 6], got


@scenario(covers=["23.3", "SS-12.10", "SS-6.13", "SS-25.16"], level="provider")
async def ack_order_delete_insert_enqueue(bench: Bench) -> None:
    """Close, reopen and schedule in one ack end in the right state."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s")])
    held = await fetched(provider, "A")
    await further_turn(
        provider, "i", closed=sessions_named("s"), opened=sessions_named("s"), work=[item(4, "s")]
    )
    assert ids(bench) == [("i", 4)], items(bench)
    assert records(bench) == [SessionRecord("i", "s", None, None)], records(bench)
    await is_refused(provider.ack_work_item(held.token))
    again = await fetched(provider, "B")
    assert (again.item.id, again.attempt_count) == (4, 1), again
    assert row_of(bench, "s") == held_now(bench, "B")
    await further_turn(provider, "i", closed=sessions_named("s"), work=[item(5, "s"), item(6)])
    assert records(bench) == [] and ids(bench) == [("i", 6)], (records(bench), items(bench))
    assert [one.event_id for one in await provider.read("i")] == [1], "the delta was empty"


@scenario(covers=["23.5", "SS-6.5", "SS-25.15"], level="provider")
async def close_deletes_delayed_and_locked_items(bench: Bench) -> None:
    """Every kind of queued item of the session goes, and no other."""
    provider = bench.provider
    work = [item(id, "s") for id in range(2, 6)]
    await begin(provider, opened=sessions_named("s", "t"), work=[*work, item(6, "t"), item(7, "t"), item(8)])
    await begin(provider, "j", opened=sessions_named("j/s"), work=[item(2, "s", "j"), item(3, "s", "j")])
    expired = await fetched(provider, "A")
    bench.clock.advance(ITEM_LOCK)
    await provider.renew_session_lock("i", "s", "A", extend_for=D)
    again = await fetched(provider, "A")
    assert again.item.id == expired.item.id == 2, again
    live, delayed = await fetched(provider, "A"), await fetched(provider, "A")
    await provider.abandon_work_item(delayed.token, delay=Millis(600_000))
    bench.clock.advance(ITEM_LOCK - 1)
    await provider.renew_work_item_lock(live.token, extend_for=ITEM_LOCK, extend_session_for=D)
    bench.clock.advance(1)
    for _ in range(3):
        await fetched(provider, "B")
    mine = [row for row in items(bench) if row.item is not None and row.item.session_id == "s"]
    kinds = {row.item.id: row for row in mine if row.item is not None and row.item.instance == "i"}
    now = bench.clock.now_ms()
    assert kinds[2].locked_until == now, "2: its lock has just expired"
    assert (kinds[3].locked_until or 0) > now, "3: its lock is live"
    assert kinds[4].visible_from > now, "4: it is delayed"
    assert (kinds[5].token, kinds[5].locked_until) == (None, None), "5: it waits"
    others = [row for row in items(bench) if row not in kinds.values()]
    rows = [row for row in records(bench) if (row.instance_id, row.session_id) != ("i", "s")]
    assert len(others) == 5 and len(rows) == 2
    await further_turn(provider, "i", closed=sessions_named("s"))
    assert items(bench) == others, items(bench)
    assert records(bench) == rows, records(bench)
    for work_item in (again, live):
        await is_refused(provider.ack_work_item(work_item.token))
    bench.clock.advance(600_000)
    left = [one.item.id for _ in range(5) if (one := await fetch(provider, "A")) is not None]
    assert len(left) == len(others), left


@scenario(covers=["23.11", "SS-5.6", "SS-25.2"], level="provider")
async def reopen_leaves_surviving_row_untouched(bench: Bench) -> None:
    """Opening a session that exists changes nothing, be it owned, expired or unclaimed."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s", "t"), work=[item(2, "s"), item(3, "t")])
    await fetched(provider, "A")
    bench.clock.advance(20_000)
    for passed in (0, D):
        bench.clock.advance(passed)
        before = records(bench)
        assert row_of(bench, "s") is not None and before[0].worker_id == "A", before
        assert row_of(bench, "t") == SessionRecord("i", "t", None, None), before
        queued = items(bench)
        await further_turn(provider, "i", opened=sessions_named("s", "t"))
        assert records(bench) == before, (before, records(bench))
        assert items(bench) == queued, (queued, items(bench))


@scenario(covers=["23.12", "SS-12.12", "SS-25.1", "SS-25.15"], workers=2, level="provider")
async def stale_orchestration_token_changes_nothing(bench: Bench) -> None:
    """A late ack from a dispatcher that lost its lock has no effect."""
    provider, other = bench.provider, bench.open()
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s")])
    await fetched(provider, "A")
    stale = await wake(provider)

    async def rejected(why: str) -> None:
        before = await everything(bench, "i")
        late = acknowledge(
            provider,
            stale,
            note(2),
            opened=sessions_named("u"),
            closed=sessions_named("s"),
            work=[item(9, "u")],
            messages=[QueueMessage(instance="i", name="n", data="")],
        )
        await is_refused(late)
        assert await everything(bench, "i") == before, f"{why}: the ack has changed something"

    bench.clock.advance(hand.TURN_LOCK)
    await rejected("expired")
    again = await hand.turn_of(other)
    await rejected("taken over")
    await acknowledge(other, again, note(2))
    await rejected("acknowledged by another")
    assert [row.session_id for row in records(bench)] == ["s"], records(bench)
    assert [one.event_id for one in await provider.read("i")] == [1, 2]


@scenario(covers=["23.13", "SS-12.19", "SS-24.6"], level="provider")
async def retried_ack_is_applied_once(bench: Bench) -> None:
    """An ack repeated after its answer was lost is rejected, and the state is that of one."""
    provider = await _about_to_close(bench)
    turn = await wake(provider)
    await _close(bench, turn)  # its answer is lost
    once = await everything(bench, "i", "j")
    for _ in range(2):
        await is_refused(_close(bench, turn))
        assert await everything(bench, "i", "j") == once, "the second application shows"
    await _after_the_close(bench)
    bench.clock.advance(hand.TURN_LOCK)
    await provider.enqueue_for_orchestrator(QueueMessage(instance="i", name="go", data=""))
    turns = [await provider.fetch_orchestration_item(hand.TURN_LOCK, AT_ONCE) for _ in range(3)]
    assert "i" in [turn.item.instance for turn in turns if turn is not None], "the instance goes on"


@scenario(covers=["23.14", "SS-6.16", "SS-12.20", "SS-3.1"], workers=2, level="provider")
async def close_affects_only_its_session(bench: Bench) -> None:
    """Neighbours stay as they were: the same id elsewhere, another id here."""
    provider, other = bench.provider, bench.open()
    await begin(provider, opened=sessions_named("s", "t"), work=[item(2, "s"), item(3, "t"), item(4, "t")])
    await begin(provider, "j", opened=sessions_named("j/s"), work=[item(2, "s", "j"), item(3, "s", "j")])
    mine, neighbour = await fetched(provider, "A"), await fetched(provider, "A")
    await fetched(provider, "A")
    foreign = await fetched(other, "B")
    assert (neighbour.item.session_id, foreign.item.instance) == ("t", "j"), (neighbour, foreign)
    rows = [row for row in records(bench) if (row.instance_id, row.session_id) != ("i", "s")]
    queued = [row for row in items(bench) if row.item is not None and row.item != mine.item]
    await further_turn(provider, "i", closed=sessions_named("s"))
    assert records(bench) == rows and len(rows) == 2, (rows, records(bench))
    assert items(bench) == queued and len(queued) == 4, (queued, items(bench))
    bench.clock.advance(20_000)
    await provider.renew_session_lock("i", "t", "A", extend_for=D)
    await other.renew_work_item_lock(foreign.token, extend_for=ITEM_LOCK, extend_session_for=D)
    await provider.renew_work_item_lock(neighbour.token, extend_for=ITEM_LOCK, extend_session_for=D)
    assert row_of(bench, "t") == held_now(bench, "A", "t"), records(bench)
    assert row_of(bench, "s", "j") == held_now(bench, "B", "s", "j"), records(bench)
    await is_refused(provider.renew_session_lock("i", "s", "A", extend_for=D))
    assert (await fetched(other, "B")).item == item(3, "s", "j")
