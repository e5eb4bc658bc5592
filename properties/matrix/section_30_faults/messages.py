"""Matrix section 30, messages: lost answers, repeated calls and doubled completions."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCompleted
from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.core.contract.work_items import ActivityCompletedMessage as CompletionMessage
from holdfast.properties.matrix.parts.conversations import MINUTE, completed, encoded, of_kind, running, start
from holdfast.properties.matrix.parts.deliveries import delivered, deliveries, item_of, work_of
from holdfast.properties.matrix.parts.takeovers import end_of, refusal_of
from holdfast.properties.matrix.parts.told import signals
from holdfast.properties.matrix.parts.turns_by_hand import (
    ITEM_LOCK,
    D,
    begin,
    everything,
    fetched,
    held_now,
    is_refused,
    item,
    row_of,
    sessions_named,
)
from holdfast.sim import FaultBudget
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit


async def _three_in_turn(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("work", "1") for _ in range(2)]
    answers = [await ctx.schedule_activity_on_session("work", input, session) for _ in range(3)]
    await ctx.join(*beside)
    ctx.close_session(session)
    return encoded(answers)


@scenario(
    covers=["30.5", "SS-24.6", "SS-24.9"],
    workers=2,
    situations=["answer.of_claim_lost", "item.redelivered"],
    level="fault",
    options=MINUTE,
)
async def lost_fetch_response(world: World) -> None:
    """A fetch that committed but was not heard of does no lasting harm."""
    workers = {name: world.worker(name, running(_three_in_turn)) for name in ("a", "b")}
    times = 1 + world.draw("more than one", 2)
    seconds = (0, 5, 40)[world.draw("how long it is waited for", 3)]
    strike = world.strike("lost_answer", None, "fetch_session_work_item", times=times, seconds=seconds)
    await start(world, _three_in_turn, "i", input="10")
    await world.until(lambda: strike.count > 0)
    crashes = bool(world.draw("and who asked crashes", 2))
    lost = next(one for one in world.commits if one.outcome == "lost")
    if crashes:
        workers[lost.process].crash()
    last_us = world.now_us + 200_000_000
    await world.until(lambda: _redelivered(world) or world.now_us >= last_us)
    status = await end_of(world, "i", within_s=300)
    with world.oracle("30.5"):
        assert isinstance(status, Completed), status
        for one in [each for each in world.commits if each.outcome == "lost" and delivered(each)]:
            later = filter(delivered, world.commits[one.position + 1 :])
            again = next(each for each in later if item_of(each) == item_of(one))
            assert again.provider_ms >= one.provider_ms + ITEM_LOCK, (one, again)
            assert work_of(again).attempt_count == work_of(one).attempt_count + 1, (one, again)
        last = deliveries(world.commits, "s")[-1]
        assert workers[last.process].alive and last.outcome == "answered", last
        done = completed(await world.history("i"))
        assert len(done) == 5 and len({*done}) == 5, done
        assert isinstance(status, Completed), status


def _redelivered(world: World) -> bool:
    return any(work.attempt_count > 1 for work in map(delivered, world.commits) if work is not None)


@scenario(
    covers=["30.7", "SS-19.5"],
    faults=FaultBudget(duplicate=4),
    situations=["completion.duplicated"],
    level="fault",
    options=MINUTE,
)
async def duplicated_completion(world: World) -> None:
    """A completion delivered twice counts once."""
    world.worker("a", running(_three_in_turn))
    await start(world, _three_in_turn, "i", input="40")
    status = await world.finished("i", check=False)
    with world.oracle("30.7"):
        assert isinstance(status, Completed), status
        done = completed(await world.history("i"))
        assert len(done) == 5 and len({*done}) == 5, done


@scenario(covers=["30.10", "SS-12.19"], level="provider")
async def repeated_calls_change_nothing_more(bench: Bench) -> None:
    """Renew, release and item ack leave the same state when they are repeated."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(3, "s"), item(4, "s")])
    work = await fetched(provider, "A")
    bench.clock.advance(7_000)
    for _ in range(2):
        await provider.renew_session_lock("i", "s", "A", extend_for=D)
        assert row_of(bench, "s") == held_now(bench, "A"), row_of(bench, "s")
    await provider.renew_work_item_lock(work.token, extend_for=ITEM_LOCK, extend_session_for=D)
    once = await everything(bench, "i")
    await provider.renew_work_item_lock(work.token, extend_for=ITEM_LOCK, extend_session_for=D)
    assert await everything(bench, "i") == once
    completion = CompletionMessage(instance="i", execution_id=1, id=3, result="r")
    await provider.ack_work_item(work.token, completion)
    once = await everything(bench, "i")
    refusal = await is_refused(provider.ack_work_item(work.token, completion))
    assert "token" in refusal.message, refusal
    assert await everything(bench, "i") == once
    await provider.release_session_lock("i", "s", "A")
    once = await everything(bench, "i")
    assert row_of(bench, "s") == SessionRecord("i", "s", None, None), row_of(bench, "s")
    await provider.release_session_lock("i", "s", "A")
    assert await everything(bench, "i") == once


async def _works_then_rests(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    answer = await ctx.schedule_activity_on_session("work", "40", session)
    await ctx.schedule_timer(timedelta(seconds=100))
    return answer


def _concerns(one: SessionRecord | WorkerRow, call: Commit) -> bool:
    """Whether a row is the one that a call was about: others may change at the same instant."""
    if isinstance(one, SessionRecord):
        return one.instance_id == call.arguments.get("instance_id")
    return one.token == call.arguments.get("token")


_REPEATED: Final = ("renew_session_lock", "renew_work_item_lock", "release_session_lock", "ack_work_item")


@scenario(
    covers=["30.10", "SS-12.19", "SS-24.6"],
    situations=["answer.lost"],
    level="fault",
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=50)},
)
async def repeat_after_lost_response(world: World) -> None:
    """Renew, release and item ack can be repeated."""
    operation = _REPEATED[world.draw("the call", 4)]
    world.worker("a", running(_works_then_rests))
    world.strike("lost_answer", "a", operation, seconds=world.draw("seconds without an answer", 4))
    await start(world, _works_then_rests, "i", "j")
    lost = await world.commit(lambda one: one.outcome == "lost")
    once = world.sessions(), world.worker_rows()
    now_ms = world.provider_now_ms
    refusal = await refusal_of(getattr(world.provider, operation)(**lost.arguments))
    twice = world.sessions(), world.worker_rows()
    statuses = [await world.finished(name, check=False) for name in ("i", "j")]
    with world.oracle("30.10"):
        assert now_ms == lost.provider_ms, "it is repeated at the same instant"
        mine = [[each for each in rows if _concerns(each, lost)] for rows in (*once, *twice)]
        assert mine[:2] == mine[2:], (once, twice)
        assert (refusal is not None) is (operation == "ack_work_item"), refusal
        assert refusal is None or "token" in refusal.message, refusal
        assert signals(world) == [], signals(world)
        assert all(isinstance(status, Completed) for status in statuses), statuses
        for name in ("i", "j"):
            done = of_kind(await world.history(name), ActivityCompleted)
            assert len(done) == 1, done
