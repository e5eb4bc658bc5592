"""Matrix section 33, what is logged and counted when sessions are lost, released and taken over."""

from __future__ import annotations

from datetime import timedelta

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import HandlerStarted, LeaseEnded
from holdfast.properties.matrix.parts.conversations import MINUTE, running, start
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    deliveries,
    effective,
    first_delivery,
    owner_and_other,
    owner_of,
)
from holdfast.properties.matrix.parts.session_log import fields_of, logged, measured
from holdfast.properties.matrix.parts.told import told
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World


async def _lost_idle_and_shut_down(ctx: OrchestrationContext, input: str) -> str:
    """So many activities at once; idle until told; one more."""
    session = ctx.open_session_with_id("s")
    await ctx.join(*(ctx.schedule_activity_on_session("insist", "40", session) for _ in range(int(input))))
    await ctx.dequeue_event("go")
    await ctx.schedule_activity_on_session("work", "30", session)
    ctx.close_session(session)
    return "done"


@scenario(
    covers=["33.1", "SS-22.6"],
    workers=2,
    level="fault",
    situations=["session.lost", "session.released_idle", "session.released_shutdown", "process.stalled"],
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=20), "worker_concurrency": 3},
)
async def released_and_lost_logged(world: World) -> None:
    """Loss and release are logged with the reason."""
    make = running(_lost_idle_and_shut_down)
    frozen = world.worker("a", make)
    in_flight = 1 + world.draw("further activities in flight", 3)
    await start(world, _lost_idle_and_shut_down, "i", input=str(in_flight))
    await world.until(lambda: len(told(world, HandlerStarted, instance="i")) == in_flight)
    await world.sleep(1 + world.draw("seconds until the pause", 20))
    frozen.stall(70)
    workers = [frozen, *(world.worker(name, make) for name in ("b", "c"))]
    lost_by = frozen.worker_id
    await world.until(lambda: len(logged(world, "session.released")) == 1)
    idle_us = world.now_us
    await world.client.enqueue_event("i", "go", "")
    await first_delivery(world)
    leaving = owner_of(world, workers, "i", "s")
    left = leaving.worker_id
    await world.sleep(1 + world.draw("seconds until the shutdown", 20))
    await leaving.shutdown(15)
    status = await world.finished("i", check=False)
    with world.oracle("33.1"):
        assert isinstance(status, Completed), status
        losses = logged(world, "session.lost")
        ended = [one for one in told(world, LeaseEnded) if one.event.cause in ("lost", "deadline")]
        # What a fetch brought during the pause starts another lease, which is lost in its turn (SS-7.24).
        brought = deliveries(world.commits, "s", process=frozen.name)
        assert 1 <= len(losses) == len(ended) <= len(brought), (losses, ended)
        named = {"instance_id": "i", "session_id": "s"}
        counts = [in_flight, *(one.event.in_flight for one in ended[1:])]
        for lost, end, count in zip(losses, ended, counts, strict=True):
            wanted = {**named, "worker_id": lost_by, "in_flight": count, "cause": end.event.cause}
            assert (lost.fields, lost.level) == (wanted, "warning"), (lost, wanted)
            assert lost.process == end.process == frozen.name, (lost, end)
        releases = logged(world, "session.released")
        assert len(releases) == 2, releases
        idle, shutdown = releases
        assert idle.level == shutdown.level == "info", (idle, shutdown)
        assert idle.time_us == idle_us and idle.fields["reason"] == "idle", idle
        owner = next(worker.worker_id for worker in workers if worker.name == idle.process)
        assert idle.fields == {**named, "worker_id": owner, "reason": "idle"}, idle
        assert shutdown.fields == {**named, "worker_id": left, "reason": "shutdown"}, shutdown


async def _uses_for_long(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    for _ in range(2):
        await ctx.schedule_activity_on_session("look", "", session)
        await ctx.schedule_timer(timedelta(seconds=float(input)))
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.dequeue_event("go")
    return "done"


@scenario(
    covers=["33.2", "SS-22.7"],
    workers=2,
    faults=FaultBudget(refused=1),
    level="fault",
    situations=["session.migrated", "session.released_shutdown", "session.renewed", "session.renewal_failed"],
    options={**MINUTE, "dispatcher_long_poll_timeout": timedelta(minutes=20)},
)
async def metrics_agree_with_log(world: World) -> None:
    """After a quiescent run counters agree with the log and the gauge with the leases."""
    make = running(_uses_for_long)
    names = ("i", "j", "k")
    # three sessions, and room for two each: both workers have one at least
    crashing, leaving = (world.worker(name, make, max_sessions_per_worker=2) for name in ("a", "b"))
    await start(world, _uses_for_long, *names, input=str(80 + 10 * world.draw("seconds of quiet / 10", 4)))
    await world.sleep(27 + 10 * world.draw("seconds until the crash / 10", 4))
    world.break_calls("renew_session_lock", times=1 + world.draw("renewals that fail", 2))
    await world.sleep(10)
    crashing.crash()
    staying = world.worker("c", make)
    await world.sleep(70 + 10 * world.draw("seconds until the shutdown / 10", 3))
    await leaving.shutdown(10)
    await world.sleep(250)
    runtime = staying.runtime
    held = len(runtime.leases()) if runtime is not None else -1
    with world.oracle("33.2"):
        for worker in (crashing, leaving, staying):
            _agrees(world, worker, exactly=worker is not crashing)
        assert held == measured(world, staying)["holdfast_sessions_active"] == 3, held
        assert measured(world, leaving)["holdfast_sessions_active"] == 0, "it was shut down"
        assert logged(world, "session.migrated"), "nothing was taken over from the crashed worker"
        assert logged(world, "session.released"), "nothing was released by the one shut down"


def _agrees(world: World, worker: Handle, *, exactly: bool) -> None:
    """The counters of one worker against its records, and its renewals against the calls that worked.

    Of a worker that crashed a last answer may not have arrived.
    """
    counted = measured(world, worker)
    records = {
        name: len([one for one in logged(world, f"session.{name}") if one.process == worker.name])
        for name in ("claimed", "released", "renewal_failed", "migrated")
    }
    for name in ("claimed", "released", "renewal_failed"):
        assert counted[f"holdfast_sessions_{name}_total"] == records[name], (worker, name, counted, records)
    assert counted["holdfast_sessions_expired_total"] == records["migrated"], (worker, counted, records)
    done = len(effective(calls(world.commits, "renew_session_lock", process=worker.name, session="s")))
    assert done - (not exactly) <= counted["holdfast_sessions_renewal_total"] <= done, (worker, counted, done)


async def _uses_again(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    await ctx.schedule_activity_on_session("look", "", session)
    ctx.close_session(session)
    return "done"


@scenario(
    covers=["33.5", "SS-22.3", "SS-22.4"],
    workers=2,
    level="multi-runtime",
    situations=["session.released_shutdown", "session.claimed_after_release"],
    options=MINUTE,
)
async def first_claim_is_not_migration(world: World) -> None:
    """Claiming an unclaimed session is not a migration."""
    workers = [world.worker(name, running(_uses_again)) for name in ("a", "b")]
    await start(world, _uses_again, "i", input=str(40 + 10 * world.draw("seconds between / 10", 5)))
    await first_delivery(world)
    first, second = owner_and_other(world, workers)
    await world.sleep(1 + world.draw("seconds until the shutdown", 30))
    await first.shutdown(5)
    await world.finished("i", check=False)
    with world.oracle("33.5"):
        claims = [(one["session_id"], one["worker_id"]) for one in fields_of(world, "session.claimed")]
        assert claims == [("s", first.worker_id), ("s", second.worker_id)], claims
        assert not logged(world, "session.migrated"), logged(world, "session.migrated")
