"""Matrix section 20, the idle timer: when it starts, what cancels it, and what happens when it fires."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ActivityError
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.core.hosting.options import UnregisteredBackoff
from holdfast.properties.matrix.parts.conversations import POLL_MS, encoded, running, sole, start
from holdfast.properties.matrix.parts.deliveries import deliveries, final_calls, of_session, releases
from holdfast.properties.matrix.parts.idling import SECOND_US, beside, fails, idle_after
from holdfast.properties.matrix.parts.rows import assert_held, looks_at
from holdfast.properties.matrix.parts.takeovers import end_of
from holdfast.properties.matrix.parts.told import at, lease_ends
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

T_S: Final = 4


async def _overlapping(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 3)
    await ctx.join(*(ctx.schedule_activity_on_session("insist", each, session) for each in input.split()))
    await ctx.join(*looks)
    await ctx.schedule_timer(timedelta(seconds=20))
    return "done"


@scenario(
    covers=["20.1", "SS-8.2", "SS-14.13"],
    situations=["session.released_idle", "session.shared_by_slots"],
    options=idle_after(T_S, worker_concurrency=4),
)
async def idle_timer_starts_at_last_finish(world: World) -> None:
    """With overlapping activities only the last finish starts the timer."""
    owner = world.worker("a", running(_overlapping))
    await start(world, _overlapping, "i", input=("5 9", "9 5", "0 5 9")[world.draw("activities", 3)])
    looks = await looks_at(world, 9.0, 9.001, 12.999)
    until_then = len(releases(world))
    await world.finished("i", check=False)
    with world.oracle("20.1"):
        assert [at(one) for one in final_calls(world.commits)][-2:] == [5, 9]
        assert_held(looks, owner)
        assert until_then == 0, releases(world)
        assert [at(one) for one in releases(world)] == [13], releases(world)
        assert lease_ends(world) == [(13, "idle")], lease_ends(world)


async def _ends_somehow(ctx: OrchestrationContext, input: str) -> str:
    """An activity that ends in some way, or is given up after 5 s."""
    name, seconds = input.split()
    session = ctx.open_session_with_id("s")
    asked = ctx.schedule_activity_on_session(name, seconds, session)
    with suppress(ActivityError):
        await ctx.select(asked, ctx.schedule_timer(timedelta(seconds=5)))
    await ctx.schedule_timer(timedelta(seconds=45))
    return "done"


@scenario(
    covers=["20.2", "SS-8.2"],
    situations=["session.released_idle", "item.abandoned_backoff", "handler.signalled_lost"],
    options=idle_after(
        T_S,
        worker_concurrency=4,
        unregistered_backoff=UnregisteredBackoff(
            base_delay=timedelta(seconds=50), max_delay=timedelta(seconds=60)
        ),
    ),
)
async def idle_timer_starts_after_error_cancel_abandon(world: World) -> None:
    """Every way of finishing counts, by its final call to the provider: a completion, an error, a return."""
    slow_s = world.draw("seconds of a final call", 3)
    good_s, bad_s = 1 + world.draw("seconds of work", 2), 1 + world.draw("seconds before the exception", 2)
    heeds = world.draw("heeds no signal", 2) == 0
    if slow_s:
        for operation in ("ack_work_item", "abandon_work_item"):
            world.strike("slow_call", "a", operation, times=None, seconds=slow_s)
    world.worker("a", running(_ends_somehow, fail=fails))
    ways = {  # the lost one is told at 25, by the renewal of its item; who does not listen is aborted at 35
        "success": (f"work {good_s}", good_s),
        "exception": (f"fail {bad_s}", bad_s),
        "lost select": ("work 99" if heeds else "insist 99", 25 if heeds else 35),
        "unregistered": ("missing 0", 0),
    }
    for instance, (what, _) in ways.items():
        await start(world, _ends_somehow, instance, input=what)
    for instance in ways:
        await world.finished(instance, check=False)
    with world.oracle("20.2"):
        for instance, (_, stopped_s) in ways.items():
            final, freed = sole(final_calls(world.commits, instance)), sole(releases(world, instance))
            assert at(final) == stopped_s + slow_s, (instance, final)
            assert at(freed) == at(final) + T_S and freed.took_effect, (instance, freed)


async def _just_in_time(ctx: OrchestrationContext, input: str) -> str:
    """Activities of one session, each T - 1 after the one before."""
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 3)
    for number, seconds in enumerate(input.split()):
        if number:
            await ctx.schedule_timer(timedelta(seconds=T_S - 1))
        await ctx.schedule_activity_on_session("insist", seconds, session)
    await ctx.join(*looks)
    await ctx.schedule_timer(timedelta(seconds=3 * T_S))
    return "done"


@scenario(
    covers=["20.3", "SS-8.3"],
    situations=["session.released_idle", "session.served_again", "session.used_across_turns"],
    options=idle_after(T_S),
)
async def idle_timer_cancelled_by_new_activity(world: World) -> None:
    """New work resets the timer: it runs for all of T after the last activity."""
    count = 2 + world.draw("activities beyond two", 2)
    seconds = [(2, 0, 1, 5)[world.draw("seconds of work", 4)] for _ in range(count)]
    owner = world.worker("a", running(_just_in_time))
    await start(world, _just_in_time, "i", input=" ".join(map(str, seconds)))
    # when the timer would have fired without the activity that followed
    due_s = [sum(seconds[:number]) + (number - 1) * (T_S - 1) + T_S for number in range(1, count)]
    looks = await looks_at(world, *(second + 0.001 for second in due_s))
    await world.finished("i", check=False)
    with world.oracle("20.3"):
        finished_s = sum(seconds) + (count - 1) * (T_S - 1)
        assert at(final_calls(world.commits)[-1]) == finished_s, final_calls(world.commits)
        assert_held(looks, owner)
        assert [at(one) for one in releases(world)] == [finished_s + T_S], releases(world)
        assert [cause for _, cause in lease_ends(world)] == ["idle"], lease_ends(world)


async def _then_elsewhere(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 3)
    here = await ctx.schedule_activity_on_session("insist", input, session)
    await ctx.join(*looks)
    elsewhere = await ctx.schedule_activity_on_session("look", "", session, tag="elsewhere")
    return encoded([here, elsewhere])


@scenario(
    covers=["20.4", "SS-8.4"],
    workers=2,
    situations=["session.released_idle", "session.claimed_after_release"],
    level="multi-runtime",
    options={**idle_after(2), "session_lock_duration": timedelta(seconds=600)},
)
async def idle_release_is_explicit(world: World) -> None:
    """The session is claimable at its release, not after its lock has run out."""
    owner = world.worker("a", running(_then_elsewhere))
    second = world.worker("b", running(_then_elsewhere), worker_tag_filter=TagFilter.only("elsewhere"))
    worked_s = {name: 3 * world.draw("seconds of work / 3", 5) for name in ("i", "j")}
    for name, each in worked_s.items():
        await start(world, _then_elsewhere, name, input=str(each))
    freed: dict[str, SessionRecord | None] = {}
    for name in sorted(worked_s, key=lambda name: worked_s[name]):
        # a session that is not released must not keep us waiting
        await world.until(partial(_is_released, world, name, (worked_s[name] + 3) * SECOND_US))
        freed[name] = world.session(name, "s")
    statuses = {name: await end_of(world, name, within_s=20) for name in worked_s}
    with world.oracle("20.4"):
        for name, each in worked_s.items():
            assert releases(world, name), f"the session of {name} is not released: {freed[name]}"
            release, taken = releases(world, name)[0], deliveries(world.commits, "s", name)[-1]
            assert release.process == owner.name and release.took_effect, release
            assert release.time_us == (each + 2) * SECOND_US, release
            if worked_s["i"] != worked_s["j"]:
                assert freed[name] == SessionRecord(name, "s", None, None), freed
            assert taken.process == second.name and taken.position > release.position, taken
            assert taken.provider_ms - release.provider_ms <= POLL_MS, (release, taken)
            assert isinstance(statuses[name], Completed), statuses


def _is_released(world: World, name: str, late_us: int) -> bool:
    """Whether the release of a session was sent, or is overdue."""
    return bool(releases(world, name)) or world.now_us > late_us


async def _all_at_once(ctx: OrchestrationContext, input: str) -> str:
    """Spells of work on one session, with a little time between them; each has so many seconds at once."""
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 2)
    for spell in input.split(";"):
        await ctx.join(*(ctx.schedule_activity_on_session("insist", each, session) for each in spell.split()))
        await ctx.schedule_timer(timedelta(seconds=0.2))
    await ctx.join(*looks)
    return "done"


@scenario(
    covers=["20.6", "SS-8.9"],
    situations=["session.released_idle", "session.claimed", "session.shared_by_slots"],
    options=idle_after(0, worker_concurrency=3),
)
async def idle_timeout_zero(world: World) -> None:
    """With T = 0 a session is given up right after its last activity."""
    kinds = ("0.2 0.3", "0", "0.3 0.3 0", "0.2")
    spells = [kinds[0], *(kinds[world.draw("spell", 4)] for _ in range(2))]
    world.worker("a", running(_all_at_once))
    await start(world, _all_at_once, "i", input=";".join(spells))
    await world.finished("i", check=False)
    with world.oracle("20.6"):
        in_flight, emptied = 0, []
        finals = final_calls(world.commits)
        for commit in world.commits:
            in_flight += of_session(commit, "s")
            if commit in finals:
                in_flight -= 1
                if not in_flight:
                    emptied.append(commit)
        assert len(emptied) >= len(spells), (spells, emptied)
        freed = releases(world)
        assert [one.time_us for one in freed] == [one.time_us for one in emptied], (emptied, freed)
        for release, last in zip(freed, emptied, strict=True):
            assert release.position > last.position and release.took_effect, (last, release)
