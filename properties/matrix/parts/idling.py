"""Idling: when the last item of a session was disposed of, and when its owner then gave the session up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import ActivityContext, OrchestrationContext
from holdfast.core.engine.futures import DurableFuture
from holdfast.properties.matrix.parts.conversations import MINUTE
from holdfast.traces.record import Commit

SECOND_US: Final = 1_000_000
_FINAL: Final = ("ack_work_item", "abandon_work_item")


def idle_after(seconds: float, **options: object) -> dict[str, object]:
    """Options of a worker with D = 60 s and T of so many seconds."""
    return {**MINUTE, "session_idle_timeout": timedelta(seconds=seconds), **options}


def beside(ctx: OrchestrationContext, count: int) -> list[DurableFuture[str]]:
    """So many activities without session, done at once, so that there are many schedules."""
    return [ctx.schedule_activity("look", f"beside {n}") for n in range(count)]


async def fails(ctx: ActivityContext, input: str) -> str:
    """An activity that fails after so many seconds."""
    await asyncio.sleep(float(input))
    raise ValueError(f"failed as told after {input}")


def is_release(commit: Commit, instance: str = "i", session_id: str = "s") -> bool:
    """Whether a commit is a call to release this session, whatever its outcome."""
    return (
        commit.operation == "release_session_lock"
        and commit.arguments["instance_id"] == instance
        and commit.arguments["session_id"] == session_id
    )
