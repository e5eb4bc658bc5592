"""Matrix section 11: terminal cleanup."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import SessionClosed
from holdfast.properties.matrix.parts.closings import concluded, ends_instance
from holdfast.properties.matrix.parts.conversations import MINUTE, failure_text, of_kind, running, sole, start
from holdfast.properties.matrix.parts.deliveries import first_delivery, refused, renewals
from holdfast.properties.matrix.parts.rows import NOTHING, leases_of, queued, stored
from holdfast.properties.matrix.parts.told import at, session_starts, signals
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

R_S: Final = 30
ITEM_RENEWAL_S: Final = 25
"""I: how often the lock of an item is renewed, and so the bound for a signal (SS-7.14)."""


async def _leaves_two_open(ctx: OrchestrationContext, input: str) -> str:
    sessions = [ctx.open_session_with_id(name) for name in ("s", "t")]
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.join(*(ctx.schedule_activity_on_session("work", input, session) for session in sessions))
    await ctx.join(*beside)
    return "done"


@scenario(
    covers=["11.1", "SS-18.1", "SS-18.5"],
    situations=["session.several_open", "instance.completed_with_open_session"],
    options=MINUTE,
)
async def completed_orchestration_closes_all_sessions(world: World) -> None:
    """Completion removes sessions left open."""
    world.worker("a", running(_leaves_two_open))
    await start(world, _leaves_two_open, "i", input=str(7 * world.draw("seconds of work / 7", 6)))
    await world.until(lambda: len(world.sessions()) == 2)
    ack = await world.commit(ends_instance)
    rows, items = world.sessions(), world.worker_rows()
    status = await world.finished("i", check=False)
    with world.oracle("11.1"):
        assert rows == [] and items == [], (rows, items)
        said = concluded(ack)
        assert (sorted(said.closed), said.opened) == (["s", "t"], []), said
        assert not of_kind(await world.history("i"), SessionClosed)
        assert isinstance(status, Completed), status


async def _raises(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    if input != "at once":
        await ctx.schedule_activity_on_session("look", "", session)
        ctx.schedule_activity_on_session("look", "left", session)
        await ctx.join(*beside)
    raise RuntimeError("given up")


@scenario(
    covers=["11.2", "SS-18.2"],
    situations=["session.opened", "instance.failed_with_open_session"],
    options=MINUTE,
)
async def failed_orchestration_closes_all_sessions(world: World) -> None:
    """Failure by exception removes sessions left open."""
    world.worker("a", running(_raises))
    await start(world, _raises, "i", input=("after work", "at once")[world.draw("when it raises", 2)])
    await start(world, _raises, "j", input="after work")
    for instance in ("i", "j"):
        status = await world.finished(instance, check=False)
        left = stored(world, instance)
        with world.oracle("11.2"):
            assert failure_text(status) == "RuntimeError: given up"
            assert left == NOTHING, left


async def _works_on(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    answer = await ctx.schedule_activity_on_session("work", "500", session)
    await ctx.join(*beside)
    return answer


@scenario(
    covers=["11.3", "SS-18.3", "SS-18.4"],
    situations=["instance.cancelled_with_open_session", "handler.signalled_lost"],
    options=MINUTE,
)
async def cancelled_orchestration_closes_all_sessions(world: World) -> None:
    """External cancellation removes sessions and cancels their activities."""
    world.worker("a", running(_works_on))
    await start(world, _works_on, "i")
    await world.until(lambda: bool(session_starts(world)))
    await world.sleep(8 * world.draw("seconds before the cancellation / 8", 8))
    await world.client.cancel_instance("i", "enough")
    ack = await world.commit(ends_instance)
    left = world.sessions(), queued(world)
    status = await world.finished("i", check=False)
    await world.until(lambda: bool(signals(world)))
    with world.oracle("11.3"):
        assert left == ([], []), left
        assert failure_text(status) == "canceled: enough"
        assert at(sole(signals(world))) <= at(ack) + ITEM_RENEWAL_S, (ack, signals(world))


async def _ends_later(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    return "done"


@scenario(
    covers=["11.4", "SS-18.7", "SS-7.16"],
    situations=["session.renewal_refused", "lease.dropped_after_end"],
    options=MINUTE,
)
async def terminal_cleanup_stops_renewal_tasks(world: World) -> None:
    """Workers stop renewing sessions of ended instances."""
    owner = world.worker("a", running(_ends_later))
    await start(world, _ends_later, "i", input=str(7 * world.draw("seconds before the end / 7", 12)))
    await first_delivery(world)
    await world.finished("i", check=False)
    ended = len(world.commits)
    await world.sleep(4 * R_S + 1)
    with world.oracle("11.4"):
        assert refused(sole(renewals(world.commits[ended:], "s")))
        assert leases_of(owner) == ()
