"""Matrix section 34: one loop, further: blocking handlers, long polls, and the clock that drives it all."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.events import TimerCreated, TimerFired
from holdfast.core.contract.observe import LeaseEnded
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    Seen,
    encoded,
    observations,
    of_kind,
    owner_part,
    running,
    start,
)
from holdfast.properties.matrix.parts.deliveries import deliveries, effective, releases, renewals
from holdfast.properties.matrix.parts.told import told
from holdfast.properties.matrix.section_18_single_loop import (
    LATE_ITEMS,
    SINGLE,
    busy_for_three_d,
    check_renewed_on_schedule,
    waits_on_the_slot,
)
from holdfast.sim import Process, World, scenario


def _with_a_blocking_activity(process: Process) -> Registry:
    """`block` is a plain function, so it has its thread for as long as the scenario says: 3 D."""
    process.blocking_ms = 3 * D_MS
    registry = running(waits_on_the_slot)()

    @registry.activity("block")
    def block(ctx: ActivityContext, input: str) -> str:
        return encoded(Seen(owner_part(ctx.worker_id), ctx.session_id, input, False))

    return registry


@scenario(
    covers=["34.1", "SS-23.3", "SS-7.18"],
    options=SINGLE,
    situations=["session.renewed_by_item", "session.renewed_between"],
)
async def blocking_handler_does_not_stop_renewal(world: World) -> None:
    """A thread-blocking handler leaves renewals running."""
    late = world.draw("item renewals come late", 2)
    overrides = {"worker_lock_timeout": LATE_ITEMS} if late else {}
    worker = world.worker("a", _with_a_blocking_activity, **overrides)
    await world.sleep(7 * world.draw("seconds before the start / 7", 5))
    watch = await busy_for_three_d(world, worker, "block")
    statuses = [await world.finished(instance, check=False) for instance in ("i", "j")]
    with world.oracle("34.1"):
        await check_renewed_on_schedule(world, worker, watch)
        assert [observations(status)[0].session for status in statuses] == ["s", "s"], statuses


async def _timers_only(ctx: OrchestrationContext, input: str) -> str:
    for seconds in input.split():
        await ctx.schedule_timer(timedelta(seconds=int(seconds)))
    return "done"


@scenario(
    covers=["34.2", "SS-23.4"], options={**SINGLE, "dispatcher_long_poll_timeout": timedelta(minutes=2)}
)
async def long_poll_does_not_block_turns(world: World) -> None:
    """Waiting for work does not hold up orchestrations."""
    world.worker("a", running(_timers_only))
    waits = {
        instance: [1 + world.draw("seconds", 9), 7 + 10 * world.draw("seconds / 10", 4), 13]
        for instance in ("i", "j", "k", "l")
    }
    begun_ms = world.provider_now_ms
    for instance, seconds in waits.items():
        await start(world, _timers_only, instance, input=" ".join(map(str, seconds)))
    statuses = {instance: await world.finished(instance, check=False) for instance in waits}
    over_us = world.now_us
    with world.oracle("34.2"):
        for instance, seconds in waits.items():
            assert isinstance(statuses[instance], Completed), statuses[instance]
            history = await world.history(instance)
            created, fired = of_kind(history, TimerCreated), of_kind(history, TimerFired)
            due = [begun_ms + sum(seconds[: number + 1]) * 1000 for number in range(len(seconds))]
            assert [event.fire_at_ms for event in created] == due, (created, due)
            assert [event.timestamp_ms for event in fired] == due, "each fires at the moment it is due"
        assert over_us == max(sum(seconds) for seconds in waits.values()) * 1_000_000
        polls = [one for one in world.commits if one.operation == "fetch_session_work_item"]
        assert len(polls) <= 1 + over_us // 120_000_000, "the fetches for work did wait"


T_S: Final = 200
"""T, in seconds."""
R_S: Final = D_MS // 2000
PAUSE_S: Final = 1_200
CYCLES: Final = 3


async def _every_twenty_minutes(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    answers = [await ctx.schedule_activity_on_session("look", "0", session)]
    for number in range(1, CYCLES):
        await ctx.schedule_timer(timedelta(seconds=PAUSE_S))
        answers.append(await ctx.schedule_activity_on_session("look", str(number), session))
    await ctx.schedule_timer(timedelta(seconds=PAUSE_S))
    return encoded(answers)


@scenario(
    covers=["34.3", "SS-24.8"],
    options={
        **SINGLE,
        "session_idle_timeout": timedelta(seconds=T_S),
        "dispatcher_long_poll_timeout": timedelta(hours=1),
    },
    situations=["session.renewed_between", "session.released_idle", "session.deadline_passed"],
)
async def virtual_time_drives_everything(world: World) -> None:
    """Renewal, idle and deadline waits obey the injected clock."""
    world.worker("a", running(_every_twenty_minutes))
    offset_s = 7 + 7 * world.draw("seconds between the two / 7", 3)
    cut_off = world.draw("cycle in which no renewal gets through", CYCLES)
    begun_us = {"i": 0, "j": offset_s * 1_000_000}
    failing = world.strike("refused", "a", "renew_session_lock", times=None) if not cut_off else None
    await start(world, _every_twenty_minutes, "i")
    await world.sleep(offset_s)
    await start(world, _every_twenty_minutes, "j")
    if cut_off:
        await world.sleep(PAUSE_S * cut_off - 100 - offset_s)
    failing = failing or world.strike("refused", "a", "renew_session_lock", times=None)
    await world.sleep(PAUSE_S - 100)
    failing.end()
    statuses = {instance: await world.finished(instance, check=False) for instance in ("i", "j")}
    with world.oracle("34.3"):
        assert world.now_us == begun_us["j"] + CYCLES * PAUSE_S * 1_000_000, "an hour, and nothing more"
        for instance, status in statuses.items():
            assert [one.input for one in observations(status)] == [str(each) for each in range(CYCLES)]
            cycles_us = [begun_us[instance] + each * PAUSE_S * 1_000_000 for each in range(CYCLES)]
            assert [one.time_us for one in deliveries(world.commits, "s", instance)] == cycles_us
            kept = [at for number, at in enumerate(cycles_us) if number != cut_off]
            renewed = effective(renewals(world.commits, "s", instance))
            # what a fetch that waited for longer than R brings is confirmed at once (SS-7.24)
            due = [
                at + each * R_S * 1_000_000
                for at in kept
                for each in range(0 if instance == "i" and at else 1, 1 + T_S // R_S)
            ]
            assert [one.time_us for one in renewed] == due, "every R until it is idle for T"
            released = releases(world, instance)
            assert [one.time_us for one in released] == [at + T_S * 1_000_000 for at in kept], released
            ends = told(world, LeaseEnded, instance=instance)
            lapses = [(one.event.cause, one.time_us) for one in ends if one.event.cause != "idle"]
            assert lapses == [("deadline", cycles_us[cut_off] + D_MS * 1000)], ends
            assert len(ends) == CYCLES, ends
