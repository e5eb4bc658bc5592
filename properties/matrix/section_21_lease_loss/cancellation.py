"""Matrix section 21, cancellation: what is a loss and what is not, and how handlers and items end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import ActivityContext, OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import LeaseEnded, LeaseTaken
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ActivityCompletedMessage as CompletionMessage
from holdfast.properties.matrix.parts.conversations import MINUTE, encoded, output, running, sole, start
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    deliveries,
    refused,
    renewals,
    work_of,
)
from holdfast.properties.matrix.parts.rows import leases_of, owner_and_expiry, until_second
from holdfast.properties.matrix.parts.takeovers import LONG_ITEMS
from holdfast.properties.matrix.parts.told import at, events, lease_ends, signals, starts, told
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    begin,
    fetched,
    ids,
    is_refused,
    item,
    items,
    row_of,
    sessions_named,
    turn_of,
)
from holdfast.sim.stage.script import ScriptedFault
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

GRACE_S: Final = 10


async def _two_sessions_at_work(ctx: OrchestrationContext, input: str) -> str:
    items = [
        ctx.schedule_activity_on_session("work", input, ctx.open_session_with_id(name)) for name in ("s", "t")
    ]
    return encoded(await ctx.join(*items))


@scenario(covers=["21.6", "SS-7.11"], situations=["call.refused"], level="fault", options=MINUTE)
async def transient_renewal_error_is_retried(world: World) -> None:
    """One failed renewal is not a loss."""
    by_item = not world.draw("not the item's renewal fails", 2)
    operation = "renew_work_item_lock" if by_item else "renew_session_lock"
    world.worker(
        "a", running(_two_sessions_at_work), worker_lock_timeout=timedelta(seconds=30 if by_item else 100)
    )
    kinds: tuple[ScriptedFault, ...] = ("refused", "unsent", "lost_answer")
    kind = kinds[world.draw("how", 3)]
    world.strike(
        kind, "a", operation, skip=world.draw("renewals before", 4), seconds=world.draw("seconds", 3)
    )
    await start(world, _two_sessions_at_work, "i", input="90")
    struck = await world.commit(lambda one: one.operation == operation and one.outcome != "answered")
    rows = {each.session_id: each.locked_until for each in world.sessions()}
    status = await world.finished("i", check=False)
    with world.oracle("21.6"):
        later = calls(world.commits[struck.position + 1 :], operation)
        repeats = [one for one in later if one.arguments == struck.arguments]
        assert repeats, "it was not repeated"
        again = repeats[0]
        assert again.took_effect and again.process == "a", again
        expiry = min(until for until in rows.values() if until is not None)
        assert again.provider_ms < expiry, (again, rows)
        assert at(again) - at(struck) <= 3.1, "within the first pause and the time of the call"
        assert signals(world) == [] and lease_ends(world, "a")[2:] == [], world.locals
        assert not [one for one in events(world, LeaseEnded, "a") if one.in_flight], (
            "no lease ended under work"
        )
        assert len(told(world, LeaseTaken)) == 2
        assert isinstance(status, Completed), status


async def _deselects_one(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    kept = ctx.schedule_activity_on_session("work", "90", session)
    losing = ctx.schedule_activity_on_session("work", "300", session)
    winner, _ = await ctx.select(ctx.schedule_timer(timedelta(seconds=float(input))), losing)
    return encoded([winner, await kept])


@scenario(
    covers=["21.7", "SS-7.23"], situations=["handler.signalled_lost", "item.renewal_refused"], options=MINUTE
)
async def item_lock_loss_is_local(world: World) -> None:
    """Losing one item's lock cancels that activity only."""
    world.worker("a", running(_deselects_one), worker_concurrency=4)
    select_s = 1 + 5 * world.draw("seconds to the select / 5", 12)
    await start(world, _deselects_one, "i", "j", input=str(select_s))
    statuses = [await world.finished(name, check=False) for name in ("i", "j")]
    await world.sleep(30)
    with world.oracle("21.7"):
        for name, status in zip(("i", "j"), statuses, strict=True):
            assert isinstance(status, Completed), status
            mine = sorted(starts(world, instance=name), key=lambda one: one.activity_id)
            assert len(mine) == 2, mine
            tokens = [one.token for one in mine]
            stops = [
                (one.event.token, one.event.cause) for one in signals(world) if one.event.token in tokens
            ]
            assert stops == [(tokens[1], "item_lost")], (mine, stops)


@scenario(covers=["21.8", "SS-4.9"], workers=2, level="provider")
async def completion_accepted_after_session_loss(bench: Bench) -> None:
    """A result acked with a valid item lock counts although the session has moved."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(3, "s"), item(4, "s")])
    mine = await fetched(provider, "A", lock=D + 30_000)
    assert mine.item.id == 3, mine
    bench.clock.advance(D)
    theirs = await fetched(provider, "B")
    moved = SessionRecord("i", "s", "B", bench.clock.now_ms() + D)
    assert theirs.item.id == 4 and row_of(bench, "s") == moved, theirs
    completion = CompletionMessage(instance="i", execution_id=1, id=3, result="late")
    try:
        await provider.ack_work_item(mine.token, completion)
    except ProviderError as error:
        raise AssertionError(f"the ack was refused: {error}") from error
    assert row_of(bench, "s") == moved
    assert ids(bench) == [("i", 4)], items(bench)
    turn = await turn_of(provider)
    assert list(turn.item.messages) == [completion], turn


async def _closes_and_reopens(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    await ctx.schedule_activity_on_session("look", "", session)
    busy = ctx.schedule_activity("work", "33")
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    ctx.close_session(session)
    ctx.open_session_with_id(session)
    new = ctx.schedule_activity_on_session("work", "60", session)
    return encoded(await ctx.join(busy, new))


@scenario(
    covers=["21.9", "SS-7.22"],
    situations=["session.renewal_refused", "session.reopened_same_turn"],
    level="fault",
    options=MINUTE,
)
async def stale_renewal_failure_is_rechecked(world: World) -> None:
    """A renewal failure that crosses a new claim by the same worker is not a loss."""
    world.worker("a", running(_closes_and_reopens), worker_concurrency=1)
    answer_s = 4 + world.draw("seconds of the refusal", 4)
    world.strike("slow_answer", "a", "renew_session_lock", seconds=answer_s)
    fetch_first = not world.draw("the fetch is answered last", 2)
    close_s = 1 + 2 * world.draw("seconds to the close / 2", 14)
    await start(world, _closes_and_reopens, "i", input=str(close_s))
    await world.commit(lambda one: one.operation == "ack_work_item" and one.took_effect)
    await until_second(world, 2)
    if not fetch_first:
        world.strike("slow_answer", "a", "fetch_session_work_item", seconds=4.5)
    status = await world.finished("i", check=False)
    with world.oracle("21.9"):
        first, *later = renewals(world.commits, "s")
        fetch = deliveries(world.commits, "s")[-1]
        assert refused(first) and first.position < fetch.position and at(fetch) == 33, (first, fetch)
        assert signals(world) == [], signals(world)
        leases = [
            (type(one.event), getattr(one.event, "cause", ""))
            for one in told(world, LeaseTaken | LeaseEnded)
            if at(one) <= at(fetch) + 5
        ]
        lost_before = [] if fetch_first else [(LeaseTaken, ""), (LeaseEnded, "lost")]
        assert leases == [*lost_before, (LeaseTaken, "")], leases
        checked = bool(later) and later[0].took_effect and at(later[0]) == at(first) + answer_s
        assert checked or not fetch_first, "a refusal heard after the claim is checked with one renewal"
        assert isinstance(status, Completed), status


async def _twice(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    first = await ctx.schedule_activity_on_session("look", "", session)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    second = await ctx.schedule_activity_on_session("work", "70", session)
    return encoded([first, second])


@scenario(
    covers=["21.10", "SS-24.7", "SS-7.16"],
    situations=["session.released_idle"],
    level="fault",
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=35)},
)
async def late_response_after_lease_end(world: World) -> None:
    """Old responses have no effect."""
    owner = world.worker("a", running(_twice))
    kinds: tuple[ScriptedFault, ...] = ("slow_answer", "lost_answer")
    held_s = 10 + world.draw("seconds the answer is held back", 10)
    world.strike(kinds[world.draw("success or error", 2)], "a", "renew_session_lock", seconds=held_s)
    again_s = (37, 80)[world.draw("a new item after the answer", 2)]
    await start(world, _twice, "i", input=str(again_s))
    await until_second(world, 36)
    released = owner_and_expiry(world), leases_of(owner)
    samples = []
    for second in (30 + held_s - 0.001, 30 + held_s + 0.001):
        await until_second(world, second)
        samples.append((owner_and_expiry(world), leases_of(owner)))
    status = await world.finished("i", check=False)
    with world.oracle("21.10"):
        outstanding = renewals(world.commits, "s")[0]
        assert outstanding.took_effect and at(outstanding) == 30, outstanding
        let_go = calls(world.commits, "release_session_lock", process="a")[0]
        assert let_go.took_effect and at(let_go) == 35, let_go
        assert released == ((None, None), ()), released
        assert samples[0] == samples[1], samples
        taken = deliveries(world.commits, "s")[-1]
        assert at(taken) == again_s, taken
        held = again_s < 30 + held_s
        assert samples[1][0] == ((owner.worker_id, again_s + 60) if held else (None, None)), samples
        later = calls(world.commits[taken.position + 1 :], "renew_work_item_lock", "renew_session_lock")
        assert later[0].operation == "renew_work_item_lock", "nothing else is due then"
        assert at(later[0]) == again_s + 25, later[0]
        assert isinstance(status, Completed), status


async def talk(ctx: OrchestrationContext, input: str) -> str:
    """One activity that resists, and two beside it."""
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("note", "") for _ in range(2)]
    answer = await ctx.schedule_activity_on_session("resist", "", session)
    await ctx.join(*beside)
    return answer


async def _note(ctx: ActivityContext, input: str) -> None:
    return None


@scenario(
    covers=["21.12", "SS-7.20"],
    situations=["handler.aborted", "session.deadline_passed", "item.same_attempt_again"],
    options=LONG_ITEMS,
)
async def slow_handler_is_aborted_after_grace(world: World) -> None:
    """A handler that ignores the signal is aborted after the grace period and its item given back."""
    attempts: list[int] = []

    async def resist(ctx: ActivityContext, input: str) -> str:
        attempts.append(world.now_us)
        if len(attempts) > 1:
            return "in time"
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            return "too late"  # noqa: B012 - swallows its cancellation: that is what it is for

    worker = world.worker("a", running(talk, note=_note, resist=resist))
    await start(world, talk, "i")
    await world.until(lambda: bool(attempts))
    if world.draw("it is cut off, not frozen", 2):
        await world.sleep(3 * world.draw("seconds before it is cut off / 3", 9))
        cut = world.strike("unsent", "a", "renew_session_lock", times=None)
        await until_second(world, 61)
        cut.end()
    else:
        await world.sleep(3 * world.draw("seconds before it freezes / 3", 9))
        worker.stall(61 + world.draw("seconds beyond the deadline", 9) - world.now_us / 1_000_000)
    status = await world.finished("i", check=False)
    await world.sleep(5)
    with world.oracle("21.12"):
        signal = sole(signals(world))
        given_back = sole(calls(world.commits, "abandon_work_item"))
        assert signal.event.cause == "deadline" and at(given_back) == at(signal) + GRACE_S, given_back
        assert given_back.took_effect and given_back.arguments["ignore_attempt"] is True, given_back
        works = [work_of(one) for one in deliveries(world.commits, "s")]
        assert [one.attempt_count for one in works] == [1, 1], works
        assert output(status) == "in time", status
        written = [*await world.history("i"), *(one.arguments for one in world.commits)]
        assert not [one for one in written if "too late" in repr(one)]


async def _closed_under_two(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    for name in ("waits", "asks"):
        ctx.schedule_activity_on_session(name, "", session)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=50))
    return "done"


@scenario(
    covers=["21.13", "SS-2.9", "SS-6.8"],
    situations=["handler.signalled_lost", "handler.discarded"],
    options=MINUTE,
)
async def signal_reaches_activity_token(world: World) -> None:
    """The signal is visible through the ordinary cancellation interface."""
    heard: list[tuple[str, str, int]] = []
    linger_s = 2 + world.draw("seconds to say goodbye", 7)

    def note(who: str, what: str) -> None:
        heard.append((who, what, world.now_us))

    async def go_on(ctx: ActivityContext, who: str) -> None:
        note(who, f"cancelled {ctx.is_cancelled()} {ctx.token.is_cancelled()}")
        try:
            await asyncio.sleep(linger_s)
        except BaseException as error:
            note(who, f"disturbed by {error!r}")
            raise
        note(who, "goodbye")

    async def waits(ctx: ActivityContext, input: str) -> None:
        note("waits", f"begun {ctx.is_cancelled()}")
        await ctx.cancelled()
        await go_on(ctx, "waits")

    async def asks(ctx: ActivityContext, input: str) -> None:
        note("asks", f"begun {ctx.is_cancelled()}")
        while not ctx.is_cancelled():
            await asyncio.sleep(0.1)
        await go_on(ctx, "asks")

    world.worker("a", running(_closed_under_two, waits=waits, asks=asks))
    await start(world, _closed_under_two, "i", input=str(1 + 5 * world.draw("seconds to the close / 5", 10)))
    await world.finished("i", check=False)
    with world.oracle("21.13"):
        stops = {one.event.token: one.time_us for one in signals(world)}
        assert len(stops) == 2, stops
        in_order = sorted(starts(world), key=lambda one: one.activity_id)
        for started, who in zip(in_order, ("waits", "asks"), strict=True):
            mine = [(what, time_us) for name, what, time_us in heard if name == who]
            assert [what for what, _ in mine] == ["begun False", "cancelled True True", "goodbye"], mine
            woken_us, signal_us = mine[1][1], stops[started.token]
            assert signal_us <= woken_us <= signal_us + (0 if who == "waits" else 100_000), (mine, signal_us)


@scenario(covers=["21.15", "SS-12.13"], level="provider")
async def ack_after_item_lock_expiry_rejected(bench: Bench) -> None:
    """A result acked after the item lock ran out is refused even if nobody took the item."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(3, "s")])
    mine = await fetched(provider, "A")
    before = items(bench), row_of(bench, "s")
    completion = CompletionMessage(instance="i", execution_id=1, id=3, result="late")
    for late_ms in (0, 1):
        bench.clock.advance(ITEM_LOCK if late_ms == 0 else late_ms)
        await is_refused(provider.ack_work_item(mine.token, completion))
        assert (items(bench), row_of(bench, "s")) == before
        assert await provider.fetch_orchestration_item(Millis(5_000), AT_ONCE) is None, "no completion"
    again = await fetched(provider, "A")
    assert again.item == mine.item and again.attempt_count == 2, again
    await provider.ack_work_item(again.token, completion)
    assert list((await turn_of(provider)).item.messages) == [completion]
