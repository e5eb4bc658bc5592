"""Beyond the matrix: lives that invariants are about and no row is, each with the clauses it shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCompleted
from holdfast.properties.matrix.parts.conversations import MINUTE, failure_text, of_kind, running, start
from holdfast.properties.matrix.parts.told import signals
from holdfast.sim import FaultBudget, World, scenario

SLOW_ITEMS: Final = {**MINUTE, "worker_lock_timeout": timedelta(seconds=100)}
"""Item locks are renewed so rarely that their renewal keeps no session alive: I = 95 s, R = 30 s."""


async def steps(ctx: OrchestrationContext, input: str) -> int:
    """Four activities of one session, one after the other."""
    session = ctx.open_session()
    for _ in range(4):
        await ctx.schedule_activity_on_session("insist", input, session)
    return 4


async def one_activity(ctx: OrchestrationContext, input: str) -> str:
    """One activity on a session, left open at the end."""
    return await ctx.schedule_activity_on_session("work", input, ctx.open_session())


async def close_under_way(ctx: OrchestrationContext, input: str) -> None:
    """A session is closed while one activity of it runs and another may just end."""
    session = ctx.open_session()
    long = ctx.schedule_activity_on_session("work", input, session)
    short = ctx.schedule_activity_on_session("work", "1", session)
    await ctx.schedule_activity("work", "1")
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=70))
    del long, short  # they are kept till here: it is the close that ends them


async def insist_on_a_closed_session(ctx: OrchestrationContext, input: str) -> None:
    """What a turn asks for comes to nothing if it then names a session that is closed."""
    session = ctx.open_session()
    ctx.close_session(session)
    await ctx.schedule_activity("look", "before")
    ctx.schedule_activity("look", "in the same turn")
    await ctx.schedule_activity_on_session("look", "on the session", session)


@scenario(covers=["SS-12.12", "SS-24.10"], faults=FaultBudget(stall=2), options=MINUTE, level="fault")
async def worker_stalls_alone(world: World) -> None:
    """A worker that stalls under its locks finishes nevertheless, and nothing that it does late counts."""
    world.worker("a", running(steps))
    await start(world, steps, "i", input="1")
    status = await world.finished("i", check=False)
    with world.oracle("SS-12.12", "SS-24.10"):
        assert isinstance(status, Completed), status
        assert len(of_kind(await world.history("i"), ActivityCompleted)) == 4


@scenario(covers=["RT-4.6"], workers=2, faults=FaultBudget(duplicate=3), options=MINUTE, level="fault")
async def completions_arrive_twice(world: World) -> None:
    """A completion that arrives again while the next activity runs is not recorded again."""
    for name in ("a", "b"):
        world.worker(name, running(steps))
    await start(world, steps, "i", input="40")
    status = await world.finished("i", check=False)
    with world.oracle("RT-4.6"):
        assert isinstance(status, Completed), status
        assert len(of_kind(await world.history("i"), ActivityCompleted)) == 4


@scenario(covers=["SS-7.11"], faults=FaultBudget(refused=2), options=SLOW_ITEMS, level="fault")
async def renewals_fail_for_a_moment(world: World) -> None:
    """A renewal that a busy store refuses is repeated, and the handler hears nothing of it."""
    world.worker("a", running(one_activity))
    await start(world, one_activity, "i", input="100")
    status = await world.finished("i", check=False)
    with world.oracle("SS-7.11"):
        assert isinstance(status, Completed), status
        assert not signals(world), signals(world)


@scenario(
    covers=["SS-8.6"],
    workers=2,
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=20)},
    level="multi-runtime",
)
async def busy_for_longer_than_the_idle_timeout(world: World) -> None:
    """A session is not idle while an activity of it runs, however long that takes."""
    for name in ("a", "b"):
        world.worker(name, running(one_activity))
    await start(world, one_activity, "i", "j", input="100")
    statuses = [await world.finished(name, check=False) for name in ("i", "j")]
    with world.oracle("SS-8.6"):
        assert all(isinstance(status, Completed) for status in statuses), statuses
        assert world.now_us == 100_000_000, "no activity was started twice"


@scenario(covers=["SS-7.13", "SS-7.14", "SS-6.9"], workers=2, options=SLOW_ITEMS, level="multi-runtime")
async def session_closed_under_its_handler(world: World) -> None:
    """A handler whose session is closed is told within R, although its item lock is renewed much later."""
    for name in ("a", "b"):
        world.worker(name, running(close_under_way))
    await start(world, close_under_way, "i", input="90")
    await start(world, close_under_way, "j", input="1")
    statuses = [await world.finished(name, check=False) for name in ("i", "j")]
    with world.oracle("SS-7.13", "SS-7.14", "SS-6.9"):
        assert all(isinstance(status, Completed) for status in statuses), statuses
        told = [one.event for one in signals(world)]
        assert len({event.token for event in told}) == len(told), "once each"
        assert all(event.cause == "session_lost" for event in told), told


@scenario(covers=["SS-14.2", "SS-14.5"], options={**MINUTE, "max_sessions_per_worker": 1})
async def two_sessions_and_room_for_one(world: World) -> None:
    """Two slots that fetch at once do not take two sessions where there is room for one."""
    world.worker("a", running(steps))
    await start(world, steps, "i", "j", input="1")
    statuses = [await world.finished(name, check=False) for name in ("i", "j")]
    with world.oracle("SS-14.2", "SS-14.5"):
        assert all(isinstance(status, Completed) for status in statuses), statuses


@scenario(covers=["SS-16.3"], options=MINUTE)
async def refused_turn_does_nothing(world: World) -> None:
    """A turn that ends because its session is closed starts none of the activities it had asked for."""
    world.worker("a", running(insist_on_a_closed_session))
    await start(world, insist_on_a_closed_session, "i")
    status = await world.finished("i", check=False)
    with world.oracle("SS-16.3"):
        assert "which is not open" in failure_text(status)
        assert len(of_kind(await world.history("i"), ActivityCompleted)) == 1
        assert world.worker_rows() == []
