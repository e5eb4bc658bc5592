"""Schedules per second and core of the reference scenario, and where the time of a schedule goes.

Two workers, one session with three activities, one crash, 60 s leases; all monitors on as in campaigns, lean,
distinct schedules only. The floor of the same run is the scenario without monitors. The shares come from a
profile by room, taken in a second pass. Run it with `python benchmarks/bench_schedules.py`.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import Any

from holdfast.campaign.providers import find_provider
from holdfast.campaign.single import monitors_for
from holdfast.core import Registry
from holdfast.sim import FaultBudget, RandomWalk, Scenario, StoreView, World, run_schedule, scenario
from holdfast.traces.record import Watcher

GOALS = {"memory": 300, "sqlite": 150}
HARNESS_GOAL = 0.35
RUNS = 300
REPETITIONS = 5


def conversation() -> Registry:
    """An orchestration that opens a session, runs three activities on it, and closes it."""
    registry = Registry()

    @registry.orchestration("conversation")
    async def conversation(ctx: Any, input: str) -> str:
        session = ctx.open_session()
        said = [await ctx.schedule_activity_on_session("say", str(n), session) for n in range(3)]
        ctx.close_session(session)
        return ",".join(said)

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return f"said {input}"

    return registry


@scenario(
    covers=["benchmark"],
    workers=2,
    faults=FaultBudget(crash=1),
    options={"session_lock_duration": timedelta(seconds=60)},
    register=False,
)
async def reference(world: World) -> None:
    """The reference scenario of the figures."""
    world.worker("a", conversation)
    world.worker("b", conversation)
    await world.client.start_orchestration("i", "conversation")
    await world.finished("i")


def nobody(view: StoreView) -> Sequence[Watcher]:
    """No monitors: the floor."""
    return ()


def rate(measured: Scenario, provider: str, watched: bool, first: int) -> float:
    """Distinct schedules per second."""
    factory = find_provider(provider).factory
    strategy = RandomWalk(1)
    distinct: set[str] = set()
    before = perf_counter()
    for schedule in range(first, first + RUNS):
        strategy.begin(schedule)
        run = run_schedule(
            measured, factory, strategy, watchers=monitors_for(measured) if watched else nobody
        )
        assert run.counts and not run.failures, run.failures
        distinct.add(run.fingerprint)
    return len(distinct) / (perf_counter() - before)


def shares(measured: Scenario, provider: str) -> dict[str, float]:
    """Each room's share of the time of a schedule, by its own functions; C code counts for its caller."""
    factory = find_provider(provider).factory
    strategy = RandomWalk(1)
    profile = cProfile.Profile(builtins=False)
    profile.enable()
    for schedule in range(RUNS):
        strategy.begin(schedule)
        run_schedule(measured, factory, strategy, watchers=monitors_for(measured))
    profile.disable()
    spent: dict[str, float] = {}
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, _), (_, _, own, _, _) in stats.items():
        room = room_of(file)
        spent[room] = spent.get(room, 0.0) + own
    total = sum(spent.values())
    return {room: spent[room] / total for room in sorted(spent, key=lambda name: -spent[name])}


def room_of(file: str) -> str:
    """The room a source file belongs to."""
    for room, name in (
        ("sim", "harness"),
        ("traces", "harness"),
        ("properties", "monitors"),
        ("core", "runtime"),
        ("providers", "provider"),
    ):
        if f"/{room}/" in file:
            return name
    return "scenario and Python"


def main() -> int:
    """Print the figures; 1 if one falls short."""
    short = False
    for provider, goal in GOALS.items():
        rate(reference, provider, True, 0)
        watched = [rate(reference, provider, True, 1_000 * n) for n in range(REPETITIONS)]
        bare = [rate(reference, provider, False, 1_000 * n) for n in range(REPETITIONS)]
        got = median(watched)
        print(f"{provider}: {got:.0f} distinct schedules/s with all monitors (goal {goal}),", end=" ")
        print(f"{median(bare):.0f} without monitors")
        short |= got < goal
        parts = shares(reference, provider)
        print("  shares:", ", ".join(f"{name} {share:.0%}" for name, share in parts.items()))
        harness = parts.get("harness", 0.0) + parts.get("monitors", 0.0)
        print(f"  harness and monitors together {harness:.0%} (goal at most {HARNESS_GOAL:.0%})")
        short |= harness > HARNESS_GOAL
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
