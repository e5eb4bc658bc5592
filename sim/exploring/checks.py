"""Checks: scenarios without a world, run once, on one store or on pure code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.store import HookMissing
from holdfast.sim.exploring.explorer import MakeWatchers, Run, StoreView, failures_of, no_watchers
from holdfast.sim.loop.event_loop import Loop
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.toolkit.bench import Bench, StoreFactory
from holdfast.sim.toolkit.scenario import Scenario
from holdfast.traces.choice import Tape
from holdfast.traces.failure import Failure


def run_check(
    scenario: Scenario, factory: StoreFactory | None = None, *, watchers: MakeWatchers = no_watchers
) -> Run:
    """Run a `unit` check, or a `provider` check on a fresh store made by a factory, with watchers on its
    calls.

    All its rows are asserted if the body returns, and violated if it raises an AssertionError. Raises
    ConfigurationError for a scenario with a world, and for a provider check without a factory.
    """
    if scenario.explored:
        raise ConfigurationError(f"scenario {scenario.name} has schedules: use run_schedule")
    if scenario.level == "unit":
        return _judged(scenario, scenario.body)
    if factory is None:
        raise ConfigurationError(f"check {scenario.name} needs a provider")
    bench = Bench(factory)
    try:
        made = tuple(watchers(StoreView(bench.store, bench.clock.now_ms, scenario.runtime_options, {})))
        bench.record.watch(made)
        run = _judged(scenario, lambda: scenario.body(bench))
        bench.record.end()
    finally:
        bench.close()
    run.commits, run.watchers = bench.record.commits, made
    for watcher in made:
        run.failures += failures_of(watcher)
    if run.error is None:
        run.error = next(iter(bench.record.errors), None)
    return run


def run_alone(body: Callable[[], Awaitable[object]], heard: list[str] | None = None) -> object:
    """Run a coroutine function on a simulated loop of its own; timers fire one by one, when they are due.

    Complaints are added to `heard`.
    Returns its result and raises what it raises, or TimeoutError if it waits for something that never comes.
    """
    time = VirtualTime()
    loop = Loop("alone", time)
    loop.complaints = [] if heard is None else heard
    tasks: list[asyncio.Task[object]] = []

    async def main() -> object:
        return await body()

    loop.run_until_waiting([(lambda: tasks.append(loop.create_task(main())), ())])
    while not tasks[0].done() and (due_us := loop.next_due_us()) is not None:
        time.advance(max(time.now_us, due_us))
        loop.run_until_waiting([(loop.pop_due().fire, ())])
    if not tasks[0].done():
        raise TimeoutError("it still waits, but no timer is left that could end the wait")
    return tasks[0].result()


def _judged(scenario: Scenario, body: Callable[[], Awaitable[object]]) -> Run:
    run = Run(
        scenario=scenario.name,
        tape=Tape(),
        draw_counts={"schedule": 0, "fault": 0, "data": 0},
        draws=(),
        fingerprint="",
        digest=None,
        commits=(),
        locals=(),
        faults=(),
        watchers=(),
    )
    heard: list[str] = []
    try:
        run_alone(body, heard)
    except AssertionError as error:
        message = str(error) or "an assertion without a message failed"
        run.failures = [Failure(row, message, 0, 0) for row in scenario.covers]
    except HookMissing as error:
        run.cut_off = str(error)
    except Exception as error:
        run.error = f"the check raised {error!r}"
    else:
        run.asserted = scenario.covers
    run.complaints = tuple(dict.fromkeys(heard))
    return run
