"""Matrix section 23, acks that break in their middle, and acks whose answer is lost."""

from __future__ import annotations

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.properties.matrix.parts.closings import ACK, concluded
from holdfast.properties.matrix.parts.conversations import MINUTE, running, session_events, start
from holdfast.properties.matrix.parts.deliveries import calls, effective, refused
from holdfast.properties.matrix.parts.rows import queued, stored
from holdfast.properties.matrix.parts.told import session_starts
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

CHANGES = 24
"""Beyond the changes that the ack below makes in either store: some drawn acks go through."""


async def _exchanges_sessions(ctx: OrchestrationContext, input: str) -> str:
    for name in ("s", "t"):
        ctx.open_session_with_id(name)
    ctx.schedule_activity_on_session("work", "500", "s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.join(*beside)
    await ctx.dequeue_event("go")
    ctx.close_session("s")
    ctx.open_session_with_id("u")
    await ctx.schedule_activity_on_session("look", "", "u")
    await ctx.dequeue_event("end")
    return "done"


async def _visible(
    world: World,
) -> tuple[list[SessionRecord], list[WorkerRow], list[StoredEvent], list[WorkerRow]]:
    return world.sessions(), queued(world), await world.history("i"), world.worker_rows()


@scenario(
    covers=["23.1", "SS-12.10", "SS-6.3", "SS-5.7", "SS-24.9"],
    situations=["session.closed_while_running", "ack.rejected"],
    level="fault",
    options=MINUTE,
)
async def closing_ack_breaks_in_its_middle(world: World) -> None:
    """The store fails at some statement of a closing ack, once or until the batch is given back."""
    worker = world.worker("a", running(_exchanges_sessions))
    await start(world, _exchanges_sessions, "i")
    await world.until(lambda: bool(session_starts(world)))
    await world.quiet()
    before, began = await _visible(world), len(world.commits)
    times = (1, 6)[world.draw("how often it fails", 2)]
    world.break_calls(ACK, change=1 + world.draw("at which change", CHANGES), times=times)
    crashes = world.draw("whether the worker crashes", 2) == 1
    await world.client.enqueue_event("i", "go", "")
    await world.until(lambda: bool(calls(world.commits[began:], ACK)))
    first = calls(world.commits[began:], ACK)[0]
    between = await _visible(world)
    if first.error is not None and crashes:
        worker.crash()
        worker.restart()
    await world.until(lambda: bool(effective(calls(world.commits[began:], ACK))))
    acks = calls(world.commits[began:], ACK)
    left = stored(world)
    history = await world.history("i")
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i", check=False)
    with world.oracle("23.1"):
        for one in acks:
            changes = session_events(concluded(one).delta)
            assert changes == [("SessionClosed", "s"), ("SessionOpened", "u")], changes
        refused = [one.error for one in acks[:-1]]
        assert all(isinstance(error, ProviderError) and error.retryable for error in refused), refused
        if first.error is not None:
            assert between == before, "the ack that failed has left something behind"
        assert [row.session_id for row in left.rows] == ["t", "u"], left
        assert left.rows[1] == SessionRecord("i", "u", None, None), left
        assert [(row.session_id, row.attempt_count) for row in left.items] == [("u", 0)], left
        assert history == [*before[2], *concluded(acks[-1]).delta], history
        assert isinstance(status, Completed), status


@scenario(
    covers=["23.13", "SS-12.19", "SS-24.6"],
    faults=FaultBudget(lost_answer=2),
    situations=["answer.of_ack_lost", "ack.rejected"],
    level="fault",
    options=MINUTE,
)
async def retry_of_committed_ack(world: World) -> None:
    """Repeating an ack whose response was lost is harmless."""
    world.worker("a", running(_exchanges_sessions), orchestration_concurrency=1)
    await start(world, _exchanges_sessions, "i")
    await world.client.enqueue_event("i", "go", "")
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("23.13"):
        acks = calls(world.commits, ACK)
        for lost in [one for one in acks if one.outcome == "lost" and one.took_effect]:
            again = calls(world.commits[lost.position + 1 :], ACK, token=lost.arguments["token"])
            assert all(refused(one) for one in again), again
        recorded = [event for one in effective(acks) for event in concluded(one).delta]
        assert recorded == history, "each committed turn is in history once"
        assert session_events(history) == [
            ("SessionOpened", "s"),
            ("SessionOpened", "t"),
            ("SessionClosed", "s"),
            ("SessionOpened", "u"),
        ], history
        assert isinstance(status, Completed), status
