"""Matrix section 27: chains of executions, and what the one before leaves behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext, Registry
from holdfast.core.contract.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    OrchestrationStarted,
    SessionOpened,
)
from holdfast.core.contract.observe import LeaseEnded, LeaseTaken
from holdfast.core.contract.work_items import ActivityCompletedMessage as CompletionMessage
from holdfast.properties.matrix.parts.closings import continues
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    answer,
    encoded,
    observations,
    of_kind,
    running,
    seen,
    sole,
    sources,
    start,
)
from holdfast.properties.matrix.parts.deliveries import deliveries
from holdfast.properties.matrix.parts.rows import assert_held, look
from holdfast.properties.matrix.parts.session_log import logged
from holdfast.properties.matrix.parts.told import signals, told
from holdfast.properties.matrix.section_27_carry_over.carry_over import RowNotes, ends_any_instance
from holdfast.sim import FaultBudget, World, scenario

_EXECUTIONS: Final = 5


async def _chain(ctx: OrchestrationContext, input: str) -> str:
    owners = input.split()
    if not owners:
        ctx.open_session_with_id("S")
    here = seen(await ctx.schedule_activity_on_session("look", ctx.orchestration_version, "S"))
    owners.append(f"{here.input}/{here.owner}")
    if len(owners) < _EXECUTIONS:
        version = "1.0.0" if len(owners) == 1 else "2.0.0"
        ctx.continue_as_new_versioned(version, " ".join(owners))
        return ""
    return encoded(owners)


async def _chain_2(ctx: OrchestrationContext, input: str) -> str:
    """The later version: it waits a little before it goes on."""
    await ctx.schedule_timer(timedelta(seconds=20))
    return await _chain(ctx, input)


def _two_versions() -> Registry:
    registry = running(_chain)()
    registry.add_orchestration("_chain", _chain_2, version="2.0.0")
    return registry


@scenario(
    covers=["27.8", "SS-17.12", "SS-3.3"],
    workers=2,
    options=MINUTE,
    situations=["session.owned_across_continue", "session.used_after_carry"],
)
async def chain_of_executions_and_version_change(world: World) -> None:
    """Carry-over repeats and works across versions."""
    workers = [world.worker(name, _two_versions) for name in ("a", "b")]
    watch = RowNotes(world, ends_any_instance)
    await asyncio.gather(
        world.commit(watch), world.client.start_orchestration_versioned("i", "_chain", "1.0.0")
    )
    with world.oracle("27.8"):
        used = [one.split("/") for one in answer(await world.status("i"))]
        versions = ["1.0.0"] * 2 + ["2.0.0"] * 3
        assert [version for version, _ in used] == versions, used
        opened = []
        for number, version in enumerate(versions, start=1):
            history = await world.history("i", number)
            opened += of_kind(history, SessionOpened)
            started = sole(of_kind(history, OrchestrationStarted))
            assert (started.version, started.open_sessions) == (version, () if number == 1 else ("S",))
        assert [one.session_id for one in opened] == ["S"], opened
        owners = {owner for _, owner in used}
        assert len(owners) == 1 and owners <= {worker.worker_id for worker in workers}, used
        rows = [step.after for step in watch.steps[:-1]]
        there = [bool(each) for each in rows]
        first = there.index(True)
        assert all(there[first:]), "one row from the first opening to the end"
        named = [each[0].worker_id for each in rows[first:] if each[0].worker_id is not None]
        assert set(named) == owners and rows[-1][0].worker_id in owners, named


async def _answers_twice(ctx: OrchestrationContext, input: str) -> str:
    if input != "again":
        ctx.open_session_with_id("S")
        long = ctx.schedule_activity_on_session("insist", "70", "S")
        await ctx.schedule_activity_on_session("look", "first", "S")
        await ctx.schedule_timer(timedelta(seconds=int(input)))
        ctx.continue_as_new("again")
        await long
        return ""
    beside = ctx.schedule_activity("look", "beside")
    same_id = ctx.schedule_activity_on_session("work", "20", "S")  # the id that `long` had
    same, _ = await ctx.join(same_id, beside)
    return encoded([same, await ctx.schedule_activity_on_session("look", "second", "S")])


@scenario(
    covers=["27.9", "SS-17.6", "SS-19.5"],
    faults=FaultBudget(duplicate=1, slow_answer=1),
    options={**MINUTE, "worker_concurrency": 4},
    situations=["session.used_after_carry", "instance.continued_while_running"],
)
async def late_completion_from_old_execution(world: World) -> None:
    """A completion of the previous execution is ignored."""
    world.worker("a", running(_answers_twice))
    before = str(1 + 9 * world.draw("seconds before continuing / 9", 4))
    await asyncio.gather(world.commit(continues), start(world, _answers_twice, "i", input=before))
    old = of_kind(await world.history("i", 1), ActivityScheduled)
    (long,) = (event.event_id for event in old if event.name == "insist")
    await world.until(lambda: len(deliveries(world.commits, "S", "i")) >= 3)
    for _ in range(1 + world.draw("copies", 2)):
        await world.sleep(4 * world.draw("seconds later / 4", 3))
        await world.provider.enqueue_for_orchestrator(
            CompletionMessage(instance="i", execution_id=1, id=long, result="late")
        )
    status = await world.finished("i", check=False)
    with world.oracle("27.9"):
        first, second = await world.history("i", 1), await world.history("i", 2)
        assert of_kind(first, ActivityFailed) == of_kind(second, ActivityFailed) == []
        done = of_kind(second, ActivityCompleted)
        scheduled = [event.event_id for event in of_kind(second, ActivityScheduled)]
        assert long in scheduled, "the new execution uses that id too"
        assert sorted(sources(done)) == sorted(scheduled), done
        assert "late" not in [event.result for event in (*of_kind(first, ActivityCompleted), *done)], done
        assert [seen(event.result).input for event in of_kind(first, ActivityCompleted)] == ["first"], first
        same, other = observations(status)
        assert [(one.session, one.input) for one in (same, other)] == [("S", "20"), ("S", "second")], status


async def _continues_at_once(ctx: OrchestrationContext, input: str) -> str:
    if not input.startswith("again"):
        ctx.open_session_with_id("S")
        first = await ctx.schedule_activity_on_session("look", "first", "S")
        if input == "busy":
            ctx.schedule_activity_on_session("work", "500", "S")
            await ctx.schedule_timer(timedelta(seconds=3))
        ctx.continue_as_new(f"again {first}")
        return ""
    second = await ctx.schedule_activity_on_session("work", "100", "S")
    return encoded([input.removeprefix("again "), second])


@scenario(
    covers=["27.10", "SS-17.5"],
    options=MINUTE,
    situations=["session.owned_across_continue", "session.used_after_carry", "session.renewed_by_item"],
)
async def lease_not_disturbed_by_can(world: World) -> None:
    """No signal and no new lease because of continue-as-new."""
    worker = world.worker("a", running(_continues_at_once))
    busy = world.draw("work of the old execution in flight", 2) == 1
    await start(world, _continues_at_once, "i", input="busy" if busy else "")
    await world.commit(continues)
    leases = []
    for _ in range(4):
        await world.sleep(20)
        leases.append([] if worker.runtime is None else list(worker.runtime.leases()))
        with world.oracle("27.10"):
            assert_held([look(world, "S")], worker)
    watched_us = world.now_us
    status = await world.finished("i", check=False)
    with world.oracle("27.10"):
        assert [[one.session_id for one in held] for held in leases] == [["S"]] * 4, leases
        assert len(told(world, LeaseTaken)) == 1, "one lease"
        assert all(one.time_us > watched_us for one in told(world, LeaseEnded)), told(world, LeaseEnded)
        assert all(one.time_us > watched_us for one in logged(world, "session.lost")), watched_us
        causes = [one.event.cause for one in signals(world)]
        assert causes == (["item_lost"] if busy else []), "the item of the old execution, and it alone"
        first, second = observations(status)
        assert (first.owner, second.owner, second.warm) == (worker.worker_id, worker.worker_id, True)
