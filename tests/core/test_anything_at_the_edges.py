"""Arbitrary Python at every edge, real and simulated: no worker ever ends, no instance hangs.

Every argument of every call of a client, of an orchestration's and of an activity's context; everything that
an orchestration or an activity, coroutine or plain, returns or raises. `make test-full` throws more of it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.core.anything import Recipe, made, recipes

from holdfast.core.client import Client, Completed, Failed
from holdfast.core.contract.errors import ActivityError, HoldfastError
from holdfast.core.contract.management import InstanceFilter, PruneOptions
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.futures import Durable
from holdfast.core.hosting.options import ObservabilityOptions, RuntimeOptions, UnregisteredBackoff
from holdfast.core.program.registry import Registry
from holdfast.core.program.retry import ExponentialBackoff, FixedBackoff, LinearBackoff, RetryPolicy
from holdfast.core.runtime import Runtime
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.explorer import run_schedule
from holdfast.sim.strategies import Fifo
from holdfast.sim.toolkit.scenario import Scenario
from holdfast.sim.toolkit.world import World
from holdfast.system import SystemClock, SystemIds, provider_clock

EXAMPLES = 2_500 if os.environ.get("HOLDFAST_FULL") else 40
"""How many each of the four tests with a worker tries: with HOLDFAST_FULL=1, 10,000 together."""

SOON = timedelta(seconds=60)
BRIEF = timedelta(milliseconds=1)

FACTORIES: dict[str, Any] = {"memory": memory_store, "sqlite": sqlite_store}
OPTIONS: dict[str, Any] = {
    "dispatcher_min_poll_interval": BRIEF,
    "max_attempts": 3,
    "unregistered_backoff": UnregisteredBackoff(base_delay=BRIEF, max_delay=BRIEF),
}


class Place(NamedTuple):
    """An argument of a call."""

    call: str
    argument: str


def places(owner: type) -> list[Place]:
    """Every argument of every public call of a class."""
    return [
        Place(name, argument)
        for name, method in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_")
        for argument in list(inspect.signature(method).parameters)[1:]
    ]


GOOD: dict[str, Any] = {
    "str": "x",
    "str | None": None,
    "int": 1,
    "int | None": None,
    "bool": False,
    "object": "x",
    "timedelta": timedelta(0),
    "type[_T]": str,
    "InstanceFilter": InstanceFilter(),
    "PruneOptions": PruneOptions(),
    "RetryPolicy | None": RetryPolicy(max_attempts=1, timeout=BRIEF),
}
"""What the other arguments are, by their annotation."""


def call(target: Any, place: Place, thing: Any) -> Any:
    """Make the call with the thing at its place, and good arguments elsewhere."""
    given, more = {}, ()
    for each in list(inspect.signature(getattr(type(target), place.call)).parameters.values())[1:]:
        if each.kind is each.VAR_POSITIONAL:
            more = (thing,)
        elif each.name == place.argument:
            given[each.name] = thing
        else:
            given[each.name] = GOOD[each.annotation]
    return getattr(target, place.call)(*more, **given)


class Plan(NamedTuple):
    """What is thrown where in one example."""

    ends: Recipe
    """What both an activity and an orchestration return or raise."""
    is_plain: bool
    in_code: Place
    by_client: Place
    argument: Recipe
    """What is handed to both calls."""
    swallowed: type[BaseException]


plans = st.builds(
    Plan,
    recipes,
    st.booleans(),
    st.sampled_from(places(OrchestrationContext)),
    st.sampled_from(places(Client)),
    recipes,
    st.sampled_from([ZeroDivisionError, Exception, BaseException]),
)


def end(thing: Any) -> Any:
    """Raise what can be raised, and return everything else."""
    kind = type(thing)
    if issubclass(kind, BaseException) or (issubclass(kind, type) and issubclass(thing, BaseException)):
        raise thing
    return thing


def registry_of(plan: Plan) -> Registry:
    registry = Registry()

    if plan.is_plain:

        @registry.activity("odd")
        def plain(ctx: Any, input: str) -> Any:
            ctx.trace_info(made(plan.argument))
            return end(made(plan.ends))

    else:

        @registry.activity("odd")
        async def odd(ctx: Any, input: str) -> Any:
            ctx.trace_info(made(plan.argument))
            return end(made(plan.ends))

    @registry.activity()
    async def x(ctx: Any, input: str) -> str:
        return input

    @registry.orchestration()
    async def calls_odd(ctx: Any, input: str) -> str:
        try:
            return f"returned {await ctx.schedule_activity('odd')!r:.100}"
        except ActivityError as error:
            return f"caught {error}"

    @registry.orchestration()
    async def ends(ctx: Any, input: str) -> Any:
        await ctx.schedule_activity("x")
        return end(made(plan.ends))

    @registry.orchestration()
    async def misuses(ctx: OrchestrationContext, input: str) -> str:
        if ctx.execution_id > 1:
            return "the next execution"
        for _ in range(2):
            try:
                got = call(ctx, plan.in_code, made(plan.argument))
                if isinstance(got, Durable):
                    await ctx.select(got, ctx.schedule_timer(timedelta(0)))
                elif inspect.iscoroutine(got):
                    await got
            except plan.swallowed:
                pass
        return await ctx.schedule_activity("x", "after")

    return registry


ORCHESTRATIONS = ("calls_odd", "ends", "misuses")


async def throw(plan: Plan, client: Client, finished: Callable[[str], Awaitable[Any]]) -> None:
    """Start everything, misuse the client, and wait until all has ended."""
    for name in ORCHESTRATIONS:
        await client.start_orchestration(name, name)
    with suppress(HoldfastError):  # refused, or there is no such instance, or it did not come in no time
        await call(client, plan.by_client, made(plan.argument))
    for name in ORCHESTRATIONS:
        status = await finished(name)
        assert isinstance(status, Completed | Failed), (name, status)
    status = await finished("calls_odd")
    assert isinstance(status, Completed), status
    assert status.output.startswith(("returned ", "caught ")), status


KNOWN = [
    Plan(
        ends, is_plain, Place("schedule_activity", "name"), Place("raise_event", "data"), argument, Exception
    )
    for is_plain in (True, False)
    for ends, argument in (
        (Recipe("class", ("ValueError", (("__str__", ("raises", "SystemExit")),))), Recipe("value", None)),
        (Recipe("class", ("KeyboardInterrupt", ())), Recipe("special", "a mock of a str")),
        (Recipe("class", ("StopIteration", ())), Recipe("value", "\ud800")),
        (Recipe("class", ("CancelledError", ())), Recipe("special", "deep")),
        (Recipe("special", "a coroutine"), Recipe("special", "an opaque class")),
    )
]


def known(test: Callable[..., None]) -> Callable[..., None]:
    """Try what was wrong before first."""
    for plan in KNOWN:
        test = example(plan)(test)
    return test


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("store", FACTORIES)
def test_rt_6_9_nothing_thrown_at_a_real_worker_ends_it_or_makes_an_instance_hang(store: str) -> None:
    """RT-6.9, RT-4.70, RT-4.71, RT-1.22: on asyncio's loop."""

    async def run(plan: Plan) -> None:
        made_store = FACTORIES[store](provider_clock, SystemIds())
        options = RuntimeOptions(**OPTIONS)
        runtime = Runtime(made_store.open(), registry_of(plan), options, clock=SystemClock(), ids=SystemIds())
        working = asyncio.create_task(runtime.run())
        client = Client(made_store.open(), clock=SystemClock())
        try:
            await throw(plan, client, lambda name: client.wait_for_orchestration(name, SOON))
            assert not working.done(), working
        finally:
            await runtime.shutdown(timedelta(0))
            await working
            made_store.close()

    @known
    @given(plans)
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def throws(plan: Plan) -> None:
        asyncio.run(run(plan))

    throws()


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("store", FACTORIES)
def test_rt_6_9_nothing_thrown_at_a_simulated_worker_ends_it_or_makes_an_instance_hang(store: str) -> None:
    """RT-6.9, RT-4.70, RT-4.71, RT-1.22: on the simulated loop."""

    @known
    @given(plans)
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def throws(plan: Plan) -> None:
        async def body(world: World) -> None:
            world.worker("w", lambda: registry_of(plan))
            await throw(plan, world.client, lambda name: world.finished(name, check=False))

        scenario = Scenario(name="edges", title="edges", body=body, covers=(), options=OPTIONS)
        run = run_schedule(scenario, FACTORIES[store], Fifo())
        assert run.wrong is None, run.wrong

    throws()


@given(recipes, st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_option_is_taken_or_refused_by_a_configuration_error(recipe: Recipe, data: st.DataObject) -> None:
    """RT-14.6, RT-21.3: of a runtime, a policy and a registry."""
    registry = Registry()
    made_of: list[tuple[Any, dict[str, Any]]] = [
        (RuntimeOptions, {}),
        (ObservabilityOptions, {}),
        (UnregisteredBackoff, {}),
        (RetryPolicy, {}),
        (FixedBackoff, {}),
        (LinearBackoff, {"base": BRIEF, "max": BRIEF}),
        (ExponentialBackoff, {}),
        (InstanceFilter, {}),
        (PruneOptions, {}),
        (registry.add_activity, {"name": "a", "handler": end}),
        (registry.add_orchestration, {"name": "o", "handler": end, "version": "1.0.0"}),
        (registry.set_version_policy, {"name": "o", "policy": None}),
        (registry.merge, {}),
    ]
    make, others = data.draw(st.sampled_from(made_of))
    argument = data.draw(st.sampled_from(sorted(inspect.signature(make).parameters)))
    try:
        make(**{**others, argument: made(recipe)})
        registry.check()
    except HoldfastError as error:
        assert str(error)
