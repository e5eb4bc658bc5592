"""Every argument of every call is checked where it is handed over, by name, alike before every provider."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any, NoReturn

import pytest
from tests.core.bench import Bench

from holdfast.core.client import Client
from holdfast.core.client.checked_calls import CHECKS
from holdfast.core.client.management_client import ManagementClient
from holdfast.core.contract.errors import CodecError, ConfigurationError, HoldfastError, InvalidInput
from holdfast.core.contract.management import InstanceFilter, PruneOptions
from holdfast.core.contract.provider import TagFilter
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.program.registry import Exact, Registry
from holdfast.core.program.retry import ExponentialBackoff, FixedBackoff, LinearBackoff, RetryPolicy
from holdfast.core.runtime import Runtime
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock

SECOND = timedelta(seconds=1)


class Unshown:
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no")


class Hostile(str):
    """A text that compares and hides as it likes."""

    def __eq__(self, other: object) -> NoReturn:
        raise RuntimeError("no")

    __hash__ = str.__hash__

    def isascii(self) -> bool:
        return True


class Name(StrEnum):
    CHARGE = "charge"


NO_TEXTS: list[Any] = [5, 1.5, True, b"x", object(), Unshown(), [], {}, "\ud800", Hostile("\udfff"), ("x",)]

CALLS: dict[str, tuple[str, Callable[[OrchestrationContext, Any], Any]]] = {
    "activity name": ("name", lambda ctx, x: ctx.schedule_activity(x)),
    "activity tag": ("tag", lambda ctx, x: ctx.schedule_activity("a", tag=x)),
    "activity with_tag": ("tag", lambda ctx, x: ctx.schedule_activity("a").with_tag(x)),
    "session of an activity": ("session_id", lambda ctx, x: ctx.schedule_activity_on_session("a", "", x)),
    "wait": ("name", lambda ctx, x: ctx.schedule_wait(x)),
    "dequeue": ("name", lambda ctx, x: ctx.dequeue_event(x)),
    "child name": ("name", lambda ctx, x: ctx.schedule_sub_orchestration(x)),
    "child version": ("version", lambda ctx, x: ctx.schedule_sub_orchestration("c", version=x)),
    "child id": ("instance_id", lambda ctx, x: ctx.schedule_sub_orchestration("c", instance_id=x)),
    "start name": ("name", lambda ctx, x: ctx.start_orchestration(x, "j")),
    "start id": ("instance_id", lambda ctx, x: ctx.start_orchestration("c", x)),
    "next version": ("version", lambda ctx, x: ctx.continue_as_new_versioned(x)),
    "session id": ("session_id", lambda ctx, x: ctx.open_session_with_id(x)),
    "closed session id": ("session_id", lambda ctx, x: ctx.close_session(x)),
    "other instance": ("instance_id", lambda ctx, x: ctx.get_kv_value_from_instance(x, "k")),
    "other key": ("key", lambda ctx, x: ctx.get_kv_value_from_instance("i", x)),
    "status": ("status", lambda ctx, x: ctx.set_custom_status(x)),
    "set key": ("key", lambda ctx, x: ctx.set_kv_value(x, "v")),
    "set value": ("value", lambda ctx, x: ctx.set_kv_value("k", x)),
    "get key": ("key", lambda ctx, x: ctx.get_kv_value(x)),
    "clear key": ("key", lambda ctx, x: ctx.clear_kv_value(x)),
    "level": ("level", lambda ctx, x: ctx.trace(x, "message")),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_context_refuses_what_is_no_text_and_the_replay_refuses_it_again(call: str) -> None:
    """RT-1.5, RT-4.1: a refused call leaves nothing behind, at the first run and at the next."""
    argument, make = CALLS[call]

    async def code(ctx: OrchestrationContext, input: str) -> list[str]:
        refused = []
        for value in NO_TEXTS:
            before = len(ctx._state.operations)
            try:
                make(ctx, value)
            except (TypeError, ValueError) as error:
                refused.append(str(error))
            assert call == "activity with_tag" or len(ctx._state.operations) == before
        await ctx.schedule_activity("after")
        return refused

    bench = Bench(code)
    bench.start()
    scheduled = len(NO_TEXTS) if call == "activity with_tag" else 0
    bench.turn(bench.done(2 + scheduled, "x"))
    assert bench.output is not None and not bench.output.startswith("nondeterministic"), bench.output
    refused = eval(bench.output)
    assert len(refused) == len(NO_TEXTS)
    assert all(argument in text for text in refused), refused


DURATIONS: list[Any] = [None, 1, 1.5, float("nan"), "1", True, timedelta(microseconds=-1), timedelta.min]


def test_a_timer_takes_a_duration_of_zero_or_more() -> None:
    """RT-7.1."""

    async def code(ctx: OrchestrationContext, input: str) -> int:
        refused = 0
        for value in DURATIONS:
            try:
                ctx.schedule_timer(value)
            except (TypeError, ValueError) as error:
                refused += str(error).startswith("delay must be ")
        await ctx.schedule_timer(timedelta.max)
        return refused

    bench = Bench(code)
    bench.start()
    bench.turn(bench.fired(2))
    assert bench.output == str(len(DURATIONS))


@pytest.mark.parametrize("wanted", [5, "int", object(), [int], {1}, Unshown()])
def test_a_type_that_nothing_decodes_to_is_refused_at_the_call(wanted: Any) -> None:
    """RT-1.23: not when the answer comes."""

    async def code(ctx: OrchestrationContext, input: str) -> int:
        refused = 0
        for call in (
            lambda: ctx.schedule_activity_typed("a", 1, wanted),
            lambda: ctx.schedule_wait_typed("a", wanted),
            lambda: ctx.dequeue_event_typed("a", wanted),
            lambda: ctx.schedule_sub_orchestration_typed("a", 1, wanted),
            lambda: ctx.get_kv_value_typed("a", wanted),
        ):
            try:
                call()
            except CodecError:
                refused += 1
        return refused

    bench = Bench(code)
    bench.start()
    assert bench.output == "5"
    assert bench.trace == "1:Started 2:Completed"


def test_a_member_of_a_str_enum_and_a_hostile_str_are_the_texts_they_hold() -> None:
    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_activity(Name.CHARGE, Hostile("x"), tag=Hostile("gpu"))

    bench = Bench(code)
    bench.start()
    bench.turn(bench.done(2, "done"))
    assert bench.output == "done"
    scheduled = bench.history[1]
    assert (scheduled.name, scheduled.input, scheduled.tag) == ("charge", "x", "gpu")  # type: ignore[union-attr]


# --- clients ------------------------------------------------------------------------------------------------

BAD: dict[str, list[Any]] = {
    "str": [*NO_TEXTS, None],
    "str | None": NO_TEXTS,
    "int": [None, 1.5, "1", True, b"1", float("nan"), 2**64, -(2**64)],
    "int | None": [1.5, "1", True, b"1", float("nan"), 2**64],
    "bool": [None, 0, 1, "yes", 1.0],
    "timedelta": DURATIONS,
    "type[_T]": [5, "int", object(), [int], {1}, Unshown()],
    "InstanceFilter": [None, {}, "all", PruneOptions()],
    "PruneOptions": [None, {}, 3, InstanceFilter()],
    "object": [object(), {1, 2}, float("inf"), {1: 2}, "\ud800", [[{"x": {1}}]]],
}
GOOD: dict[str, Any] = {
    "str": "x",
    "str | None": None,
    "int": 1,
    "int | None": None,
    "bool": True,
    "timedelta": timedelta(0),
    "type[_T]": int,
    "InstanceFilter": InstanceFilter(),
    "PruneOptions": PruneOptions(),
    "object": 1,
}


def methods() -> list[str]:
    """Every call of a client."""
    return [
        name
        for name, method in inspect.getmembers(Client, inspect.iscoroutinefunction)
        if not name.startswith("_")
    ]


def test_every_argument_of_every_call_has_a_check() -> None:
    assert len(methods()) > 25
    for name in methods():
        for each in list(inspect.signature(getattr(Client, name)).parameters.values())[1:]:
            assert each.annotation in CHECKS, f"{name}({each.name}: {each.annotation})"
    assert BAD.keys() == GOOD.keys() == CHECKS.keys()


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("name", methods())
def test_rt_19_every_argument_of_a_client_is_refused_by_name_on_every_provider(name: str, store: str) -> None:
    """RT-19.2, RT-19.5: InvalidInput that names the argument, whatever is behind the client."""
    factory: Any = memory_store if store == "memory" else sqlite_store
    made = factory(provider_clock, SystemIds())
    client = Client(made.open(), clock=SystemClock())
    parameters = list(inspect.signature(getattr(Client, name)).parameters.values())[1:]

    async def all_of_them() -> None:
        for wrong in parameters:
            for value in BAD[wrong.annotation]:
                given = {each.name: GOOD[each.annotation] for each in parameters}
                given[wrong.name] = value
                with pytest.raises(InvalidInput, match=rf"\b{wrong.name}\b"):
                    await getattr(client, name)(**given)
                with pytest.raises(InvalidInput, match=rf"\b{wrong.name}\b"):
                    in_order = [each for each in parameters if each.kind is not each.KEYWORD_ONLY]
                    named = {each.name: given[each.name] for each in parameters if each not in in_order}
                    await getattr(client, name)(*(given[each.name] for each in in_order), **named)

    asyncio.run(all_of_them())
    made.close()


def test_a_client_and_a_runtime_say_what_they_are_made_of() -> None:
    """The store itself instead of a provider is the likely mistake."""
    store = memory_store(provider_clock, SystemIds())
    made: list[tuple[str, Callable[[], object]]] = [
        ("provider", lambda: Client(store, clock=SystemClock())),  # type: ignore[arg-type]
        ("provider", lambda: ManagementClient(None)),  # type: ignore[arg-type]
        ("clock", lambda: Client(store.open(), clock=SystemClock)),  # type: ignore[arg-type]
        ("registry", lambda: Runtime(store.open(), None, clock=SystemClock(), ids=SystemIds())),  # type: ignore[arg-type]
        ("options", lambda: Runtime(store.open(), Registry(), {}, clock=SystemClock(), ids=SystemIds())),  # type: ignore[arg-type]
        ("ids", lambda: Runtime(store.open(), Registry(), clock=SystemClock(), ids=5)),  # type: ignore[arg-type]
        ("provider", lambda: Runtime(store, Registry(), clock=SystemClock(), ids=SystemIds())),  # type: ignore[arg-type]
    ]
    for argument, make in made:
        with pytest.raises(ConfigurationError, match=f"{argument} must be "):
            make()


# --- registries, policies and options -----------------------------------------------------------------------


async def orchestration(ctx: Any, input: str) -> str:
    return input


@pytest.mark.parametrize("value", [*NO_TEXTS, None])
def test_rt_14_6_a_name_that_is_no_text_is_a_mistake_like_others(value: Any) -> None:
    """RT-14.6: kept for the check, and named."""
    registry = Registry()
    registry.add_orchestration(value, orchestration)
    registry.add_orchestration("o", orchestration, version=value)
    registry.add_activity(value, orchestration)
    registry.add_activity("a", value)
    with pytest.raises(ConfigurationError) as caught:
        registry.check()
    for what in (
        "name of an orchestration",
        "version of orchestration o",
        "name of an activity",
        "activity a",
    ):
        assert what in str(caught.value)
    with pytest.raises(ConfigurationError, match="name of an orchestration"):
        registry.set_version_policy(value, Exact("1.0.0"))
    with pytest.raises(ConfigurationError, match="policy"):
        registry.set_version_policy("o", value)
    with pytest.raises(ConfigurationError, match="policy"):
        registry.set_version_policy("o", Exact(value))
    with pytest.raises(ConfigurationError, match="merged"):
        registry.merge(value)


def test_a_decorator_without_parentheses_is_refused_at_once() -> None:
    registry = Registry()
    with pytest.raises(ConfigurationError, match=r"write @registry\.activity\(\)"):
        registry.activity(orchestration)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"write @registry\.orchestration\(\)"):
        registry.orchestration(orchestration)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 1, 1.5, "1", float("nan"), True, timedelta(seconds=-1)])
def test_rt_12_1_a_policy_takes_durations_and_counts(value: Any) -> None:
    """RT-12.1."""
    makers: list[Callable[[], object]] = [
        lambda: FixedBackoff(value),
        lambda: LinearBackoff(base=value, max=SECOND),
        lambda: LinearBackoff(base=SECOND, max=value),
        lambda: ExponentialBackoff(base=value),
        lambda: ExponentialBackoff(max=value),
    ]
    if value is not None:
        makers.append(lambda: RetryPolicy(timeout=value))
    if type(value) is not int:
        makers.append(lambda: RetryPolicy(max_attempts=value))
        makers.append(lambda: RetryPolicy(backoff=value))
    if value != 1.5 and type(value) is not int:
        makers.append(lambda: ExponentialBackoff(multiplier=value))
    for make in makers:
        with pytest.raises(ConfigurationError):
            make()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("worker_node_id", 5),
        ("worker_node_id", "\ud800"),
        ("worker_tag_filter", None),
        ("worker_tag_filter", "gpu"),
        ("unregistered_backoff", SECOND),
        ("observability", {}),
        ("supported_replay_versions", "0.1.31"),
        ("supported_replay_versions", ("0.1.31",)),
        ("worker_concurrency", True),
        ("worker_concurrency", float("nan")),
        ("worker_lock_timeout", float("inf")),
        ("max_attempts", "3"),
        ("max_stuck_threads", 1.0),
    ],
)
def test_rt_21_3_an_option_of_another_type_is_named(option: str, value: Any) -> None:
    """RT-21.3."""
    with pytest.raises(ConfigurationError, match=option):
        RuntimeOptions(**{option: value})


@pytest.mark.parametrize(
    "make",
    [
        lambda: InstanceFilter(instance_ids="i"),
        lambda: InstanceFilter(instance_ids=["i", 5]),  # type: ignore[list-item]
        lambda: InstanceFilter(instance_ids=["\ud800"]),
        lambda: InstanceFilter(instance_ids=5),  # type: ignore[arg-type]
        lambda: InstanceFilter(limit=1.5),  # type: ignore[arg-type]
        lambda: InstanceFilter(completed_before=True),
        lambda: PruneOptions(keep_last="1"),  # type: ignore[arg-type]
        lambda: PruneOptions(completed_before=float("nan")),  # type: ignore[arg-type]
        lambda: TagFilter.only(5),  # type: ignore[arg-type]
        lambda: TagFilter.default_and("\ud800"),
    ],
)
def test_a_filter_of_other_types_is_refused_where_it_is_made(make: Callable[[], object]) -> None:
    with pytest.raises(HoldfastError):
        make()
