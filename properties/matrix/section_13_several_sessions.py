"""Matrix section 13: several sessions of one instance, interleaved."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core import OrchestrationContext
from holdfast.core.contract.events import ActivityCompleted, ActivityScheduled
from holdfast.core.contract.observe import LeaseEnded, LeaseTaken
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.closings import turn_ack
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    answer,
    encoded,
    failure_text,
    observations,
    of_kind,
    owners_by_session,
    running,
    seen,
    session_events,
    sources,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import deliveries, of_session
from holdfast.properties.matrix.parts.engine_by_hand import NOT_OPEN
from holdfast.properties.matrix.parts.rows import leases_of
from holdfast.properties.matrix.parts.told import events, spans, told
from holdfast.sim import World, scenario
from holdfast.traces.record import Commit


async def _alternating(ctx: OrchestrationContext, input: str) -> str:
    for session in ("A", "B"):
        ctx.open_session_with_id(session)
    answers = []
    for number in range(2):
        for session in ("A", "B"):
            answers.append(await ctx.schedule_activity_on_session("work", f"{number}{input}", session))
    both = [ctx.schedule_activity_on_session("work", f"9{input}", session) for session in "AABB"]
    answers += [str(one) for one in await ctx.join(*both)]
    await ctx.dequeue_event("looked at")
    return encoded(answers)


@scenario(
    covers=["13.1", "SS-1.5", "SS-14.4"],
    options={**MINUTE, "max_sessions_per_worker": 2},
    situations=["session.several_open", "worker.at_capacity", "session.shared_by_slots"],
)
async def two_sessions_same_worker(world: World) -> None:
    """One worker can hold two sessions and alternate."""
    worker = world.worker("a", running(_alternating))
    await start(world, _alternating, "i", input=f".{world.draw('tenths of a second', 10)}")
    await world.sleep(20 + 9 * world.draw("seconds before the second conversation / 9", 4))
    with world.oracle("13.1"):
        held = [(lease.instance_id, lease.session_id) for lease in leases_of(worker)]
        assert sorted(held) == [("i", "A"), ("i", "B")], held
        taken = events(world, LeaseTaken)
        assert sorted((one.instance_id, one.session_id) for one in taken) == sorted(held), taken
        assert not told(world, LeaseEnded)
        assert {record.worker_id for record in world.sessions()} == {worker.worker_id}, world.sessions()
    await world.client.enqueue_event("i", "looked at", "")
    status = await world.finished("i", check=False)
    with world.oracle("13.1"):
        results = observations(status)
        assert [one.session for one in results] == ["A", "B", "A", "B", "A", "A", "B", "B"], results
        assert [one.input[0] for one in results] == ["0", "0", "1", "1", "9", "9", "9", "9"], results
        assert [one.warm for one in results] == [False, False, *[True] * 6], results


async def _two_strands(ctx: OrchestrationContext, input: str) -> str:
    sessions = [ctx.open_session_with_id(session) for session in ("A", "B")]
    answers: list[str] = []
    for seconds in input.split():
        both = [ctx.schedule_activity_on_session("work", seconds, session) for session in sessions]
        answers += [str(one) for one in await ctx.join(*both)]
    return encoded(answers)


@scenario(
    covers=["13.2", "SS-4.5", "SS-1.5"],
    workers=2,
    options={**MINUTE, "max_sessions_per_worker": 1},
    situations=["two_sessions.two_owners", "session.served_again", "session.passed_over"],
    level="multi-runtime",
)
async def two_sessions_different_workers(world: World) -> None:
    """Two sessions on two workers run concurrently and separately."""
    workers = two_workers(world, _two_strands)
    rounds = [str(5 + 10 * world.draw(f"seconds of round {number} / 10", 4)) for number in range(3)]
    await start(world, _two_strands, "i", input=" ".join(rounds))
    status = await world.finished("i", check=False)
    with world.oracle("13.2"):
        results = observations(status)
        assert [one.session for one in results] == ["A", "B"] * 3, results
        owners = owners_by_session(results)
        assert len(owners["A"]) == len(owners["B"]) == 1, owners
        assert owners["A"] | owners["B"] == {worker.worker_id for worker in workers}, owners
        pairs = list(zip(spans(world, "A"), spans(world, "B"), strict=True))
        assert len(pairs) == 3 and all(one.overlaps(other) for one, other in pairs), pairs


async def _closes_one(ctx: OrchestrationContext, input: str) -> None:
    closed, seconds = input.split()
    kept = "B" if closed == "A" else "A"
    for session in ("A", "B"):
        ctx.open_session_with_id(session)
    await ctx.join(*(ctx.schedule_activity_on_session("work", seconds, session) for session in ("A", "B")))
    beside = ctx.schedule_activity_on_session("work", "40", kept)
    ctx.close_session(closed)
    await ctx.schedule_activity_on_session("look", "after the close", kept)
    await beside
    await ctx.schedule_activity_on_session("look", "too late", closed)


class _Closings:
    """What the rows were before and after each ack that closed a session of an instance that goes on."""

    def __init__(self, world: World, wanted: int) -> None:
        self.found: list[tuple[str, str, list[SessionRecord], list[SessionRecord]]] = []
        self._world = world
        self._wanted = wanted
        self._before = world.sessions()

    def __call__(self, commit: Commit) -> bool:
        before, self._before = self._before, self._world.sessions()
        ack = turn_ack(commit)
        if ack is not None and ack.metadata.status is None:
            self.found += [
                (closed.instance, closed.session_id, before, self._before)
                for closed in ack.metadata.cancelled_sessions
            ]
        return len(self.found) == self._wanted


def _rest(records: Sequence[SessionRecord], instance: str, session_id: str) -> list[SessionRecord]:
    return [one for one in records if (one.instance_id, one.session_id) != (instance, session_id)]


@scenario(
    covers=["13.3", "SS-6.16", "SS-16.3"],
    options=MINUTE,
    situations=["session.closed", "session.refused", "session.served_again"],
)
async def close_one_keep_other(world: World) -> None:
    """Closing one leaves the other usable."""
    worker = world.worker("a", running(_closes_one))
    closings = _Closings(world, 2)
    for instance, closed in (("i", "A"), ("j", "B")):
        await start(world, _closes_one, instance, input=f"{closed} {1 + world.draw('seconds', 3)}")
    await world.commit(closings)
    statuses = {instance: await world.finished(instance, check=False) for instance in ("i", "j")}
    with world.oracle("13.3"):
        assert sorted(one[:2] for one in closings.found) == [("i", "A"), ("j", "B")], closings.found
        for instance, session_id, before, after in closings.found:
            assert after == _rest(before, instance, session_id) != before, (before, after)
        for instance, closed, kept in (("i", "A", "B"), ("j", "B", "A")):
            history = await world.history(instance)
            assert session_events(history)[2:] == [("SessionClosed", closed)], history
            scheduled = {event.event_id: event for event in of_kind(history, ActivityScheduled)}
            answers = of_kind(history, ActivityCompleted)
            done = [
                (scheduled[id], seen(one.result)) for id, one in zip(sources(answers), answers, strict=True)
            ]
            (late,) = (result for event, result in done if event.input == "after the close")
            assert (late.session, late.warm, late.owner) == (kept, True, worker.worker_id), late
            assert "too late" not in [event.input for event in scheduled.values()], history
            assert NOT_OPEN.format(closed) in failure_text(statuses[instance]), statuses[instance]
        for instance, kept in (("i", "B"), ("j", "A")):
            ended = events(world, LeaseEnded, instance=instance, session=kept)
            assert not [one for one in ended if one.in_flight], "no lease of an open session ends under work"


async def _joins_two(ctx: OrchestrationContext, input: str) -> str:
    sessions = [ctx.open_session_with_id(session) for session in ("A", "B")]
    both = [ctx.schedule_activity_on_session("work", input, session) for session in sessions]
    return encoded(await ctx.join(*both))


class _OwnersAtDelivery:
    """The owner that the row named right after each delivery of an item of these sessions of i."""

    def __init__(self, world: World, *sessions: str) -> None:
        self.found: dict[str, str | None] = {}
        self._world = world
        self._sessions = sessions

    def __call__(self, commit: Commit) -> bool:
        for session in self._sessions:
            if of_session(commit, session, "i"):
                record = self._world.session("i", session)
                self.found[session] = None if record is None else record.worker_id
        return len(self.found) == len(self._sessions)


@scenario(
    covers=["13.4", "SS-2.5", "SS-4.5"],
    workers=2,
    options=MINUTE,
    situations=["two_sessions.two_owners", "session.claim_raced"],
    level="multi-runtime",
)
async def concurrent_activities_different_sessions(world: World) -> None:
    """A join over two sessions completes on both owners."""
    two_workers(world, _joins_two)
    owners = _OwnersAtDelivery(world, "A", "B")
    await start(world, _joins_two, "i", input=str(1 + 30 * world.draw("seconds / 30", 4)))
    await world.commit(owners)
    status = await world.finished("i", check=False)
    with world.oracle("13.4"):
        results = observations(status)
        assert [one.session for one in results] == ["A", "B"], results
        assert {str(one.session): one.owner for one in results} == owners.found, (results, owners.found)
        assert all(len(deliveries(world.commits, session, "i")) == 1 for session in ("A", "B")), answer(
            status
        )
