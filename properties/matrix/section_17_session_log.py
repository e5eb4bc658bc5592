"""Matrix sections 17 and 33, what is logged about sessions: opens, closes, claims, takeovers, renewals."""

from __future__ import annotations

from datetime import timedelta

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityScheduled
from holdfast.core.contract.work_items import ActivityCompletedMessage
from holdfast.core.hosting.backoff import ACK_RETRIES_MAX
from holdfast.properties.matrix.parts.conversations import MINUTE, of_kind, running, start, two_workers
from holdfast.properties.matrix.parts.deliveries import (
    deliveries,
    first_delivery,
    owner_and_other,
    refused,
    renewals,
)
from holdfast.properties.matrix.parts.session_log import fields_of, logged, only
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World


async def _several_turns(ctx: OrchestrationContext, input: str) -> str:
    """Opens s, opens it again, uses it in four turns and closes it; t is open for one turn."""
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(2)]
    ctx.open_session_with_id("s")
    for number in range(4):
        await ctx.schedule_activity_on_session("work", "10", session)
        if number == 1:
            ctx.open_session_with_id("t")
            ctx.close_session("t")
    await ctx.join(*beside)
    ctx.close_session(session)
    for _ in range(2):
        await ctx.schedule_timer(timedelta(seconds=10))
    return "done"


async def _run_with_reloads(world: World) -> None:
    """The process is cut off several times, so that its successor replays the instance from history."""
    worker = world.worker("a", running(_several_turns))
    await start(world, _several_turns, "i")
    for _ in range(1 + world.draw("crashes", 3)):
        await world.sleep(7 + 5 * world.draw("seconds until the crash / 5", 6))
        worker.crash()
        worker.restart()
    await world.finished("i", check=False)


def _logged_once_each(world: World, name: str, *sessions: str) -> None:
    assert [(one.level, one.fields) for one in logged(world, name)] == [
        ("info", {"instance_id": "i", "execution_id": 1, "session_id": each}) for each in sessions
    ], logged(world, name)


@scenario(covers=["17.1", "SS-22.1"], situations=["session.opened"], options=MINUTE)
async def session_open_logged(world: World) -> None:
    """An open is logged with its id, once, also if the instance is replayed."""
    await _run_with_reloads(world)
    with world.oracle("17.1"):
        _logged_once_each(world, "session.opened", "s", "t")


@scenario(covers=["17.2", "SS-22.2"], situations=["session.closed"], options=MINUTE)
async def session_close_logged(world: World) -> None:
    """A close is logged with its id, once, also if the instance is replayed."""
    await _run_with_reloads(world)
    with world.oracle("17.2"):
        _logged_once_each(world, "session.closed", "t", "s")


async def _long_life(ctx: OrchestrationContext, input: str) -> str:
    """Many sessions one after the other, then a long wait."""
    for number in range(6):
        session = ctx.open_session_with_id(f"s{number}")
        await ctx.schedule_activity_on_session("look", "", session)
        if number < 5:
            ctx.close_session(session)
    for _ in range(3):
        await ctx.dequeue_event("go")
    return "done"


@scenario(
    covers=["33.4", "SS-22.1", "SS-22.2"],
    situations=["session.opened", "session.closed", "owner.crashed_idle"],
    options=MINUTE,
)
async def no_session_logs_on_replay(world: World) -> None:
    """Replays produce no open or close records."""
    worker = world.worker("a", running(_long_life))
    await start(world, _long_life, "i")
    await world.until(lambda: len(logged(world, "session.opened")) == 6)
    await world.sleep(1 + world.draw("seconds of quiet", 5))
    before = fields_of(world, "session.opened"), fields_of(world, "session.closed")
    for _ in range(3):
        worker.crash()
        worker.restart()
        await world.client.enqueue_event("i", "go", "")
        await world.sleep(1 + world.draw("seconds until the next", 9))
    status = await world.finished("i", check=False)
    with world.oracle("33.4"):
        assert isinstance(status, Completed), status
        # Each slot logs when it hears of its ack, so records of two turns may change places.
        opened, closed = (sorted(str(fields["session_id"]) for fields in records) for records in before)
        assert (opened, closed) == ([f"s{n}" for n in range(6)], [f"s{n}" for n in range(5)]), before
        after = fields_of(world, "session.opened"), fields_of(world, "session.closed")
        assert after == before, after


async def _uses_twice(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    await ctx.schedule_activity_on_session("look", "", session)
    ctx.close_session(session)
    return "done"


@scenario(covers=["17.3", "SS-22.3"], situations=["session.claimed"], options=MINUTE)
async def session_claim_logged(world: World) -> None:
    """A claim is logged with session and worker; what the owner fetches after it is no claim."""
    owner = world.worker("a", running(_uses_twice))
    await start(world, _uses_twice, "i", input=str(10 * world.draw("seconds between / 10", 9)))
    claim = await first_delivery(world)
    row = world.session("i", "s")
    await world.finished("i", check=False)
    with world.oracle("17.3"):
        record = only(world, "session.claimed")
        assert row is not None and row.worker_id == owner.worker_id, row
        assert record.fields == {"instance_id": "i", "session_id": "s", "worker_id": row.worker_id}, record
        assert (record.level, record.process, record.time_us) == ("info", "a", claim.time_us), record
        assert not logged(world, "session.migrated")


@scenario(
    covers=["17.4", "SS-22.4"], workers=2, level="fault", situations=["session.migrated"], options=MINUTE
)
async def session_migration_logged(world: World) -> None:
    """A takeover is logged, with both workers; a first claim is none."""
    workers = two_workers(world, _uses_twice)
    await start(world, _uses_twice, "i", input=str(100 + 10 * world.draw("seconds between / 10", 5)))
    await first_delivery(world)
    first, second = owner_and_other(world, workers)
    at_first = len(logged(world, "session.migrated"))
    await world.sleep(1 + world.draw("seconds before the crash", 30))
    first.crash()
    await world.finished("i", check=False)
    with world.oracle("17.4"):
        assert at_first == 0
        record = only(world, "session.migrated")
        assert record.level == "info" and record.process == second.name, record
        named = {"instance_id": "i", "session_id": "s", "worker_id": second.worker_id}
        assert record.fields == {**named, "previous_worker_id": first.worker_id}, record
        claims = fields_of(world, "session.claimed")
        assert claims == [{**named, "worker_id": first.worker_id}, named], claims
        assert record.time_us == deliveries(world.commits, "s")[-1].time_us, record


async def _closes_after_use(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=70))
    return "done"


@scenario(
    covers=["17.5", "SS-22.5"],
    situations=["session.closed", "session.renewal_refused", "session.renewal_failed"],
    options=MINUTE,
)
async def session_renewal_failure_logged(world: World) -> None:
    """A failed renewal is logged as a warning, for whichever reason it failed."""
    owner = world.worker("a", running(_closes_after_use))
    close_s = 35 + 5 * world.draw("seconds until the close / 5", 5)
    await start(world, _closes_after_use, "i", input=str(close_s))
    await first_delivery(world)
    await world.sleep(20)
    for _ in range(busy := world.draw("renewals that find the store busy", 3)):
        world.break_calls("renew_session_lock")
    await world.finished("i", check=False)
    with world.oracle("17.5"):
        failed = [one for one in renewals(world.commits, "s") if one.error is not None]
        records = logged(world, "session.renewal_failed")
        assert len(failed) >= 1 + (busy > 0) and refused(failed[-1]), "the row was gone"
        named = {"instance_id": "i", "session_id": "s", "worker_id": owner.worker_id}
        wanted = [("a", "warning", one.time_us, {**named, "error": str(one.error)}) for one in failed]
        assert [(one.process, one.level, one.time_us, one.fields) for one in records] == wanted, records


async def _left_late(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    ctx.schedule_activity_on_session("insist", "300", session)
    await ctx.join(*beside)
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=60))
    return "done"


@scenario(covers=["33.3", "SS-22.8"], situations=["session.late_completion_dropped"], options=MINUTE)
async def late_completion_logged(world: World) -> None:
    """Dropped completions are visible in the log: one record each, however often their turn is run."""
    world.worker("a", running(_left_late))
    await start(world, _left_late, "i")
    await world.until(lambda: len(logged(world, "session.closed")) == 1)
    scheduled = of_kind(await world.history("i"), ActivityScheduled)
    late = next(event.event_id for event in scheduled if event.name == "insist")
    copies = 1 + world.draw("copies", 3)
    for _ in range(copies):
        await world.sleep(1 + 5 * world.draw("seconds until the next / 5", 3))
        # the store may be busy for so long that the turn is given back and run again
        world.break_calls("ack_orchestration_item", times=(ACK_RETRIES_MAX + 1, 1)[world.draw("busy", 2)])
        await world.provider.enqueue_for_orchestrator(
            ActivityCompletedMessage(instance="i", execution_id=1, id=late, result="late")
        )
    await world.finished("i", check=False)
    with world.oracle("33.3"):
        named = {"instance_id": "i", "execution_id": 1, "activity_id": late, "session_id": "s"}
        assert fields_of(world, "session.late_completion_dropped") == [named] * copies
