"""Matrix section 28, ends that no orchestration asked for: checks, changed code, poison, broken stores."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Failed
from holdfast.core.contract.events import ActivityScheduled, OpaqueEvent, OrchestrationFailed
from holdfast.properties.matrix.parts.closings import ACK, concluded, ended, gets_turn
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    Orchestration,
    failure_text,
    of_kind,
    running,
    start,
)
from holdfast.properties.matrix.parts.deliveries import calls, owner_of
from holdfast.properties.matrix.parts.engine_by_hand import TOO_MANY
from holdfast.properties.matrix.parts.rows import NOTHING, Stored, leases_of, stored
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS
from holdfast.properties.matrix.parts.told import session_starts, signals, since
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

R_S: Final = 30
ITEM_RENEWAL_S: Final = 25


async def _opens_too_many(ctx: OrchestrationContext, input: str) -> str:
    for name in ("s", "t"):
        ctx.open_session_with_id(name)
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    if input != "at once":
        ctx.schedule_activity_on_session("work", "100", "s")
        await ctx.schedule_activity_on_session("look", "", "t")
        await ctx.join(*beside)
        await ctx.schedule_timer(timedelta(seconds=float(input)))
    ctx.schedule_activity_on_session("look", "never", "t")
    ctx.open_session_with_id("u")
    return "never"


@scenario(
    covers=["28.1", "SS-18.2", "SS-1.2"],
    situations=["session.refused", "instance.failed_with_open_session"],
    options={**MINUTE, "max_sessions_per_orchestration": 2},
)
async def terminal_cleanup_after_check_failure(world: World) -> None:
    """A failed session check cleans up as well."""
    world.worker("a", running(_opens_too_many))
    late = str(7 * world.draw("seconds before the third open / 7", 6))
    await start(world, _opens_too_many, "i", input=late)
    await start(world, _opens_too_many, "j", input="at once")
    left: list[Stored] = []
    for instance in ("j", "i"):
        ack = await ended(world, instance)
        left.append(stored(world, instance))
    statuses = [await world.finished(instance, check=False) for instance in ("i", "j")]
    await world.sleep(R_S + 1)
    with world.oracle("28.1"):
        assert left == [NOTHING, NOTHING], left
        for status in statuses:
            assert failure_text(status) == TOO_MANY.format(2, 2), status
        assert sorted(concluded(ack).closed) == ["s", "t"] and concluded(ack).opened == [], ack
        assert concluded(ack).work == [] and world.sessions() == [], (ack, world.sessions())
        scheduled = of_kind(await world.history("i"), ActivityScheduled)
        assert [one.input for one in scheduled if one.session_id] == ["100", "", "never"], scheduled


@scenario(
    covers=["28.2", "SS-18.2", "SS-18.7"],
    workers=2,
    situations=["instance.failed_with_open_session", "lease.dropped_after_end"],
    options=MINUTE,
)
async def terminal_cleanup_after_nondeterminism(world: World) -> None:
    """Nondeterminism cleans up as well, and the lease drains."""

    def deployed(name: str) -> Orchestration:
        async def changed(ctx: OrchestrationContext, input: str) -> str:
            session = ctx.open_session_with_id("s")
            beside = [ctx.schedule_activity(name, str(n)) for n in range(3)]
            runs = ctx.schedule_activity_on_session("work", input, session)
            await ctx.join(*beside)
            await ctx.dequeue_event("go")
            return await runs

        return changed

    changed = deployed("look")
    turns = world.worker("turns", running(changed), **ONLY_TURNS)
    workers = [world.worker(name, running(changed), **ONLY_ACTIVITIES) for name in ("a", "b")]
    work_s = (300, 1)[world.draw("whether an activity still runs", 2)]
    await start(world, changed, "i", input=str(work_s))
    await world.until(lambda: bool(session_starts(world)))
    await world.sleep(2 + 7 * world.draw("seconds before the change / 7", 6))
    owner = owner_of(world, workers, "i", "s")
    turns.crash()
    world.worker("new turns", running(deployed("work")), **ONLY_TURNS)
    await world.client.enqueue_event("i", "go", "")
    ack = await ended(world)
    left = stored(world)
    status = await world.finished("i", check=False)
    await world.sleep(R_S)
    await world.quiet()  # what is due at this very moment is done
    leases = [leases_of(worker) for worker in workers]
    with world.oracle("28.2"):
        assert left == NOTHING, left
        assert failure_text(status).startswith("nondeterministic: "), status
        assert leases == [(), ()], leases
        signalled = signals(world)
        assert [one.process for one in signalled] == ([owner.name] if work_s == 300 else []), signalled
        assert all(since(ack, one) <= ITEM_RENEWAL_S for one in signalled), (ack, signalled)


async def _waits_with_sessions(ctx: OrchestrationContext, input: str) -> str:
    for name in ("s", "t"):
        ctx.open_session_with_id(name)
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    ctx.schedule_activity_on_session("work", "300", "s")
    ctx.schedule_activity_on_session("look", "nobody's", "t", tag="nobody's")
    await ctx.join(*beside)
    await ctx.dequeue_event("go")
    ctx.close_session("t")
    ctx.open_session_with_id("u")
    ctx.schedule_activity_on_session("look", "", "u")
    await ctx.dequeue_event("never")
    return "never"


async def _settled(world: World, *instances: str, most: int = 10) -> Handle:
    """A process for the turns and one for the work; the instances wait for `go`, their sessions in use."""
    turns = world.worker("a", running(_waits_with_sessions), worker_concurrency=0, max_attempts=most)
    world.worker("b", running(_waits_with_sessions), orchestration_concurrency=0)
    await start(world, _waits_with_sessions, *instances)
    for instance in instances:
        await world.until(lambda: bool(session_starts(world, instance)))  # noqa: B023
    await world.quiet()
    return turns


@scenario(
    covers=["28.3", "SS-18.2", "SS-18.5", "SS-24.9"],
    workers=2,
    situations=["instance.failed_with_open_session", "session.several_open"],
    options=MINUTE,
)
async def terminal_cleanup_of_poisoned_orchestration(world: World) -> None:
    """The poison path cleans up as well."""
    most = 1 + world.draw("attempts allowed - 1", 3)
    turns = await _settled(world, "i", most=most)
    began = len(world.commits)
    await world.client.enqueue_event("i", "go", "")
    for _ in range(most):
        await _fail_one_attempt(world, turns, began)
        began = len(world.commits)
    ack = await ended(world)
    left = stored(world)
    status = await world.finished("i", check=False)
    with world.oracle("28.3"):
        assert left == NOTHING, left
        said = f"poison: orchestration i exceeded {most + 1} attempts (max {most})"
        assert failure_text(status) == said, status
        assert isinstance(status, Failed) and status.details is not None and status.details.poison is not None
        assert sorted(concluded(ack).closed) == ["s", "t"] and concluded(ack).opened == [], ack


async def _fail_one_attempt(world: World, turns: Handle, began: int) -> None:
    """The dispatcher dies under the batch, or the store does not take the ack of it."""
    await world.until(lambda: any(gets_turn(one) for one in world.commits[began:]))
    if world.draw("how the attempt fails", 2) == 0:
        turns.crash()
        turns.restart()
        return
    world.break_calls(ACK, times=6)
    await world.until(lambda: bool(calls(world.commits[began:], "abandon_orchestration_item")))


@scenario(
    covers=["28.4", "SS-18.2", "SS-18.5"],
    workers=2,
    situations=["session.several_open"],
    level="fault",
    options=MINUTE,
)
async def terminal_cleanup_with_unreadable_history(world: World) -> None:
    """Even if history cannot be read the rows go."""
    await _settled(world, "i", "k", most=2)
    world.corrupt_history("i")
    unknown = OpaqueEvent(
        event_id=900, kind="FromTheFuture", encoded=b'{"type":"FromTheFuture","event_id":900}'
    )
    await world.provider.append_with_execution("k", 1, [unknown])
    order = (("i", "k"), ("k", "i"))[world.draw("which first", 2)]
    for instance in order:
        await world.client.enqueue_event(instance, "go", "")
        await world.sleep(0.5 * world.draw("half seconds between the two", 4))
    left, acks = list[Stored](), dict[str, Commit]()
    for instance in ("i", "k"):
        acks[instance] = await ended(world, instance)
        left.append(stored(world, instance))
    statuses = [await world.finished(name, check=False) for name in ("i", "k")]
    with world.oracle("28.4"):
        assert left == [NOTHING, NOTHING], left
        for name, ack in acks.items():
            said = concluded(ack)
            assert (said.opened, said.closed, said.status) == ([], [], "Failed"), said
            assert [type(event) for event in said.delta] == [OrchestrationFailed], said
            assert _is_poison(ack), (name, said)
        for status in statuses:
            assert failure_text(status).startswith("poison: "), status
        assert "FromTheFuture" in failure_text(statuses[1]), statuses
        assert world.sessions() == [], world.sessions()


def _is_poison(ack: Commit) -> bool:
    end = concluded(ack).delta[-1]
    return (
        isinstance(end, OrchestrationFailed)
        and (poison := end.details.poison) is not None
        and poison.message_type.failed_deserialization is not None
        and (poison.attempt_count, poison.max_attempts) == (3, 2)
    )


@scenario(
    covers=["28.5", "SS-18.2", "SS-18.5"],
    workers=2,
    situations=["ack.rejected", "instance.failed_with_open_session"],
    level="fault",
    options=MINUTE,
)
async def terminal_cleanup_after_failed_ack(world: World) -> None:
    """The fallback failure cleans up as well."""
    await _settled(world, "i")
    began = len(world.commits)
    change = 1 + world.draw("at which change the ack breaks", 10)
    world.break_calls(ACK, change=change, times=2, retryable=False)
    await world.client.enqueue_event("i", "go", "")
    await ended(world)
    left = stored(world)
    acks = calls(world.commits[began:], ACK)
    status = await world.finished("i", check=False)
    with world.oracle("28.5"):
        assert [one.took_effect for one in acks] == [False, False, True], acks
        assert left == NOTHING, left
        said = concluded(acks[-1])
        assert sorted(said.closed) == ["s", "t"] and said.opened == [] and said.work == [], said
        assert failure_text(status).startswith(f"infrastructure:{ACK}: "), status
