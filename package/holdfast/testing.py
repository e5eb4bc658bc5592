"""Orchestrations of your own under simulated faults, from pytest and Hypothesis.

    @simulated(schedules=200, faults=FaultBudget(crash=1))
    async def test_survives(world: World) -> None:
        world.worker("a", make_registry)
        ...

    @given(fault_plans())
    def test_survives_plans(plan: FaultPlan) -> None:
        test_survives.under(plan)

Every run is watched by all rules of the specification. A failure names the first broken rule, and
gives the command that repeats the run.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import pytest
from hypothesis import strategies as st

from holdfast.campaign.providers import NamedProvider, find_provider
from holdfast.campaign.single import Subject, run_once
from holdfast.core.contract.errors import ConfigurationError
from holdfast.pytest_plugin import VARIABLE, tape_given
from holdfast.reports.escaping import printable
from holdfast.sim import FaultBudget, Limits, Run, Scenario, World
from holdfast.sim.errors import NeverYields
from holdfast.sim.strategies import Deviations, PlainFirst, ReplayTape, Strategy, make_strategy
from holdfast.sim.toolkit.instance_failed import InstanceFailed
from holdfast.sim.toolkit.scenario import package_names
from holdfast.sim.toolkit.suspects import Suspect
from holdfast.traces.choice import STREAMS, Stream
from holdfast.traces.text import tape_to_text

__all__ = [
    "Complaint",
    "FaultBudget",
    "FaultPlan",
    "InstanceFailed",
    "KeptBetweenRuns",
    "Limits",
    "SimulatedTest",
    "World",
    "fault_plans",
    "simulated",
]

_COMPLAINTS_SHOWN_MAX: Final = 10

FaultPlan = Mapping[tuple[Stream, int], int]
"""What deviates from the plain run: answer by stream and position, modulo the number of answers there."""


class SimulatedTest(Protocol):
    """What `simulated` makes of a body: a pytest test that can also be run under a plan."""

    __name__: str

    def __call__(self, request: pytest.FixtureRequest) -> None:
        """Explore the schedules, or replay the one that `HOLDFAST_TAPE` names."""
        ...

    def under(self, plan: FaultPlan) -> None:
        """Run the world once, under this plan. Fails as the test does."""
        ...


def simulated(
    *,
    schedules: int = 100,
    seed: int = 0,
    strategy: str = "random",
    provider: str = "memory",
    faults: FaultBudget | None = None,
    options: Mapping[str, Any] | None = None,
    virtual_clock_for: Sequence[str] = (),
    limits: Limits | None = None,
) -> Callable[[Callable[[World], Awaitable[None]]], SimulatedTest]:
    """Make a pytest test of an `async def test(world)`: the plain run first, then schedules of the strategy.

    Args:
        schedules: how many runs, the plain one included; at least 1.
        strategy: as in `holdfast check --strategy`.
        provider: `memory`, `sqlite` or `module:factory`.
        faults: how many faults of each kind may strike in one run; none by default.
        options: overrides of `RuntimeOptions` for the workers.
        virtual_clock_for: packages that read the time themselves, such as `tenacity`: they get virtual time.
        limits: where a run is cut off, which fails the test.

    Raises ConfigurationError for invalid values.
    """
    if schedules < 1:
        raise ConfigurationError(f"schedules is {schedules}, expected at least 1")
    make_strategy(strategy, seed)
    packages = package_names(virtual_clock_for)

    def make(body: Callable[[World], Awaitable[None]]) -> SimulatedTest:
        scenario = Scenario(
            name=body.__name__,
            title=(body.__doc__ or body.__name__).strip().splitlines()[0],
            body=body,
            covers=(),
            faults=faults or FaultBudget(),
            options=dict(options or {}),
            virtual_clock_for=packages,
            limits=limits or Limits(),
        )
        scenario.runtime_options  # noqa: B018 - raises for invalid options

        def test(request: pytest.FixtureRequest) -> None:
            __tracebackhide__ = True
            found = find_provider(provider)
            tape = tape_given()
            if tape is not None:
                _check(scenario, found, ReplayTape(tape, strict=False), 0, request.node.nodeid)
                return
            exploring = PlainFirst(make_strategy(strategy, seed))
            for schedule in range(schedules):
                _check(scenario, found, exploring, schedule, request.node.nodeid)

        def under(plan: FaultPlan) -> None:
            __tracebackhide__ = True
            node = f"{os.path.relpath(inspect.getfile(body))}::{body.__qualname__}"
            _check(scenario, find_provider(provider), Deviations(plan), 0, node)

        made = cast(Any, test)
        made.__name__, made.__qualname__ = body.__name__, body.__qualname__
        made.__module__, made.__doc__ = body.__module__, body.__doc__
        made.under = under
        return cast(SimulatedTest, made)

    return make


def fault_plans(
    *, deviations_max: int = 6, position_max: int = 60, answer_max: int = 7
) -> st.SearchStrategy[FaultPlan]:
    """Plans with few deviations; Hypothesis shrinks them towards the plain run."""
    places = st.tuples(st.sampled_from(STREAMS), st.integers(0, position_max))
    return st.dictionaries(places, st.integers(1, answer_max), max_size=deviations_max)


def _check(scenario: Scenario, provider: NamedProvider, strategy: Strategy, schedule: int, node: str) -> None:
    """Run once and fail for the first thing that is wrong."""
    __tracebackhide__ = True
    strategy.begin(schedule)
    subject = Subject(scenario, provider)
    run = run_once(subject, strategy)
    wrong = run.wrong
    if wrong is None:
        for complaint in _some_of(run.complaints):
            warnings.warn(printable(f"schedule {schedule}: {complaint}"), Complaint, stacklevel=2)
        if schedule == 0:
            for suspect in filter(_is_kept, run.suspects):
                warnings.warn(f"{suspect}: {_KEPT}", KeptBetweenRuns, stacklevel=2)
        return
    rule, _, detail = wrong.partition("\n")  # pytest explains an assertion on further lines
    heard = _some_of([complaint for complaint in run.complaints if complaint not in wrong])
    heard = [f"heard in this run: {complaint}" for complaint in heard]
    differs = list(_unlike(run, subject))
    tape = f"{VARIABLE}={tape_to_text(run.tape)} pytest {node}"
    line = f"schedule {schedule}, {'which does not repeat' if differs else 'replay'}: {tape}"
    told = "\n".join(filter(None, (rule, *differs, line, detail, *heard)))
    pytest.fail(printable(told), pytrace=False)


def _unlike(run: Run, subject: Subject) -> Iterator[str]:
    """How a second run of its tape differs, and what may be the cause; nothing if it is the same."""
    if run.error is not None and run.error.startswith(NeverYields.__name__):
        return  # the machine's time decided it, which is no part of a tape, and it would take as much again
    strategy = ReplayTape(run.tape, strict=False)
    strategy.begin(0)
    again = run_once(subject, strategy)
    first, second = (_first_line(one) for one in (run, again))
    if (run.fingerprint, first) == (again.fingerprint, second):
        return
    seen = "other steps and the same end" if first == second else second
    yield f"not deterministic: something outside the simulation is kept between runs; the second run: {seen}"
    suspects = [*filter(_is_kept, run.suspects), *(one for one in run.suspects if not one.kept)]
    for suspect in suspects[:_SUSPECTS_SHOWN_MAX]:
        yield f"look at {suspect}"


def _first_line(run: Run) -> str:
    return "all is well" if run.wrong is None else run.wrong.partition("\n")[0]


def _is_kept(suspect: Suspect) -> bool:
    return suspect.kept


_SUSPECTS_SHOWN_MAX: Final = 5
_KEPT: Final = "it outlives every simulated crash and run, and all simulated processes share it"


class KeptBetweenRuns(UserWarning):
    """Registered code writes to what its module keeps: a hint that runs may not be independent.

    Make it inside the function that makes the registry, which is called at every start of a process.
    """


def _some_of(complaints: Sequence[str]) -> list[str]:
    """The first few, and how many more there are."""
    left = len(complaints) - _COMPLAINTS_SHOWN_MAX
    return [*complaints[:_COMPLAINTS_SHOWN_MAX], *([f"and {left} more"] if left > 0 else [])]


class Complaint(UserWarning):
    """What asyncio would have logged in a run that passes otherwise: an exception that nobody retrieved, a
    callback that raised, a coroutine that was never awaited. `-W error::holdfast.testing.Complaint` makes it
    a failure."""
