"""Idling: when the last item of a session was disposed of, and when its owner then gave the session up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.contract.observe import LeaseEnded
from holdfast.core.engine.futures import DurableFuture
from holdfast.properties.matrix.parts.conversations import MINUTE, Orchestration, running
from holdfast.properties.matrix.parts.deliveries import delivered
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

SECOND_US: Final = 1_000_000
_FINAL: Final = ("ack_work_item", "abandon_work_item")


def idle_after(seconds: float, **options: Any) -> dict[str, Any]:
    """Options of a worker with D = 60 s and T of so many seconds."""
    return {**MINUTE, "session_idle_timeout": timedelta(seconds=seconds), **options}


def beside(ctx: OrchestrationContext, count: int) -> list[DurableFuture[str]]:
    """So many activities without session, done at once, so that there are many schedules."""
    return [ctx.schedule_activity("look", f"beside {n}") for n in range(count)]


def with_failing(*orchestrations: Orchestration) -> Callable[[], Registry]:
    """The usual registry, with an activity that fails after so many seconds."""
    make_usual = running(*orchestrations)

    def make() -> Registry:
        registry = make_usual()

        @registry.activity("fail")
        async def fail(ctx: ActivityContext, input: str) -> str:
            await asyncio.sleep(float(input))
            raise ValueError(f"failed as told after {input}")

        return registry

    return make


def is_release(commit: Commit, instance: str = "i", session_id: str = "s") -> bool:
    """Whether a commit is a call to release this session, whatever came of it."""
    return (
        commit.operation == "release_session_lock"
        and commit.arguments["instance_id"] == instance
        and commit.arguments["session_id"] == session_id
    )


def releases(world: World, instance: str = "i", session_id: str = "s") -> list[Commit]:
    """The calls to release this session, in order."""
    return [one for one in world.commits if is_release(one, instance, session_id)]


def final_calls(commits: Iterable[Commit], instance: str = "i", session_id: str = "s") -> list[Commit]:
    """The final calls for items of this session that reached the store, accepted or refused, in order."""
    tokens: dict[object, None] = {}
    found = []
    for commit in commits:
        work = delivered(commit)
        if work is not None and (work.item.instance, work.item.session_id) == (instance, session_id):
            tokens[work.token] = None
        if (
            commit.operation in _FINAL
            and commit.outcome == "answered"
            and commit.arguments["token"] in tokens
        ):
            found.append(commit)
    return found


def ends_of_leases(world: World, instance: str = "i") -> list[tuple[int, str]]:
    """When leases on sessions of an instance ended, in microseconds, and why."""
    return [
        (local.time_us, local.event.cause)
        for local in world.locals
        if isinstance(local.event, LeaseEnded) and local.event.instance_id == instance
    ]
