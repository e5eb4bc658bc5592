"""Capacities: workers with room for few sessions, and the units they were seen to use."""

from __future__ import annotations

from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.properties.matrix.parts.conversations import MINUTE, POLL_MS
from holdfast.properties.matrix.parts.idling import beside
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

POLL_US: Final = 1000 * POLL_MS
ONE: Final = {**MINUTE, "max_sessions_per_worker": 1}
"""D = 60 s, and room for one session."""


async def one_look(ctx: OrchestrationContext, input: str) -> str:
    """A session that is used once, and the look of another beside it."""
    looks = beside(ctx, 1)
    said = await ctx.schedule_activity_on_session("look", "", ctx.open_session_with_id("s"))
    await ctx.join(*looks)
    return said


def at_once(handed: Commit, since_us: int, *, within_us: int = POLL_US) -> bool:
    """Whether an item was handed out within a poll of the moment from which on it could be."""
    return 0 <= handed.time_us - since_us <= within_us


class LiveRowCount:
    """After each commit, how many live rows name a worker: the most at once.

    To be given to `World.commit`; it never matches.
    """

    def __init__(self, world: World, worker: Handle) -> None:
        self._world = world
        self._worker = worker
        self.most = self.count()

    def __call__(self, commit: Commit) -> bool:
        self.most = max(self.most, self.count())
        return False

    def count(self) -> int:
        """How many there are now."""
        now = self._world.provider_now_ms
        return sum(
            one.worker_id is not None
            and one.worker_id == self._worker.worker_id
            and one.locked_until is not None
            and one.locked_until > now
            for one in self._world.sessions()
        )
