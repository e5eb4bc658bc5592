"""Matrix section 27: the gap between two executions, while nobody starts the next one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext, Registry
from holdfast.core.client import Failed
from holdfast.core.hosting.options import UnregisteredBackoff
from holdfast.properties.matrix.parts.closings import continues
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    MINUTE,
    encoded,
    failure_text,
    observations,
    running,
    sole,
    start,
)
from holdfast.properties.matrix.parts.deliveries import effective, renewals
from holdfast.properties.matrix.parts.rows import assert_held, look
from holdfast.sim import World, scenario
from holdfast.traces.record import Commit

NEXT: Final = "2.0.0"
NEVER: Final = "3.0.0"
"""A version that no worker ever knows."""
ENDS: Final = ("delivered", "poisoned", "cancelled", "deleted")


async def _waits_for_its_version(ctx: OrchestrationContext, input: str) -> str:
    if ctx.execution_id == 1:
        ctx.open_session_with_id("S")
        await ctx.schedule_activity_on_session("work", input, "S")
        ctx.continue_as_new_versioned(NEVER if ctx.instance_id == "poisoned" else NEXT, "")
        return ""
    return encoded([await ctx.schedule_activity_on_session("look", "", "S")])


def _with_the_next_version() -> Registry:
    registry = running(_waits_for_its_version)()
    registry.add_orchestration(_waits_for_its_version.__name__, _waits_for_its_version, version=NEXT)
    return registry


@scenario(
    covers=["27.11", "SS-17.13", "SS-18.2"],
    workers=3,
    options={
        **MINUTE,
        "max_attempts": 5,
        "unregistered_backoff": UnregisteredBackoff(
            base_delay=timedelta(seconds=60), max_delay=timedelta(seconds=60)
        ),
        "dispatcher_long_poll_timeout": timedelta(minutes=5),
    },
    situations=[
        "session.owned_across_continue",
        "session.renewed_between",
        "session.used_after_carry",
        "instance.cancelled_with_open_session",
        "instance.failed_with_open_session",
        "instance.deleted",
    ],
    level="fault",
)
async def gap_between_executions(world: World) -> None:
    """Sessions stay open while the next execution has not started, and an end in that gap cleans up."""
    owner = world.worker("a", running(_waits_for_its_version), orchestration_concurrency=0)
    before = world.worker("old", running(_waits_for_its_version), worker_concurrency=0)
    continued: list[Commit] = []

    def all_continued(commit: Commit) -> bool:
        continued.extend([commit] if continues(commit) else [])
        return len(continued) == len(ENDS)

    seconds = [str(1 + world.draw("seconds before continuing", 9)) for _ in ENDS]
    await asyncio.gather(
        world.commit(all_continued),
        *(
            start(world, _waits_for_its_version, name, input=each)
            for name, each in zip(ENDS, seconds, strict=True)
        ),
    )
    first_ms = world.provider_now_ms
    for _ in range(3 * D_MS // 20_000):
        await world.sleep(20)
        with world.oracle("27.11"):
            assert len(world.sessions()) == len(ENDS), world.sessions()
            assert_held([look(world, "S", name) for name in ENDS], owner)
    with world.oracle("27.11"):
        assert world.provider_now_ms - first_ms >= 3 * D_MS
        for name in ENDS:
            renewed = effective(renewals(world.commits, "S", name))
            assert sum(one.provider_ms >= first_ms for one in renewed) >= 5, (name, renewed)
    await world.client.delete_instance("deleted", force=True)
    with world.oracle("27.11"):
        assert world.session("deleted", "S") is None, world.sessions()
    await world.client.cancel_instance("cancelled", "no longer needed")
    before.crash()
    world.worker("new", _with_the_next_version, worker_concurrency=0)
    for name in ("cancelled", "delivered", "poisoned"):
        await world.finished(name, check=False)
        with world.oracle("27.11"):
            assert world.session(name, "S") is None, (name, world.sessions())
    with world.oracle("27.11"):
        here = sole(observations(await world.status("delivered")))
        assert (here.session, here.owner, here.warm) == ("S", owner.worker_id, True), here
        assert "no longer needed" in failure_text(await world.status("cancelled"))
        poisoned = await world.status("poisoned")
        assert isinstance(poisoned, Failed) and poisoned.details is not None, poisoned
        assert poisoned.details.poison is not None, poisoned
        assert world.sessions() == [] and world.worker_rows() == []
