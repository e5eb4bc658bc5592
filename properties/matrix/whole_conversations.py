"""Whole conversations for sweeps: open, activities, a wait, continue-as-new, close, an end.

Their oracles are true whatever single fault or pair of faults strikes: what they compare is what a user of an
orchestration may count on.
"""

from __future__ import annotations

from datetime import timedelta

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCompleted, ActivityScheduled
from holdfast.properties.matrix.parts.conversations import MINUTE, of_kind, running, start
from holdfast.sim import World, scenario


async def whole(ctx: OrchestrationContext, input: str) -> str:
    """Two executions: the first opens and uses a session, the second uses what was carried and closes it."""
    if input == "":
        session = ctx.open_session_with_id("s")
        both = [ctx.schedule_activity_on_session("insist", "1", session) for _ in range(2)]
        await ctx.join(*both, ctx.schedule_activity("look", "beside"))
        await ctx.schedule_timer(timedelta(seconds=20))
        await ctx.schedule_activity_on_session("insist", "40", session)
        ctx.continue_as_new("again")
        return ""
    await ctx.schedule_activity_on_session("insist", "1", "s")
    ctx.close_session("s")
    await ctx.schedule_activity("look", "after")
    return "done"


async def left_open(ctx: OrchestrationContext, input: str) -> str:
    """Ends with its session open and one activity of it told to stop."""
    session = ctx.open_session()
    await ctx.schedule_activity_on_session("insist", "1", session)
    ctx.schedule_activity_on_session("work", "90", session)
    await ctx.schedule_timer(timedelta(seconds=5))
    return "done"


@scenario(covers=["SS-24.9", "SS-9.1", "SS-17.1"], options=MINUTE, level="fault")
async def whole_conversation_of_one_worker(world: World) -> None:
    """A conversation ends as it should with a single worker, whatever strikes it once."""
    await _hold(world, "a")


@scenario(covers=["SS-24.9", "SS-9.1", "SS-17.1"], workers=2, options=MINUTE, level="fault")
async def whole_conversation_of_two_workers(world: World) -> None:
    """A conversation ends as it should with two workers, whatever strikes one of them."""
    await _hold(world, "a", "b")


@scenario(covers=["SS-24.9", "SS-18.1"], workers=2, options=MINUTE, level="fault")
async def conversation_left_open(world: World) -> None:
    """A session that is open at the end leaves nothing behind, whatever strikes."""
    for name in ("a", "b"):
        world.worker(name, running(left_open))
    await start(world, left_open, "i")
    status = await world.finished("i", check=False)
    with world.oracle("SS-24.9", "SS-18.1"):
        assert isinstance(status, Completed) and status.output == "done", status
        assert not world.sessions(), world.sessions()


async def _hold(world: World, *workers: str) -> None:
    for name in workers:
        world.worker(name, running(whole))
    await start(world, whole, "i")
    status = await world.finished("i", check=False)
    with world.oracle("SS-24.9", "SS-9.1", "SS-17.1"):
        assert isinstance(status, Completed) and status.output == "done", status
        assert not world.sessions(), world.sessions()
        for execution, count in ((1, 4), (2, 2)):
            history = await world.history("i", execution)
            assert len(of_kind(history, ActivityScheduled)) == count, history
            assert len(of_kind(history, ActivityCompleted)) == count, history
