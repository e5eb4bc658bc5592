"""Matrix section 21, the loss of leases: who is told, how soon, and what becomes of the work."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import (
    CapacityChanged,
    HandlerSignalled,
    HandlerStopped,
    LeaseEnded,
    LeaseTaken,
)
from holdfast.properties.matrix.parts.closings import ACK, concluded
from holdfast.properties.matrix.parts.conversations import MINUTE, encoded, observations, running, start
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    delivered,
    deliveries,
    effective,
    item_of,
    item_renewals,
    of_session,
    renewals,
    tokens_of,
    work_of,
)
from holdfast.properties.matrix.parts.rows import leases_of
from holdfast.properties.matrix.parts.takeovers import (
    D_US,
    LONG_ITEMS,
    R_S,
    R_US,
    let_expire,
    more,
    one_then_one,
    three_then_one,
)
from holdfast.properties.matrix.parts.told import at, events, lease_ends, signals, starts
from holdfast.sim import FaultBudget
from holdfast.sim.stage.faults import held_back_us
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

I_US: Final = {"a": 95_000_000, "b": 25_000_000}


async def _lost_to_another(world: World) -> tuple[Handle, Handle]:
    """A runs three activities of a session; it expires, and B takes it over with a fourth."""
    loser = world.worker("a", running(three_then_one), worker_concurrency=3)
    await start(world, three_then_one, "i", input="50")
    await world.until(lambda: len(starts(world, "a")) == 3)
    taker = world.worker("b", running(three_then_one), worker_concurrency=4)
    await world.sleep(4 * world.draw("seconds before the expiry / 4", 8))
    await more(world)
    let_expire(world, loser)
    return loser, taker


def _taken_by(world: World, process: str) -> Commit:
    return deliveries(world.commits, "s", process=process)[0]


@scenario(
    covers=["21.1", "SS-7.10", "SS-7.13", "SS-2.9"],
    workers=2,
    situations=["lock.expired_under_live_owner", "handler.signalled_lost", "session.renewal_refused_stolen"],
    level="fault",
    options=LONG_ITEMS,
)
async def session_loss_signals_inflight(world: World) -> None:
    """Losing the session cancels what is running for it."""
    loser, taker = await _lost_to_another(world)
    await world.finished("i", check=False)
    with world.oracle("21.1"):
        taken = _taken_by(world, taker.name)
        running_then = tokens_of(world.commits[: taken.position], loser.name)
        assert len(running_then) == 3, running_then
        stops = signals(world, loser.name)
        assert sorted(one.event.token for one in stops) == sorted(running_then), stops
        assert {one.event.cause for one in stops} <= {"session_lost", "deadline"}, stops
        assert all(at(taken) <= at(one) <= at(taken) + R_S for one in stops), (taken, stops)
        assert len({at(one) for one in stops}) == 1, "one loss tells them all"


@scenario(
    covers=["21.3", "SS-7.20", "SS-7.21"],
    workers=2,
    situations=["handler.discarded", "item.abandoned_uncharged", "item.same_attempt_again"],
    level="fault",
    options=LONG_ITEMS,
)
async def lost_attempt_is_abandoned_not_acked(world: World) -> None:
    """A signalled activity's item returns to the queue."""
    loser, taker = await _lost_to_another(world)
    status = await world.finished("i", check=False)
    with world.oracle("21.3"):
        taken = _taken_by(world, taker.name)
        lost = tokens_of(world.commits[: taken.position], loser.name)
        given_back = calls(world.commits, "abandon_work_item", process=loser.name)
        assert sorted(str(one.arguments["token"]) for one in given_back) == sorted(lost), given_back
        for one in given_back:
            assert one.took_effect, one
            assert one.arguments["delay"] in (None, 0) and one.arguments["ignore_attempt"] is True, one
        acked = calls(world.commits, "ack_work_item", process=loser.name)
        assert not [one for one in acked if one.arguments["token"] in lost], acked
        works = [work_of(one) for one in deliveries(world.commits, "s", process=taker.name)]
        assert len(works) == 4 and {work.attempt_count for work in works} == {1}, works
        assert isinstance(status, Completed), status
        assert {one.owner for one in observations(status)} == {taker.worker_id}, status


@scenario(
    covers=["21.4", "SS-7.15"],
    workers=2,
    situations=["handler.signalled_lost", "session.claimed_after_release"],
    level="fault",
    options=LONG_ITEMS,
)
async def lost_lease_is_forgotten(world: World) -> None:
    """A lost lease is neither reused nor counted."""
    loser = world.worker("a", running(one_then_one), worker_concurrency=1, max_sessions_per_worker=1)
    await start(world, one_then_one, "i", input="80")
    await world.until(lambda: len(starts(world, "a")) == 1)
    taker = world.worker("b", running(one_then_one))
    await world.sleep(4 * world.draw("seconds before the expiry / 4", 8))
    await more(world)
    held = len(leases_of(loser))
    let_expire(world, loser)
    await world.until(lambda: bool(lease_ends(world, loser.name)))
    cause, after_loss = lease_ends(world, loser.name)[0][1], events(world, CapacityChanged, loser.name)[-1]
    lost = tokens_of(world.commits, loser.name)
    await world.until(lambda: len(starts(world, taker.name)) == 2)
    await world.sleep(world.draw("seconds before the new owner leaves / 7", 5) * 7)
    await taker.shutdown(20)
    await world.until(lambda: len(tokens_of(world.commits, loser.name)) > len(lost))
    await world.until(lambda: len(starts(world, loser.name)) > 1)
    after_claim = events(world, CapacityChanged, loser.name)[-1]
    status = await world.finished("i", check=False)
    with world.oracle("21.4"):
        assert held == 1 and cause in ("lost", "deadline"), (held, cause)
        assert (after_loss.leases, after_loss.kept) == (0, 0), (cause, after_loss)
        assert (after_claim.leases, after_claim.kept) == (1, 0), after_claim
        order = [type(event) for event in events(world, LeaseTaken | LeaseEnded, loser.name)]
        assert order[:3] == [LeaseTaken, LeaseEnded, LeaseTaken], order
        assert {one.event.token for one in signals(world, loser.name)} == set(lost), (signals(world), lost)
        assert isinstance(status, Completed), status
        assert {one.owner for one in observations(status)} == {loser.worker_id}, status


async def _two_long_ones(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    items = [ctx.schedule_activity_on_session("work", "200", session) for _ in range(2)]
    return encoded(await ctx.join(*items))


@scenario(
    covers=["21.5", "SS-7.12", "SS-7.11"],
    workers=2,
    situations=["session.deadline_passed", "call.unsent", "session.migrated"],
    level="fault",
    options=MINUTE,
)
async def provider_unreachable_until_local_deadline(world: World) -> None:
    """Without contact a worker gives up by itself in time."""
    alone = world.worker("a", running(_two_long_ones), worker_concurrency=2)
    await start(world, _two_long_ones, "i")
    await world.until(lambda: len(starts(world, "a")) == 2)
    other = world.worker("b", running(_two_long_ones))
    await world.sleep(7 * world.draw("seconds before it is cut off / 7", 12) + 1)
    cut = world.strike("unsent", alone.name, times=None, seconds=world.draw("seconds without an answer", 3))
    record, since = world.session("i", "s"), len(world.commits)
    renewed = [*renewals(world.commits, "s"), *item_renewals(world.commits, "s")]
    extended_us = max(one.time_us for one in effective([*deliveries(world.commits, "s"), *renewed]))
    await world.commit(lambda one: of_session(one, "s") and one.process == other.name)
    cut.end()
    status = await world.finished("i", check=False)
    with world.oracle("21.5"):
        assert record is not None and record.locked_until is not None, record
        deadline_us = extended_us // 1000 * 1000 + D_US
        stops = signals(world, alone.name)
        assert [(one.time_us, one.event.cause) for one in stops] == [(deadline_us, "deadline")] * 2, stops
        later = world.commits[since:]
        assert any(one.process == alone.name and one.outcome == "unsent" for one in later), "it never tried"
        taken = deliveries(later, "s")[0]
        assert taken.process == other.name and taken.time_us >= deadline_us, (taken, deadline_us)
        assert taken.provider_ms >= record.locked_until, (taken, record)
        assert isinstance(status, Completed), status
        assert {one.owner for one in observations(status)} == {other.worker_id}, status


async def _loses_items_and_sessions(ctx: OrchestrationContext, input: str) -> str:
    """One session loses an item and is closed later; another loses an item to a select."""
    first, second = ctx.open_session_with_id("s"), ctx.open_session_with_id("t")
    short, long = map(float, input.split())
    ctx.schedule_activity_on_session("work", "300", first)
    ctx.schedule_activity_on_session("work", "300", second)
    ctx.schedule_activity_on_session("work", "50", second)
    losing = ctx.schedule_activity_on_session("work", "300", second)
    await ctx.select(ctx.schedule_timer(timedelta(seconds=short)), losing)
    await ctx.schedule_timer(timedelta(seconds=long))
    ctx.close_session(first)
    await ctx.schedule_timer(timedelta(seconds=130))
    ctx.close_session(second)
    return "done"


@scenario(
    covers=["21.2", "SS-7.14"],
    workers=2,
    faults=FaultBudget(stall=1),
    situations=["handler.signalled_lost", "session.closed_while_running", "item.renewal_refused"],
    level="fault",
    options=LONG_ITEMS,
)
async def loss_bound_measured(world: World) -> None:
    """The time from loss to signal is bounded."""
    world.worker("a", running(_loses_items_and_sessions), worker_concurrency=4)
    world.worker(
        "b",
        running(_loses_items_and_sessions),
        worker_concurrency=4,
        worker_lock_timeout=timedelta(seconds=30),
    )
    short, long = 5 * world.draw("seconds to the select / 5", 8), 7 * world.draw("and to the close / 7", 8)
    await start(world, _loses_items_and_sessions, "i", input=f"{short + 1} {long}")
    await world.until(lambda: any(one.operation == "ack_orchestration_item" for one in world.commits))
    await world.finished("i", check=False)
    await world.sleep(130)
    with world.oracle("21.2"):
        checked = [_bound_kept(world, one) for one in world.commits if delivered(one)]
        assert any(checked), "nothing was lost under a handler"


def _bound_kept(world: World, delivery: Commit) -> bool:
    """Whether this attempt lost item or session under its handler; asserts that it heard of it in time."""
    token, process = work_of(delivery).token, delivery.process
    mine = [local for local in world.locals if getattr(local.event, "token", None) == token]
    if not mine:
        return False  # its handler never started: the process stood still
    started_us = mine[0].time_us
    stopped_us = next((one.time_us for one in mine if isinstance(one.event, HandlerStopped)), world.now_us)
    told_us = next((one.time_us for one in mine if isinstance(one.event, HandlerSignalled)), stopped_us)
    losses = [
        (max(one.time_us, started_us), bound_us)
        for one in world.commits[delivery.position + 1 :]
        if one.took_effect and one.time_us <= stopped_us
        for bound_us in _losing(one, delivery)
    ]
    for lost_us, bound_us in losses:
        latency_us = held_back_us(world.faults, process, since_us=lost_us - bound_us, until_us=told_us)
        assert told_us - lost_us <= bound_us + latency_us, (delivery, lost_us, told_us, bound_us, latency_us)
    return bool(losses)


def _losing(commit: Commit, delivery: Commit) -> list[int]:
    """Within what the holder of a delivery must hear of this commit: I for the item, R for the session."""
    item, bounds = item_of(delivery), []
    if commit.operation == ACK:
        said = concluded(commit)
        if item.session_id in said.closed:
            bounds += [R_US, I_US[delivery.process]]
        if item.id in said.cancelled:
            bounds.append(I_US[delivery.process])
    other = delivered(commit)
    if other is not None and other.item.id == item.id:
        bounds.append(I_US[delivery.process])
    if other is not None and other.item.session_id == item.session_id and commit.process != delivery.process:
        bounds.append(R_US)
    return bounds
