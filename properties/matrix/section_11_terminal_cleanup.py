"""Matrix section 11: terminal cleanup."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import SessionClosed
from holdfast.core.contract.observe import HandlerSignalled, HandlerStarted
from holdfast.core.contract.provider import ExecutionMetadata
from holdfast.properties.matrix.parts.conversations import MINUTE, failure_text, running, start
from holdfast.properties.matrix.parts.deliveries import of_session, renewals
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

R_S: Final = 30
ITEM_RENEWAL_US: Final = 25_000_000
"""I: how often the lock of an item is renewed, and so the bound for a signal (SS-7.14)."""


def _terminal(commit: Commit) -> bool:
    if commit.operation != "ack_orchestration_item" or not commit.took_effect:
        return False
    metadata = commit.arguments["metadata"]
    return isinstance(metadata, ExecutionMetadata) and metadata.status in ("Completed", "Failed")


def _lists(commit: Commit) -> tuple[list[str], list[str]]:
    """The sessions that an ack closes, and those it opens."""
    metadata = commit.arguments["metadata"]
    assert isinstance(metadata, ExecutionMetadata)
    closed = sorted(each.session_id for each in metadata.cancelled_sessions)
    return closed, sorted(each.session_id for each in metadata.opened_sessions)


async def _leaves_two_open(ctx: OrchestrationContext, input: str) -> str:
    sessions = [ctx.open_session_with_id(name) for name in ("s", "t")]
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.join(*(ctx.schedule_activity_on_session("work", input, session) for session in sessions))
    await ctx.join(*beside)
    return "done"


@scenario(
    covers=["11.1", "SS-18.1", "SS-18.5"],
    workers=1,
    situations=["session.several_open", "instance.completed_with_open_session"],
    options=MINUTE,
)
async def completed_orchestration_closes_all_sessions(world: World) -> None:
    """Completion removes sessions left open."""
    world.worker("a", running(_leaves_two_open))
    await start(world, _leaves_two_open, "i", input=str(7 * world.draw("seconds of work / 7", 6)))
    await world.until(lambda: len(world.sessions()) == 2)
    ack = await world.commit(_terminal)
    rows, items = world.sessions(), world.worker_rows()
    status = await world.finished("i")
    with world.oracle("11.1"):
        assert rows == [] and items == [], (rows, items)
        assert _lists(ack) == (["s", "t"], []), ack
        assert not [event for event in await world.history("i") if isinstance(event, SessionClosed)]
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
    workers=1,
    situations=["session.opened", "instance.failed_with_open_session"],
    options=MINUTE,
)
async def failed_orchestration_closes_all_sessions(world: World) -> None:
    """Failure by exception removes sessions left open."""
    world.worker("a", running(_raises))
    await start(world, _raises, "i", input=("after work", "at once")[world.draw("when it raises", 2)])
    await start(world, _raises, "j", input="after work")
    for instance in ("i", "j"):
        status = await world.finished(instance)
        rows = [row for row in world.sessions() if row.instance_id == instance]
        items = [row for row in world.worker_rows() if row.item is not None and row.item.instance == instance]
        with world.oracle("11.2"):
            assert failure_text(status) == "given up"
            assert rows == [] and not [row for row in items if row.session_id is not None], (rows, items)


async def _works_on(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    answer = await ctx.schedule_activity_on_session("work", "500", session)
    await ctx.join(*beside)
    return answer


@scenario(
    covers=["11.3", "SS-18.3", "SS-18.4"],
    workers=1,
    situations=["instance.cancelled_with_open_session", "handler.signalled_lost"],
    options=MINUTE,
)
async def cancelled_orchestration_closes_all_sessions(world: World) -> None:
    """External cancellation removes sessions and cancels their activities."""
    world.worker("a", running(_works_on))
    await start(world, _works_on, "i")
    await world.until(lambda: any(_runs(local.event) for local in world.locals))
    await world.sleep(8 * world.draw("seconds before the cancellation / 8", 8))
    await world.client.cancel_instance("i", "enough")
    ack = await world.commit(_terminal)
    rows, items = world.sessions(), world.worker_rows()
    status = await world.finished("i")
    await world.until(lambda: any(isinstance(local.event, HandlerSignalled) for local in world.locals))
    with world.oracle("11.3"):
        assert rows == [] and not [row for row in items if row.session_id is not None], (rows, items)
        assert failure_text(status) == "canceled: enough"
        signals = [local for local in world.locals if isinstance(local.event, HandlerSignalled)]
        assert len(signals) == 1, signals
        assert signals[0].time_us <= ack.time_us + ITEM_RENEWAL_US, (ack, signals)


def _runs(event: object) -> bool:
    return isinstance(event, HandlerStarted) and event.session_id == "s"


async def _ends_later(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    return "done"


@scenario(
    covers=["11.4", "SS-18.7", "SS-7.16"],
    workers=1,
    situations=["session.renewal_refused", "lease.dropped_after_end"],
    options=MINUTE,
)
async def terminal_cleanup_stops_renewal_tasks(world: World) -> None:
    """Workers stop renewing sessions of ended instances."""
    owner = world.worker("a", running(_ends_later))
    await start(world, _ends_later, "i", input=str(7 * world.draw("seconds before the end / 7", 12)))
    await world.commit(lambda commit: of_session(commit, "s"))
    await world.finished("i")
    ended = len(world.commits)
    await world.sleep(4 * R_S + 1)
    with world.oracle("11.4"):
        after = renewals(world.commits[ended:], "s")
        assert len(after) == 1, after
        error = after[0].error
        assert isinstance(error, ProviderError) and not error.retryable, after
        assert owner.runtime is not None and owner.runtime.leases() == (), owner.runtime
