"""Scenarios: a workload and its fault plan, with the rows it covers; and the registry of scenarios.

    @scenario(covers=["5.1"], workers=2, faults=FaultBudget(crash=1), situations=["session.taken_over"])
    async def owner_crashes(world: World) -> None:
        ...

The level says what the body is given. `runtime`, `multi-runtime` and `fault` bodies take a `World` and run
under
many schedules. A `provider` body takes a `Bench`: one store under a stepped clock; it runs once per provider.
A `unit` body takes nothing and runs once. The rows of the last two are asserted when the body returns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, get_args

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.toolkit.limits import Limits

ScenarioLevel = Literal["unit", "provider", "runtime", "multi-runtime", "fault"]
LEVELS: Final[tuple[ScenarioLevel, ...]] = get_args(ScenarioLevel)
WITH_WORLD: Final[tuple[ScenarioLevel, ...]] = ("runtime", "multi-runtime", "fault")

ScenarioBody = Callable[..., Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A registered scenario. `module` tells where its body is."""

    name: str
    title: str
    body: ScenarioBody
    covers: tuple[str, ...]
    workers: int = 1
    faults: FaultBudget = field(default_factory=FaultBudget)
    situations: tuple[str, ...] = ()
    level: ScenarioLevel = "runtime"
    options: Mapping[str, Any] = field(default_factory=dict)
    virtual_clock_for: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def module(self) -> str:
        """The module of the body."""
        return self.body.__module__

    @property
    def explored(self) -> bool:
        """Whether it runs under many schedules, in a world."""
        return self.level in WITH_WORLD

    @cached_property
    def runtime_options(self) -> RuntimeOptions:
        """The options of its workers: the defaults with the overrides."""
        return RuntimeOptions(**self.options)


_SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *,
    covers: Sequence[str],
    workers: int = 1,
    faults: FaultBudget | None = None,
    situations: Sequence[str] = (),
    level: ScenarioLevel = "runtime",
    options: Mapping[str, Any] | None = None,
    virtual_clock_for: Sequence[str] = (),
    limits: Limits | None = None,
    register: bool = True,
) -> Callable[[ScenarioBody], Scenario]:
    """Make a scenario of an `async def`; its name is the function's, its title the docstring's first line.

    Args:
        covers: rows of the matrix and clauses that the body's oracles are about; at least one.
        workers: how many worker processes take part; for readers and reports.
        faults: which faults the tape may let strike; none by default.
        situations: what must have occurred for a run to count as evidence.
        level: what the body is given.
        options: overrides of `RuntimeOptions` for the workers.
        virtual_clock_for: packages that read the time by themselves, such as `tenacity`: their calls of
            `time.monotonic`, `perf_counter` and `time.time` read virtual time instead of being refused.
        limits: where its runs are cut off.
        register: whether to put it in the registry as well as return it.

    Raises ConfigurationError for a name that is taken, empty `covers`, an unknown level, or invalid options.
    """
    if not covers:
        raise ConfigurationError("a scenario must cover at least one row or clause; covers is empty")
    if level not in LEVELS:
        raise ConfigurationError(f"level is {level!r}, expected one of {', '.join(LEVELS)}")
    packages = package_names(virtual_clock_for)

    def make(body: ScenarioBody) -> Scenario:
        name = body.__name__
        title = (body.__doc__ or name.replace("_", " ")).strip().splitlines()[0]
        made = Scenario(
            name=name,
            title=title,
            body=body,
            covers=tuple(covers),
            workers=workers,
            faults=FaultBudget() if faults is None else faults,
            situations=tuple(situations),
            level=level,
            options=dict(options or {}),
            virtual_clock_for=packages,
            limits=limits or Limits(),
        )
        made.runtime_options  # noqa: B018 - raises if the options are invalid
        if register:
            _register(made)
        return made

    return make


def package_names(given: Sequence[str]) -> tuple[str, ...]:
    """Checked names of packages. Raises ConfigurationError for a lone string, and for what is no name."""
    if isinstance(given, str) or not all(
        isinstance(name, str) and all(part.isidentifier() for part in name.split(".")) for name in given
    ):
        raise ConfigurationError(
            f'virtual_clock_for is {given!r}, expected the names of packages, such as ("tenacity",)'
        )
    return tuple(given)


def _register(made: Scenario) -> None:
    before = _SCENARIOS.get(made.name)
    if before is not None and before.module != made.module:
        raise ConfigurationError(
            f"two scenarios are called {made.name!r}, in {before.module} and in {made.module}; rename one"
        )
    _SCENARIOS[made.name] = made


def scenarios() -> dict[str, Scenario]:
    """All registered scenarios by name, in order of registration."""
    return dict(_SCENARIOS)
