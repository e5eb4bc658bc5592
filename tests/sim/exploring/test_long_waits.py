"""What a wait of any length costs, what is still seen in it, and what a run says that a limit has ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import FrozenInstanceError
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from holdfast.campaign.single import monitors
from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import LeaseEnded
from holdfast.core.contract.store import Store
from holdfast.core.program.registry import Registry
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.determinism import run_twice
from holdfast.sim.exploring.explorer import Run, run_schedule
from holdfast.sim.loop.virtual_time import EPOCH_MS
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import Fifo, RandomWalk, Strategy
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.limits import Limits
from holdfast.sim.toolkit.scenario import Scenario, scenario
from holdfast.sim.toolkit.world import World

Body = Callable[[World], Awaitable[None]]

DAY_S = 86_400
MONTH_S = 30 * DAY_S


def in_memory(clock: ProviderClock, ids: IdSource) -> Store:
    return memory_store(clock, ids, long_polling=False)


def made_of(body: Body, **details: Any) -> Scenario:
    return scenario(covers=["test"], workers=2, register=False, **details)(body)


def once(
    body: Body,
    strategy: Strategy | None = None,
    *,
    store: StoreFactory = in_memory,
    limits: Limits | None = None,
    **details: Any,
) -> Run:
    chosen = strategy or Fifo()
    chosen.begin(0)
    return run_schedule(made_of(body, **details), store, chosen, watchers=monitors, full=True, limits=limits)


def waiting() -> Registry:
    registry = Registry()

    @registry.orchestration("waits")
    async def waits(ctx: Any, input: str) -> str:
        await ctx.schedule_timer(timedelta(seconds=float(input)))
        return "waited"

    @registry.orchestration("talks")
    async def talks(ctx: Any, input: str) -> str:
        session = ctx.open_session()
        said = await ctx.schedule_activity_on_session("say", "first", session)
        await ctx.schedule_timer(timedelta(seconds=float(input)))
        return str(said + await ctx.schedule_activity_on_session("say", "last", session))

    @registry.orchestration("echo")
    async def echo(ctx: Any, input: str) -> str:
        session = ctx.open_session()
        return str(await ctx.schedule_activity_on_session("say", input, session))

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return input

    return registry


def waits(seconds: float, orchestration: str = "waits") -> Body:
    async def body(world: World) -> None:
        for name in ("a", "b"):
            world.worker(name, waiting)
        await world.client.start_orchestration("i", orchestration, str(seconds))
        await world.finished("i")

    return body


@pytest.mark.parametrize("store", [in_memory, sqlite_store])
@pytest.mark.parametrize("seconds", [DAY_S, MONTH_S, 20 * 365 * DAY_S])
def test_a_wait_of_any_length_takes_some_hundred_steps(store: StoreFactory, seconds: int) -> None:
    for strategy in (Fifo(), RandomWalk(3)):
        run = once(waits(seconds), strategy, store=store)
        assert run.counts and not run.failures, run.wrong
        assert run.virtual_us // 1_000_000 == seconds
        assert run.steps < 900, run.steps


def test_a_long_wait_is_a_tape_like_any_other() -> None:
    body = waits(MONTH_S)
    run = once(body, RandomWalk(7), faults=FaultBudget(crash=1, stall=1, lost_answer=1))
    assert run.counts and not run.failures, run.wrong
    assert any(draw.site == "put off" and draw.answer for draw in run.draws)
    again = made_of(body, faults=FaultBudget(crash=1, stall=1, lost_answer=1))
    assert run_twice(again, in_memory, run.tape, watchers=monitors) is None


def test_polls_of_a_long_wait_are_made_between_and_just_before_what_comes_next() -> None:
    run = once(waits(MONTH_S))
    looks = sorted({commit.time_us // 1000 for commit in run.commits if commit.result is None})
    assert MONTH_S * 1000 - 1 in looks
    late = [at for at in looks if at > 1_200_000]
    assert 5 < len(late) < 40, late
    assert max(after - before for before, after in pairwise(late)) < 16 * DAY_S * 1000


class Ahead:
    """A store that sees messages or expired locks `ms` too early, once `after_s` have passed."""

    def __init__(self, ms: int, after_s: float = 0) -> None:
        self.ms = ms
        self.after_ms = EPOCH_MS + after_s * 1000

    def __call__(self, clock: ProviderClock, ids: IdSource) -> Store:
        return memory_store(lambda: self.shown(clock()), ids, long_polling=False)

    def shown(self, now: Millis) -> Millis:
        return Millis(now + self.ms) if now >= self.after_ms else now


@pytest.mark.parametrize("early_ms", [1, 50, 3_600_000, 10 * DAY_S * 1000])
def test_a_delivery_that_comes_too_early_is_still_seen(early_ms: int) -> None:
    """The clock goes ahead once the timer is set, so a store that is right would deliver a month later."""
    run = once(waits(MONTH_S), store=Ahead(early_ms, after_s=60))
    assert run.counts, run.wrong
    assert run.virtual_us <= (MONTH_S * 1000 - 1) * 1000, "it was delivered too early, and nobody looked"


@pytest.mark.parametrize("early_ms", [1, 1_000, 5 * DAY_S * 1000])
def test_an_expiry_that_comes_too_early_is_still_seen(early_ms: int) -> None:
    async def body(world: World) -> None:
        workers = {name: world.worker(name, waiting) for name in ("a", "b")}
        await world.client.start_orchestration("i", "talks", "1000")
        await world.commit(lambda commit: commit.operation == "ack_work_item")
        (row,) = world.sessions()
        next(one for one in workers.values() if one.worker_id == row.worker_id).crash()
        await world.finished("i")
        assert row.locked_until is not None
        assert world.provider_now_ms < row.locked_until, "it was not taken over too early"

    options = {"session_lock_duration": timedelta(days=20)}
    run = once(body, store=Ahead(early_ms, after_s=10_000), options=options)
    assert run.failures and not any(one.rule == "scenario" for one in run.failures), run.wrong


def test_what_comes_after_a_long_wait_finds_workers_as_after_a_short_one() -> None:
    """Fetches that were put off have waited for longer than they may: a session is claimed by a new one."""

    async def body(world: World) -> None:
        for name in ("a", "b"):
            world.worker(name, waiting)
        for number in range(3):
            await world.sleep(MONTH_S + number / 3)
            before_us = world.now_us
            await world.client.start_orchestration(f"i{number}", "echo", "here")
            assert (await world.finished(f"i{number}")).output == "here"
            assert world.now_us == before_us, "work that came after a long wait was not found at once"
        for commit in world.commits:
            if commit.operation.startswith("fetch") and commit.result is not None:
                assert commit.outcome == "answered"

    for strategy in (Fifo(), RandomWalk(1), RandomWalk(2)):
        run = once(body, strategy)
        assert run.counts and not run.failures, run.wrong
        assert run.steps < 3_000
        causes = [local.event.cause for local in run.locals if isinstance(local.event, LeaseEnded)]
        assert "deadline" not in causes, "a lease ended as late that a fetch had just brought"


def test_a_session_is_held_through_a_long_wait_by_its_renewals_alone() -> None:
    run = once(waits(2 * DAY_S, "talks"))
    assert run.counts and not run.failures, run.wrong
    counted = Counter(commit.operation for commit in run.commits)
    assert 500 < counted["renew_session_lock"] < 700
    assert counted["fetch_session_work_item"] < 200, "polls were made beside the renewals"
    assert run.steps > 1_000 and once(waits(2 * DAY_S, "talks"), limits=Limits(max_steps=50)).counts


# --- limits and what is said of a run that they end ---------------------------------------------------------


def test_only_steps_in_which_something_happens_count_towards_the_limit() -> None:
    async def restless(process: Process) -> None:
        while True:
            await asyncio.sleep(1)

    async def body(world: World) -> None:
        world.process("w", restless)
        await world.sleep(1_000)

    assert once(body, limits=Limits(max_steps=5)).counts
    cut = once(body, limits=Limits(max_steps=5, max_steps_in_all=200))
    assert cut.cut_off == "200 steps in all" and cut.steps == 200


def test_a_loop_that_gets_nowhere_ends_at_the_limit_of_steps_in_which_something_happened() -> None:
    async def busy(process: Process) -> None:
        while True:
            await process.provider.append_with_execution("i", 1, [])

    async def body(world: World) -> None:
        world.process("w", busy)
        await world.until(lambda: False)

    run = once(body, limits=Limits(max_steps=300))
    assert run.cut_off == "300 steps in which something happened"
    assert run.cut_off_at is not None
    assert dict(run.cut_off_at.last_steps)["w/append_with_execution"] >= 299


def test_a_scenario_has_limits_that_an_argument_replaces() -> None:
    body = waits(MONTH_S)
    assert once(body, limits=None).counts
    week = Limits(max_virtual_us=7 * DAY_S * 1_000_000)
    assert once(body, **{}, limits=week).cut_off == "604800 virtual seconds"
    strategy = Fifo()
    strategy.begin(0)
    assert run_schedule(made_of(body, limits=week), in_memory, strategy).cut_off == "604800 virtual seconds"


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None, "many"])
@pytest.mark.parametrize("name", ["max_steps", "max_steps_in_all", "max_virtual_us"])
def test_a_limit_that_is_none_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is {wrong!r}"):
        Limits(**{name: wrong})


def test_a_cut_off_says_what_the_steps_were_and_who_waits_for_what() -> None:
    async def sleeper(process: Process) -> None:
        while True:
            await asyncio.sleep(7)

    async def body(world: World) -> None:
        world.worker("a", waiting)
        world.process("sleeper", sleeper)
        await world.client.start_orchestration("i", "waits", str(MONTH_S))
        await world.finished("i")

    run = once(body, limits=Limits(max_steps_in_all=300))
    found = run.cut_off_at
    assert found is not None and run.cut_off == found.reason == "300 steps in all"
    assert found.virtual_us == run.virtual_us and found.instances == ("i",)
    assert dict(found.last_steps)["sleeper/timer"] > 100
    by_name = {one.process: one for one in found.processes}
    (place,) = by_name["sleeper"].places
    assert __file__ in place[0] and "sleeper" in place[0] and place[1] == 1
    assert by_name["sleeper"].due_us is not None and by_name["sleeper"].due_us >= run.virtual_us
    assert any(__file__ in place for place, _ in by_name["scenario"].places)
    assert any("worker.py" in place and count == 2 for place, count in by_name["a"].places), by_name["a"]
    with pytest.raises(FrozenInstanceError):
        found.reason = "none"  # type: ignore[misc]
    assert run.wrong is not None
    first, *details = run.wrong.splitlines()
    assert first == "the run was cut off: 300 steps in all"
    assert details == list(found.lines())
    assert any("process 'sleeper', boot 1, waits in" in line and "next timer at" in line for line in details)


def test_a_world_in_which_only_polls_go_on_is_called_a_deadlock_soon() -> None:
    async def body(world: World) -> None:
        world.worker("a", waiting)
        world.worker("b", waiting)
        await world.until(lambda: False)

    run = once(body)
    assert run.cut_off is not None and run.cut_off.startswith("deadlock: only fetches")
    assert run.steps < 1_000
