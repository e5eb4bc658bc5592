"""Matrix section 23, acks that break in their middle, and acks whose answer is lost."""

from __future__ import annotations

from typing import Any

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import SessionClosed, SessionOpened
from holdfast.properties.matrix.parts.closings import ACK, concluded, session_items
from holdfast.properties.matrix.parts.conversations import MINUTE, running, session_events, start
from holdfast.properties.matrix.parts.told import session_starts
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

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
    asked = ctx.schedule_activity_on_session("look", "", "u")
    await asked
    await ctx.dequeue_event("end")
    return "done"


def _acks(world: World, start: int) -> list[Commit]:
    return [commit for commit in world.commits[start:] if commit.operation == ACK]


def _exchanged(commit: Commit) -> bool:
    if commit.operation != ACK:
        return False
    changes = [
        (type(event), event.session_id)
        for event in concluded(commit).delta
        if isinstance(event, SessionOpened | SessionClosed)
    ]
    return changes == [(SessionClosed, "s"), (SessionOpened, "u")]


async def _visible(world: World) -> tuple[Any, ...]:
    return world.sessions(), session_items(world), await world.history("i"), world.worker_rows()


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
    await world.until(lambda: bool(_acks(world, began)))
    first = _acks(world, began)[0]
    between = await _visible(world)
    if first.error is not None and crashes:
        worker.crash()
        worker.restart()
    await world.until(lambda: any(one.took_effect for one in _acks(world, began)))
    stored = _acks(world, began)
    rows, items = world.sessions(), session_items(world)
    delta = await world.history("i")
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i")
    with world.oracle("23.1"):
        assert all(_exchanged(one) for one in stored), stored
        refused = [one.error for one in stored[:-1]]
        assert all(isinstance(error, ProviderError) and error.retryable for error in refused), refused
        if first.error is not None:
            assert between == before, "the ack that failed has left something behind"
        assert [row.session_id for row in rows] == ["t", "u"], rows
        assert [(row.session_id, row.attempt_count) for row in items] == [("u", 0)], items
        assert (rows[1].worker_id, rows[1].locked_until) == (None, None), rows
        assert delta == [*before[2], *concluded(stored[-1]).delta], delta
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
    status = await world.finished("i")
    history = await world.history("i")
    with world.oracle("23.13"):
        acks = _acks(world, 0)
        lost = [one for one in acks if one.outcome == "lost" and one.took_effect]
        for one in lost:
            again = [each for each in acks if each.position > one.position and _token(each) == _token(one)]
            for each in again:
                assert isinstance(each.error, ProviderError) and not each.error.retryable, each
        stored = [event for one in acks if one.took_effect for event in concluded(one).delta]
        assert stored == history, "each committed turn is in history once"
        assert session_events(history) == [
            ("SessionOpened", "s"),
            ("SessionOpened", "t"),
            ("SessionClosed", "s"),
            ("SessionOpened", "u"),
        ], history
        assert isinstance(status, Completed), status


def _token(commit: Commit) -> str:
    return concluded(commit).token
