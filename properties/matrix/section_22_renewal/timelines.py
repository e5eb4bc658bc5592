"""Matrix section 22, worked timelines W1 and W5: every number of their tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import HandlerSignalled, LeaseEnded
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.conversations import MINUTE, running, start
from holdfast.properties.matrix.parts.deliveries import delivered, deliveries, renewals
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit, Local

SECOND_US: Final = 1_000_000
R_US: Final = 30 * SECOND_US
POLLS: Final = {"dispatcher_long_poll_timeout": timedelta(0), "orchestration_concurrency": 0}
"""A worker that looks for work at chosen moments, and runs no orchestration."""
SHORTLY_S: Final = 0.01
"""After a listed instant: what is to happen then has happened."""

OwnerAndExpiry = tuple[str | None, float | None] | None


class _Story:
    """A timeline: its beginning, and the row of session s of instance i against it, in seconds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.began_us = world.now_us
        self._began_ms = world.provider_now_ms

    async def until(self, at: float) -> None:
        """Let time pass up to this instant."""
        await self._world.sleep(at - (self._world.now_us - self.began_us) / SECOND_US)

    async def just_after(self, at: float) -> OwnerAndExpiry:
        """The row once everything of this instant has happened."""
        await self.until(at + SHORTLY_S)
        return self.row()

    def row(self) -> OwnerAndExpiry:
        """(owner, expiry), or None if there is none."""
        row = self._world.session("i", "s")
        if row is None:
            return None
        until = None if row.locked_until is None else (row.locked_until - self._began_ms) / 1000
        return row.worker_id, until

    def at(self, happened: Commit | Local) -> float:
        """When it was."""
        return (happened.time_us - self.began_us) / SECOND_US

    def due(self, owner: Handle) -> float | None:
        """When the owner renews next, if it still has a lease."""
        assert owner.runtime is not None and owner.process is not None
        for lease in owner.runtime.leases():
            zero_us = owner.process.clock.monotonic_us() - (self._world.now_us - self.began_us)
            return (lease.extended - zero_us + R_US) / SECOND_US
        return None


async def _conversation(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    q1 = ctx.schedule_activity_on_session("work", "7.9", session)
    beside = [ctx.schedule_activity("look", str(n), tag="beside") for n in range(4)]
    await ctx.join(q1, *beside)
    await ctx.dequeue_event("go")
    await ctx.schedule_activity_on_session("work", "3.8", session)
    await ctx.dequeue_event("go")
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=30))
    return "done"


@scenario(
    covers=["22.14", "SS-7.2", "SS-7.3", "SS-7.4", "SS-4.2"],
    workers=2,
    level="multi-runtime",
    situations=["session.claimed", "session.renewed_between", "session.closed", "session.renewal_refused"],
    options=MINUTE,
)
async def timeline_ordinary_conversation(world: World) -> None:
    """Worked timeline W1."""
    make = running(_conversation)
    world.worker("turns", make, worker_tag_filter=TagFilter.only("beside"))
    story = _Story(world)
    await start(world, _conversation, "i")
    table: list[tuple[float, OwnerAndExpiry, float | None]] = []

    async def note(at: float) -> None:
        table.append((at, await story.just_after(at), story.due(a) if at else None))

    await story.until(0.05)
    table.append((0.0, story.row(), None))
    await story.until(0.1)
    # an empty fetch is repeated after 32.2 s: A looks at 0.1, 8.0 and 40.2
    seldom = timedelta(seconds=32.2)
    a = world.worker("a", make, worker_concurrency=1, dispatcher_min_poll_interval=seldom, **POLLS)
    await note(0.1)
    await story.until(0.2)
    # and B, which has nothing to do, at 0.2 and 40.1
    seldom = timedelta(seconds=39.9)
    b = world.worker("b", make, worker_concurrency=1, dispatcher_min_poll_interval=seldom, **POLLS)
    for at in (8.0, 30.1):
        await note(at)
    await story.until(40.0)
    await world.client.enqueue_event("i", "go", "")
    for at in (40.0, 40.1, 40.2, 44.0):
        await note(at)
    await story.until(55.0)
    await world.client.enqueue_event("i", "go", "")
    for at in (55.0, 70.2):
        await note(at)
    status = await world.finished("i")
    with world.oracle("22.14"):
        name = a.worker_id
        assert table == [
            (0.0, (None, None), None),
            (0.1, (name, 60.1), 30.1),
            (8.0, (name, 60.1), 30.1),
            (30.1, (name, 90.1), 60.1),
            (40.0, (name, 90.1), 60.1),
            (40.1, (name, 90.1), 60.1),
            (40.2, (name, 100.2), 70.2),
            (44.0, (name, 100.2), 70.2),
            (55.0, None, 70.2),
            (70.2, None, None),
        ], table
        assert [story.at(one) for one in deliveries(world.commits, "s")] == [0.1, 40.2]
        calls = renewals(world.commits, "s")
        assert [(story.at(one), one.error is None) for one in calls] == [(30.1, True), (70.2, False)], calls
        polls = [one for one in world.commits if one.process == b.name and "fetch" in one.operation]
        assert 40.1 in [story.at(one) for one in polls], polls
        assert not [one for one in polls if delivered(one)], polls
        acks = [one for one in world.commits if one.process == a.name and one.operation == "ack_work_item"]
        assert [story.at(one) for one in acks] == [8.0, 44.0], acks
        assert not any(isinstance(local.event, HandlerSignalled) for local in world.locals)
        assert isinstance(status, Completed), status


def _is_beside(commit: Commit) -> bool:
    work = delivered(commit)
    return work is not None and work.item.tag == "beside"


async def _frozen(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    before = [ctx.schedule_activity("work", seconds, tag="beside") for seconds in ("60.5", "60.6")]
    q1 = ctx.schedule_activity_on_session("insist", input, session)
    await ctx.schedule_timer(timedelta(seconds=10))
    q2 = ctx.schedule_activity_on_session("insist", "45", session)
    await ctx.join(q1, q2, *before)
    await ctx.schedule_timer(timedelta(seconds=30))
    return "done"


@scenario(
    covers=["22.15", "SS-4.6", "SS-4.8", "SS-13.2"],
    workers=2,
    level="fault",
    situations=["session.migrated", "process.stalled", "item.redelivered", "handler.signalled_lost"],
    options=MINUTE,
)
async def timeline_takeover_of_frozen_owner(world: World) -> None:
    """Worked timeline W5."""
    make = running(_frozen)
    world.worker("turns", make, worker_concurrency=0)
    # B's two slots are busy until 60.5 and 60.6 with work that A does not take
    b = world.worker(
        "b",
        make,
        worker_tag_filter=TagFilter.default_and("beside"),
        max_sessions_per_worker=2,
        orchestration_concurrency=0,
    )
    story = _Story(world)
    await start(world, _frozen, "i", input=str((90, 120, 129, 136, 150)[world.draw("seconds of q1", 5)]))
    await world.until(lambda: sum(map(_is_beside, world.commits)) == 2)
    assert world.now_us == story.began_us
    a = world.worker("a", make, worker_concurrency=1, orchestration_concurrency=0)
    table = [(0.0, await story.just_after(0))]
    await story.until(2)
    a.stall(128)
    for at in (2, 30, 60.5, 60.6, 85.5):
        table.append((at, await story.just_after(at)))
    expiries = [row.locked_until for row in world.worker_rows() if row.session_id == "s"]
    await story.until(129.99)
    resumed = len(world.commits), len(world.locals)
    before = story.row()
    after = await story.just_after(130)
    leases = a.runtime.leases() if a.runtime is not None else None
    await story.until(145)
    status = await world.finished("i")
    with world.oracle("22.15"):
        assert table == [
            (0.0, (a.worker_id, 60)),
            (2, (a.worker_id, 60)),
            (30, (a.worker_id, 60)),
            (60.5, (b.worker_id, 120.5)),
            (60.6, (b.worker_id, 120.6)),
            (85.5, (b.worker_id, 145.5)),
        ], table
        got = [
            (story.at(one), one.process, work.item.id, work.attempt_count)
            for one in deliveries(world.commits, "s")
            if (work := delivered(one)) is not None
        ]
        q1, q2 = got[0][2], got[2][2]
        assert got == [(0, "a", q1, 1), (60.5, "b", q1, 2), (60.6, "b", q2, 1)] and q1 < q2, got
        assert len(expiries) == 2, expiries
        assert before == after and after is not None and after[0] == b.worker_id, (before, after)
        assert leases == (), leases
        happened = [
            (story.at(one), type(one.event), one.event.cause)
            for one in world.locals[resumed[1] :]
            if one.process == "a" and isinstance(one.event, LeaseEnded | HandlerSignalled)
        ]
        lost = [(130, HandlerSignalled, "deadline"), (130, LeaseEnded, "deadline")]
        assert happened == lost, happened
        first = delivered(deliveries(world.commits, "s")[0])
        assert first is not None
        late = [
            one
            for one in world.commits[resumed[0] :]
            if one.process == "a" and one.arguments.get("token") == first.token
        ]
        assert late and all(one.error is not None and not one.error.retryable for one in late), late
        assert isinstance(status, Completed), status
