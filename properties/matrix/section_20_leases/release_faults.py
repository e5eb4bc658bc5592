"""Matrix section 20, idle releases under faults: races with fetches, crashes, and calls that fail."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.closings import ends_instance
from holdfast.properties.matrix.parts.conversations import POLL_MS, encoded, running, sole, start, two_workers
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    deliveries,
    effective,
    final_calls,
    item_of,
    releases,
    renewals,
    work_of,
)
from holdfast.properties.matrix.parts.idling import SECOND_US, beside, idle_after, is_release
from holdfast.properties.matrix.parts.rows import leases_of, second_of
from holdfast.properties.matrix.parts.takeovers import end_of
from holdfast.properties.matrix.parts.told import at, lease_ends
from holdfast.sim.stage.script import ScriptedFault
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

T_S: Final = 4


class _OwnerWatch:
    """After each commit, items of session s that some worker has while the row names another, or nobody.

    True once the instance has ended.
    """

    def __init__(self, world: World) -> None:
        self.breaches: list[str] = []
        self.looked_at = 0
        self._world = world

    def __call__(self, commit: Commit) -> bool:
        if ends_instance(commit):
            return True
        now = self._world.provider_now_ms
        record = self._world.session("i", "s")
        for row in self._world.worker_rows():
            if row.session_id != "s" or row.token is None or row.locked_until is None:
                continue
            self.looked_at += 1
            owner = None if record is None else record.worker_id
            if row.locked_until > now and row.claimed_by != owner:
                self.breaches.append(f"after {commit.operation}: {row.claimed_by} has an item, {owner} owns")
        return False


async def _in_rounds(ctx: OrchestrationContext, input: str) -> str:
    """Rounds of two activities of one session, with pauses of about T between them."""
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 2)
    answers = []
    for pause_s in input.split():
        both = [ctx.schedule_activity_on_session("insist", each, session) for each in ("1", "0")]
        answers += await ctx.join(*both)
        await ctx.schedule_timer(timedelta(seconds=float(pause_s)))
    await ctx.join(*looks)
    return encoded(answers)


@scenario(
    covers=["20.5", "SS-8.7", "SS-7.22"],
    workers=2,
    situations=["session.released_idle", "session.claimed_after_release", "session.served_again"],
    level="fault",
    options=idle_after(T_S),
)
async def idle_release_versus_fetch_race(world: World) -> None:
    """A release never hits a session whose item was just delivered."""
    faults: tuple[tuple[ScriptedFault, str], ...] = (
        ("slow_answer", "fetch_session_work_item"),
        ("slow_call", "release_session_lock"),
        ("slow_answer", "release_session_lock"),
        ("slow_call", "ack_work_item"),
    )
    for _ in range(2):
        kind, operation = faults[world.draw("which call", len(faults))]
        seconds = (0.5, T_S, T_S + 2)[world.draw("for how long", 3)]
        world.strike(kind, None, operation, skip=world.draw("calls before", 4), seconds=seconds)
    pauses_s = (T_S, T_S - 0.5, T_S + 0.5, T_S + 2, 0)
    pauses = [pauses_s[world.draw("pause", len(pauses_s))] for _ in range(3)]
    two_workers(world, _in_rounds)
    await start(world, _in_rounds, "i", input=" ".join(map(str, pauses)))
    watch = _OwnerWatch(world)
    await world.commit(watch)
    status = await world.finished("i", check=False)
    with world.oracle("20.5"):
        assert watch.looked_at and not watch.breaches, watch.breaches
        held: dict[str, str] = {}  # by token: who has an item of the session
        finals = {one.position: str(one.arguments["token"]) for one in final_calls(world.commits)}
        tokens = {one.position: work_of(one).token for one in deliveries(world.commits, "s")}
        for commit in world.commits:
            if commit.position in tokens:
                others = [name for name in held.values() if name != commit.process]
                assert not others, f"{commit.process} gets an item while {others} have some: {commit}"
                held[tokens[commit.position]] = commit.process
            held.pop(finals.get(commit.position, ""), None)
        assert (
            len(tokens) == 6 and len({item_of(one).id for one in deliveries(world.commits, "s", "i")}) == 6
        ), tokens
        assert {cause for _, cause in lease_ends(world)} <= {"idle", "lost"}, lease_ends(world)
        assert isinstance(status, Completed), status


async def _used_then_elsewhere(ctx: OrchestrationContext, input: str) -> str:
    """A session is used by the worker of this tag; then the taker has something for it at once."""
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 1)
    tag, seconds = input.split()
    await ctx.schedule_activity_on_session("insist", seconds, session, tag=tag)
    await ctx.schedule_activity_on_session("look", "", session, tag="taker's")
    await ctx.join(*looks)
    return "done"


def _last_extension_ms(world: World, instance: str, owner: str) -> int:
    """When a worker last extended the session of an instance: a fetch, or a renewal of the session."""
    made = [*deliveries(world.commits, "s", instance), *renewals(world.commits, "s", instance)]
    return max(one.provider_ms for one in effective(made) if one.process == owner)


@scenario(
    covers=["20.7", "SS-8.8"],
    workers=3,
    situations=["session.released_idle", "session.claimed_after_release", "owner.crashed_idle"],
    level="fault",
    options=idle_after(60, worker_concurrency=1, orchestration_concurrency=1),
)
async def idle_and_lock_knobs_independent(world: World) -> None:
    """Changing one knob does not change the other's effect, whichever of them is longer."""
    short_s, long_s = (6, 8, 11)[world.draw("short", 3)], (20, 25, 31)[world.draw("long", 3)]
    knobs = {"d<t": (short_s, long_s), "d>t": (long_s, short_s)}
    crash_s = {  # both before T, and one of them after D too
        "d<t": (3, 7, 19)[world.draw("seconds to the crash of d<t", 3)],
        "d>t": 1 + world.draw("seconds to the crash of d>t", 5),
    }
    taker = world.worker(
        "taker", running(_used_then_elsewhere), worker_tag_filter=TagFilter.default_and("taker's")
    )
    owners: dict[str, Handle] = {}
    for name, (lock_s, idle_s) in knobs.items():
        owners[name] = world.worker(
            name,
            running(_used_then_elsewhere),
            worker_tag_filter=TagFilter.only(name),
            session_lock_duration=timedelta(seconds=lock_s),
            session_idle_timeout=timedelta(seconds=idle_s),
            orchestration_concurrency=0,
        )
        await start(world, _used_then_elsewhere, f"idle {name}", input=f"{name} 1")
    for name in knobs:
        await world.finished(f"idle {name}", check=False)
    for name in knobs:
        await start(world, _used_then_elsewhere, f"crash {name}", input=f"{name} 0")
    began_us = world.now_us
    extended_ms = {}
    for name in sorted(knobs, key=lambda name: crash_s[name]):
        await world.sleep(crash_s[name] - (world.now_us - began_us) / SECOND_US)
        owners[name].crash()
        extended_ms[name] = _last_extension_ms(world, f"crash {name}", name)
    for name in knobs:
        await world.finished(f"crash {name}", check=False)
    with world.oracle("20.7"):
        for name, (lock_s, idle_s) in knobs.items():
            used, taken = deliveries(world.commits, "s", f"idle {name}")
            freed = sole([one for one in releases(world, f"idle {name}") if one.process == name])
            assert at(freed) - at(used) == 1 + idle_s, (knobs[name], freed)
            assert taken.process == taker.name, taken
            assert 0 <= taken.provider_ms - freed.provider_ms <= POLL_MS, (knobs[name], freed, taken)
            used, taken = deliveries(world.commits, "s", f"crash {name}")
            assert (used.process, taken.process) == (name, taker.name), (used, taken)
            waited_ms = taken.provider_ms - extended_ms[name]
            assert 0 <= waited_ms - lock_s * 1000 <= POLL_MS, (knobs[name], waited_ms)
            assert not [one for one in releases(world, f"crash {name}") if one.process == name]


@scenario(covers=["20.8", "SS-8.10"], workers=2, level="fault", options=idle_after(T_S))
async def idle_release_call_failure(world: World) -> None:
    """A failing release leaves the session to expire: nobody renews it, and nobody has it before."""
    owner = world.worker("a", running(_used_then_elsewhere), worker_tag_filter=TagFilter.default_and("a's"))
    taker = world.worker("b", running(_used_then_elsewhere), worker_tag_filter=TagFilter.only("taker's"))
    how = world.draw("how", 3)
    if how == 2:
        world.break_calls("release_session_lock")
    else:
        kinds: tuple[ScriptedFault, ...] = ("refused", "unsent")
        world.strike(kinds[how], "a", "release_session_lock", seconds=world.draw("seconds of no answer", 3))
    work_s, expiry_s = ((1, 60), (26, 85), (28, 85), (51, 110))[world.draw("seconds of work", 4)]
    await start(world, _used_then_elsewhere, "i", input=f"a's {work_s}")
    failed = await world.commit(is_release)
    left = world.session("i", "s")
    await world.sleep(3)
    leases = leases_of(owner)
    status = await end_of(world, "i", within_s=130)
    with world.oracle("20.8"):
        assert not failed.took_effect and at(failed) == work_s + T_S, failed
        assert left is not None and left.worker_id == owner.worker_id, left
        assert second_of(left.locked_until) == expiry_s, (work_s, left)
        assert leases == () and lease_ends(world)[0] == (at(failed), "idle"), lease_ends(world)
        later = world.commits[failed.position + 1 :]
        assert not calls(later, "renew_session_lock", process=owner.name), later
        taken = deliveries(world.commits, "s", "i")[-1]
        assert taken.process == taker.name and left.locked_until is not None, taken
        assert 0 <= taken.provider_ms - left.locked_until <= POLL_MS, (left, taken)
        assert isinstance(status, Completed), status
