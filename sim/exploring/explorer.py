"""Explorer: runs one scenario under one strategy and reports the result."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.contract.clock import ProviderClock
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.store import HookMissing, Store
from holdfast.core.contract.user_texts import class_name, error_text, shown
from holdfast.core.hosting.log import FAILED_ASSERTION
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.sim.errors import SimulationError
from holdfast.sim.exploring.cut_off import STEPS_KEPT, CutOff, cut_off
from holdfast.sim.exploring.stored import digest_of, readable_histories
from holdfast.sim.loop import guards
from holdfast.sim.loop.asyncgens import asyncgen_hooks
from holdfast.sim.loop.complaints import overhearing
from holdfast.sim.loop.driving import store_loop_running
from holdfast.sim.loop.ids import VirtualIds
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.chronicle import Chronicle
from holdfast.sim.stage.draws import Draws
from holdfast.sim.stage.engine import Engine
from holdfast.sim.stage.faults import FaultBudget, Faults
from holdfast.sim.stage.misfortune import Misfortunes
from holdfast.sim.stage.stage import Stage
from holdfast.sim.stage.steps import Step
from holdfast.sim.stage.strategy import Strategy
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.limits import Limits
from holdfast.sim.toolkit.scenario import Scenario
from holdfast.sim.toolkit.suspects import Suspect
from holdfast.sim.toolkit.world import OracleFailed, World
from holdfast.traces.choice import Draw, Stream, Tape
from holdfast.traces.failure import Failure
from holdfast.traces.record import Commit, Fault, Local, Watcher


@dataclass(frozen=True, slots=True)
class StoreView:
    """What monitors get to see of a run besides its events.

    The live store, for its inspection hooks; its clock; the options workers run with unless they override
    them; and `workers`, the options by process name, which grows as the scenario starts workers.
    """

    store: Store
    clock: ProviderClock
    options: RuntimeOptions
    workers: Mapping[str, RuntimeOptions]


MakeWatchers = Callable[[StoreView], Sequence[Watcher]]


def failures_of(watcher: Watcher) -> Sequence[Failure]:
    """What a watcher found broken, in order, if it is one that says so."""
    found: Sequence[Failure] = getattr(watcher, "failures", ())
    return found


@dataclass(slots=True, kw_only=True)
class Run:
    """One run and its result.

    `digest` is None unless the run was recorded in full; `fingerprint` tells distinct sequences of commits
    apart and is always there. `cut_off` is why it ended early, and `cut_off_at` where, if a limit did that.
    `error` is set if something went wrong that no oracle is about: a run with an error is evidence for
    nothing. `raised` is the exception that the body ended with, unless that was an assertion's. `complaints`
    are what asyncio would have logged in its processes, `suspects` names in registered code that may leave
    the simulation: hints, not verdicts.
    """

    scenario: str
    tape: Tape
    draw_counts: Mapping[Stream, int]
    draws: Sequence[Draw]
    fingerprint: str
    digest: str | None
    commits: Sequence[Commit]
    locals: Sequence[Local]
    faults: Sequence[Fault]
    watchers: Sequence[Watcher]
    failures: list[Failure] = field(default_factory=list)
    asserted: tuple[str, ...] = ()
    cut_off: str | None = None
    cut_off_at: CutOff | None = None
    steps: int = 0
    virtual_us: int = 0
    error: str | None = None
    raised: str | None = None
    complaints: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    stored: Mapping[str, Sequence[StoredEvent]] = field(default_factory=dict)
    """Histories by instance, all executions in order, read if the run went wrong outside the oracles."""

    @property
    def why_cut_off(self) -> str | None:
        """Why it was cut off, after the first complaint if there is one: that may be the cause."""
        if self.cut_off is None or not self.complaints:
            return self.cut_off
        return f"{self.complaints[0]}; then {self.cut_off}"

    @property
    def counts(self) -> bool:
        """Whether it is evidence: it ran to its end and nothing outside the oracles went wrong."""
        return self.error is None and self.cut_off is None

    @property
    def went_wrong(self) -> bool:
        """Whether it ended in a way that no oracle is about, by the fault of the scenario or of its store."""
        return not self.counts or any(failure.rule == "scenario" for failure in self.failures)

    @property
    def wrong(self) -> str | None:
        """What to tell first, None if all is well.

        What the simulator refused comes first, since the rest may follow from it; then the broken rules; then
        what the body says, since it may only not have expected what they tell.
        """
        assert self.raised is None or self.error is not None, f"no error, although {self.raised}"
        if self.error is not None and self.error != self.raised:
            return f"the run failed: {self.error}"
        if self.failures:
            return f"{self.failures[0].rule}: {self.failures[0].message}"
        if self.error is not None:
            return f"the run failed: {self.error}"
        if self.cut_off is None:
            return None
        details = () if self.cut_off_at is None else self.cut_off_at.lines()
        return "\n".join((f"the run was cut off: {self.why_cut_off}", *details))


def no_watchers(view: StoreView) -> Sequence[Watcher]:
    """No watchers."""
    return ()


def run_schedule(
    scenario: Scenario,
    factory: StoreFactory,
    strategy: Strategy,
    *,
    watchers: MakeWatchers = no_watchers,
    budget: FaultBudget | None = None,
    full: bool = False,
    limits: Limits | None = None,
) -> Run:
    """Run a scenario once, under the draws of a strategy that has been told to `begin`.

    Args:
        factory: makes the store.
        watchers: makes the monitors of this run; called with the live store.
        budget: which faults may strike, instead of the scenario's own budget.
        full: label every draw and compute the digest; a lean run does neither.
        limits: where it is cut off, instead of the scenario's own limits.

    Raises ConfigurationError for a scenario without a world, within a running event loop, and under
    `python -O`: the simulator relies on its assertions.
    """
    if sys.flags.optimize:
        raise ConfigurationError("the simulator does not run under python -O: it needs its assertions")
    if asyncio._get_running_loop() is not None:
        raise ConfigurationError("run_schedule cannot run inside an event loop: call it from plain code")
    if not scenario.explored:
        raise ConfigurationError(f"scenario {scenario.name} is a {scenario.level} check, it has no schedules")
    options = scenario.runtime_options
    time = VirtualTime()
    store = factory(time.provider_ms, VirtualIds(0))
    try:
        workers: dict[str, RuntimeOptions] = {}
        view = StoreView(store, time.provider_ms, options, workers)
        made = tuple(watchers(view))
        draws = Draws(strategy, labelled=full)
        chronicle = Chronicle(time, made)
        faults = Faults(scenario.faults if budget is None else budget, options)
        stage = Stage(store, time, draws, chronicle, lambda: faults.delays_ms)
        engine = Engine(stage, Misfortunes(stage, faults))
        refused: list[str] = []
        with (
            _undisturbed(),
            asyncgen_hooks(),
            overhearing(guards.running),
            guards.installed(),
            guards.collecting(refused, scenario.virtual_clock_for),
            store_loop_running(stage.store_loop),
        ):
            world = World(stage, store, options, workers, scenario.body)
            limits = limits or scenario.limits
            stage.passes.limit(limits.max_pass_cpu_us)
            run = _Running(engine, world, limits, refused)
            try:
                run.to_the_end()
                digest = digest_of(chronicle, store) if full and not stage.passes.overran else None
            finally:
                stage.passes.end(stage.bury)
        strategy.learn(draws.tape, draws.counts())
        if stage.passes.overran:
            digest = None
        assert digest is None or full, f"digest {digest!r} of a run that is not full"
        ended = run.result(scenario.name, digest, made, refused)
        if ended.went_wrong:
            with store_loop_running(stage.store_loop):
                ended.stored = readable_histories(chronicle, store)
        return ended
    finally:
        store.close()


def explore(
    scenario: Scenario,
    factory: StoreFactory,
    strategy: Strategy,
    *,
    schedules: int,
    first: int = 0,
    watchers: MakeWatchers = no_watchers,
    budget: FaultBudget | None = None,
    limits: Limits | None = None,
) -> Iterator[Run]:
    """Lean runs of schedules `first`, `first` + 1, ... of a strategy, one after the other.

    To stop, stop iterating. Runs may repeat a sequence of commits: count distinct `fingerprint`s. To split
    schedules among workers, hand out whole blocks of `strategies.BLOCK`: strategies learn within a block.
    """
    with guards.installed():
        for schedule in range(first, first + schedules):
            strategy.begin(schedule)
            yield run_schedule(scenario, factory, strategy, watchers=watchers, budget=budget, limits=limits)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Turn off automatic garbage collection during a run: it would cost a tenth of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


_STEPS_AFTER_REFUSAL_MAX: Final = 1000
"""How long a run goes on once something was refused: it is an error already, and may never end by itself."""


class _Running:
    """The loop: enabled, choose, apply, record; and when it ends."""

    def __init__(self, engine: Engine, world: World, limits: Limits, refused: Sequence[str]) -> None:
        self._engine = engine
        self._world = world
        self._limits = limits
        self._steps = 0
        self._refused = refused
        self._steps_after_refusal = 0
        self._eventful_steps = 0
        self._last_steps = deque[Step](maxlen=STEPS_KEPT)
        self._cut_off: CutOff | None = None
        self._error: str | None = None
        self._raised: BaseException | None = None

    def to_the_end(self) -> None:
        """Run until the body has returned and every timed obligation is met or its bound has passed."""
        assert not self._steps, f"a run that has had {self._steps} steps begins again"
        try:
            self._loop()
        except SimulationError as error:
            self._error = f"{type(error).__name__}: {error}"
        self._raised = self._world.raised
        reason = None if self._cut_off is None else self._cut_off.reason
        self._engine.stage.chronicle.end(self._steps, reason)

    def _loop(self) -> None:
        engine, world, limits = self._engine, self._world, self._limits
        chronicle = engine.stage.chronicle
        while True:
            if world.over:
                engine.misfortunes.faults.stop()
                open_until_us = chronicle.open_until_us()
                if open_until_us <= engine.stage.time.now_us and (engine.stage.quiet or not open_until_us):
                    return
            if chronicle.violated:
                return
            if self._refused:
                self._steps_after_refusal += 1
                if self._steps_after_refusal > _STEPS_AFTER_REFUSAL_MAX:
                    self._end_early(f"{_STEPS_AFTER_REFUSAL_MAX} steps after a refusal")
                    return
            if not engine.stage.quiet:
                if self._eventful_steps >= limits.max_steps:
                    self._end_early(f"{limits.max_steps} steps in which something happened")
                    return
                if self._steps >= limits.max_steps_in_all:
                    self._end_early(f"{limits.max_steps_in_all} steps in all")
                    return
                self._steps += 1
                events = chronicle.event_count
                self._last_steps.append(engine.step())
                self._eventful_steps += chronicle.event_count > events
            elif not self._pass_time():
                return
            world.serve()

    def _pass_time(self) -> bool:
        """Let time go on, as no step is enabled; False if the run ends here."""
        engine, world = self._engine, self._world
        if world.serve_quiet():
            return True
        if not engine.misfortunes.faults.over:
            engine.misfortunes.strike_while_idle()
            if not engine.stage.quiet:
                return True
        stage, until_us = engine.stage, None
        now_us, event_us = stage.time.now_us, stage.chronicle.event_us
        if world.over:
            until_us = stage.chronicle.open_until_us()
            assert until_us > now_us, (
                f"the run goes on at {now_us} us, but nothing is open after {until_us} us"
            )
        if stage.long_waits.to_consider(now_us, event_us):
            change_us = _earlier(stage.long_waits.next_change_us(stage.processes, stage.time), until_us)
            if change_us is None and stage.long_waits.only_polls(now_us, event_us, stage.processes):
                self._end_early(
                    "deadlock: only fetches that find nothing go on, but the scenario still waits"
                )
                return False
            stage.long_waits.put_off(now_us, event_us, stage.next_time_us(), change_us)
        next_us = _earlier(stage.next_time_us(), until_us)
        if next_us is None:
            self._end_early("deadlock: nothing is enabled and nothing is due, but the scenario still waits")
            return False
        if next_us > self._limits.max_virtual_us:
            self._end_early(f"{self._limits.max_virtual_us // 1_000_000} virtual seconds")
            return False
        stage.advance(next_us)
        return True

    def _end_early(self, reason: str) -> None:
        stage = self._engine.stage
        self._cut_off = cut_off(reason, stage.chronicle, stage.processes, self._last_steps)

    def result(
        self, scenario: str, digest: str | None, watchers: Sequence[Watcher], refused: Sequence[str]
    ) -> Run:
        """The result of the run."""
        limits, now_us = self._limits, self._engine.stage.time.now_us
        assert self._eventful_steps <= limits.max_steps, (
            f"{self._eventful_steps} steps with events, at most {limits.max_steps} were allowed"
        )
        assert now_us <= limits.max_virtual_us, f"{now_us} us, at most {limits.max_virtual_us} were allowed"
        engine, world, chronicle = self._engine, self._world, self._engine.stage.chronicle
        run = Run(
            scenario=scenario,
            tape=engine.stage.draws.tape,
            draw_counts=engine.stage.draws.counts(),
            draws=engine.stage.draws.draws,
            fingerprint=chronicle.fingerprint(),
            digest=digest,
            commits=chronicle.commits,
            locals=chronicle.locals,
            faults=chronicle.faults,
            watchers=watchers,
            failures=list(world.failures),
            asserted=tuple(world.asserted),
            cut_off=None if self._cut_off is None else self._cut_off.reason,
            cut_off_at=self._cut_off,
            steps=self._steps,
            virtual_us=engine.stage.time.now_us,
            error=self._error,
            # Each once: what fails in a loop that tries again would say the same thousands of times.
            complaints=tuple(dict.fromkeys((*refused, *engine.stage.complaints))),
            suspects=tuple(world.suspects),
        )
        for watcher in watchers:
            run.failures += failures_of(watcher)
        run.failures += [
            Failure("process", message, len(run.commits), run.virtual_us) for message in engine.stage.broken
        ]
        # After a failed assertion of ours a worker goes on with other work, but the run has failed.
        run.failures += [
            Failure("process", message, len(run.commits), run.virtual_us)
            for message in run.complaints
            if FAILED_ASSERTION in message
        ]
        if run.error is None:
            run.error = next(iter((*refused, *chronicle.watcher_errors, *engine.stage.passes.overran)), None)
        self._judge_body(run)
        return run

    def _judge_body(self, run: Run) -> None:
        """Record how the body ended, unless it simply returned."""
        raised = self._raised
        if raised is None or isinstance(raised, OracleFailed):
            return
        if isinstance(raised, HookMissing):
            run.cut_off = str(raised)
        elif isinstance(raised, AssertionError):
            message = error_text(raised).removeprefix(f"{class_name(type(raised))}: ")
            if message == "AssertionError":
                message = "an assertion outside every oracle failed"
            run.failures.append(Failure("scenario", message, len(run.commits), run.virtual_us))
        else:
            run.raised = f"the scenario raised {shown(raised)}"
            run.error = run.error or run.raised


def _earlier(one: int | None, other: int | None) -> int | None:
    """The earlier of two times, of which either may never come."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
