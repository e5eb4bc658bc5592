"""Matrix section 30: random programs under every kind of fault."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

from holdfast.core import DurableFuture, OrchestrationContext
from holdfast.core.client import Completed, Failed
from holdfast.core.contract.events import ActivityCompleted, ActivityFailed
from holdfast.properties.matrix.parts.conversations import MINUTE, of_kind, running, start
from holdfast.sim import FaultBudget
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

Instruction = tuple[str, str, int, str]
"""What an orchestration does next: a word, and with it a session, seconds, the kind of an activity."""

SECONDS: Final = (28, 3, 0, 70)
SESSIONS: Final = ("s", "t")


def _program(world: World, length: int) -> list[Instruction]:
    """A program from draws; the boring draw is a short activity on the first session."""
    return [_step(world) for _ in range(length)]


def _step(world: World) -> Instruction:
    word = ("on session", "plain", "wait", "select", "join", "reopen", "again")[world.draw("word", 7)]
    session, seconds = SESSIONS[world.draw("session", 2)], SECONDS[world.draw("seconds", 4)]
    kind = ("work", "insist")[world.draw("kind", 2)]
    return word, session, seconds, kind


async def obey(ctx: OrchestrationContext, input: str) -> str | None:
    """Run a program: the rest of it is in the input of each execution."""
    program: list[Instruction] = json.loads(input)
    for session in SESSIONS:
        ctx.open_session_with_id(session)
    started: list[DurableFuture[str]] = []
    for number, (word, session, seconds, kind) in enumerate(program):
        match word:
            case "on session":
                await ctx.schedule_activity_on_session(kind, str(seconds), session)
            case "plain":
                started.append(ctx.schedule_activity(kind, str(seconds)))
            case "wait":
                await ctx.schedule_timer(timedelta(seconds=seconds))
            case "select":
                losing = ctx.schedule_activity_on_session(kind, str(seconds), session)
                await ctx.select(losing, ctx.schedule_timer(timedelta(seconds=5)))
            case "join":
                both = [ctx.schedule_activity_on_session(kind, str(seconds), name) for name in SESSIONS]
                await ctx.join(*both)
            case "reopen":
                ctx.schedule_activity_on_session(kind, str(seconds), session)
                await ctx.schedule_activity("look", "")
                ctx.close_session(session)
                ctx.open_session_with_id(session)
            case "again":
                await ctx.join(*started)
                ctx.continue_as_new(program[number + 1 :])
                return None
    await ctx.join(*started)
    return "done"


@scenario(
    covers=["30.11", "SS-24.9", "SS-25.22", "SS-4.11"],
    workers=4,
    faults=FaultBudget(
        crash=2,
        stall=2,
        slow_call=1,
        slow_answer=1,
        lost_answer=2,
        refused=1,
        unsent=1,
        duplicate=1,
        provider_clock=2,
        wall_clock=1,
    ),
    situations=["process.stalled", "answer.lost", "session.migrated"],
    level="fault",
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=40), "worker_concurrency": 1},
)
async def random_campaign_all_faults(world: World) -> None:
    """Random programs, workers and faults; every invariant is checked on every trace."""
    workers = [world.worker(name, running(obey), max_sessions_per_worker=2) for name in ("a", "b", "c", "d")]
    for name in ("i", "j"):
        await start(world, obey, name, input=json.dumps(_program(world, 2 + world.draw("length", 4))))
    if world.draw("one leaves", 2):
        await world.sleep(10 * world.draw("seconds before / 10", 8))
        await workers[world.draw("who", 4)].shutdown(20)
    statuses = [await world.finished(name, check=False) for name in ("i", "j")]
    rows = world.sessions()
    with world.oracle("30.11"):
        assert all(isinstance(status, Completed | Failed) for status in statuses), statuses
        assert all(isinstance(status, Completed) for status in statuses), "no program asks for a failure"
        for name in ("i", "j"):
            ends = [
                each.source_event_id
                for kind in (ActivityCompleted, ActivityFailed)
                for each in of_kind(await world.history(name), kind)
            ]
            assert len(ends) == len({*ends}), ends
        assert rows == [], rows
