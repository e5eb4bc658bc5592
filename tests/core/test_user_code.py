"""Whatever user code returns or raises, its attempt fails with a text and the worker lives; on real loops."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.core.real_worker import OPTIONS, SOON, Records, run

from holdfast.core.client import Client, Completed, Failed
from holdfast.core.contract.errors import ActivityError
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock


class Unshown(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Quits(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class Opaque(type):
    def __getattribute__(cls, name: str) -> NoReturn:
        raise RuntimeError(f"no {name}")


class Closed(Exception, metaclass=Opaque):
    pass


class TwoFaced(Exception):
    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no class")


class Record:
    """Shows itself, its length, its truth and its attributes to nobody."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise SystemExit(f"no {name}")

    def __repr__(self) -> NoReturn:
        raise SystemExit("no text")

    def __bool__(self) -> NoReturn:
        raise SystemExit("neither")


def cycle() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


async def coroutine() -> None:
    pass


RAISED: list[Callable[[], BaseException]] = [
    Unshown,
    Quits,
    lambda: TwoFaced("x"),
    Closed,
    lambda: FileNotFoundError("caf\udce9.txt"),
    lambda: ValueError("cut\0off"),
    lambda: ValueError("x" * 1_000_000),
    lambda: SystemExit(3),
    lambda: KeyboardInterrupt("of the code"),
    lambda: GeneratorExit("x"),
    lambda: asyncio.CancelledError("x"),
    lambda: StopIteration("x"),
    lambda: StopAsyncIteration("x"),
    lambda: RecursionError("x"),
    lambda: MemoryError("x"),
    lambda: BaseExceptionGroup("several", [SystemExit(1), Unshown()]),
    lambda: ExceptionGroup("several", [Unshown(), ExceptionGroup("more", [Quits()])]),
    lambda: AssertionError("of the code"),
]
RETURNED: list[Callable[[], object]] = [
    object,
    Record,
    cycle,
    coroutine,
    lambda: {"a", "b"},
    lambda: [{"tags": frozenset("ab")}],
    lambda: float("nan"),
    lambda: {"x": [float("-inf")]},
    lambda: {1: "one"},
    lambda: "half \ud83d",
    lambda: (number for number in range(3)),
    lambda: 10**5000,
    lambda: type,
]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        made: Any = memory_store(provider_clock, SystemIds())
    else:
        path: Path = request.getfixturevalue("tmp_path")
        made = sqlite_store(provider_clock, SystemIds(), path=path / "store.db")
    yield made
    made.close()


def raising(make: Callable[[], BaseException]) -> Registry:
    registry = Registry()

    @registry.activity()
    async def fails(ctx: Any, input: str) -> str:
        raise make()

    @registry.orchestration()
    async def catches(ctx: Any, input: str) -> str:
        try:
            return str(await ctx.schedule_activity("fails"))
        except ActivityError as error:
            return f"caught {error}"

    @registry.orchestration()
    async def raises(ctx: Any, input: str) -> str:
        raise make()

    return registry


@pytest.mark.parametrize("number", range(len(RAISED)))
def test_rt_6_9_whatever_is_raised_is_a_failure_with_a_text_and_the_worker_lives(
    store: Any, number: int
) -> None:
    """RT-6.9, RT-4.70, RT-4.71: run once, told to the orchestration, with the name of the class."""
    make = RAISED[number]
    name: str = type.__dict__["__name__"].__get__(type(make()))

    async def body(client: Client) -> None:
        await client.start_orchestration("a", "catches")
        await client.start_orchestration("o", "raises")
        caught = await client.wait_for_orchestration("a", SOON)
        failed = await client.wait_for_orchestration("o", SOON)
        assert isinstance(caught, Completed), caught
        assert caught.output.startswith(f"caught {name}") or "RuntimeError: coroutine raised" in caught.output
        assert isinstance(failed, Failed), failed
        assert name in failed.message or "RuntimeError: coroutine raised" in failed.message
        assert "poison" not in caught.output + failed.message

    run(store, raising(make), body)


@pytest.mark.parametrize("number", range(len(RETURNED)))
def test_rt_6_9_whatever_is_returned_is_a_result_or_a_failure_and_the_worker_lives(
    store: Any, number: int
) -> None:
    """RT-6.9, RT-1.22: the failure names whose result it is."""
    make = RETURNED[number]
    registry = Registry()

    @registry.activity("Odd")
    async def odd(ctx: Any, input: str) -> object:
        return make()

    @registry.orchestration()
    async def catches(ctx: Any, input: str) -> str:
        try:
            return str(await ctx.schedule_activity("Odd"))
        except ActivityError as error:
            return f"caught {error}"

    @registry.orchestration("returns")
    async def returns(ctx: Any, input: str) -> object:
        return make()

    async def body(client: Client) -> None:
        await client.start_orchestration("a", "catches")
        await client.start_orchestration("o", "returns")
        caught = await client.wait_for_orchestration("a", SOON)
        failed = await client.wait_for_orchestration("o", SOON)
        assert isinstance(caught, Completed), caught
        assert caught.output.startswith("caught CodecError: the result of activity 'Odd'"), caught
        assert isinstance(failed, Failed), failed
        assert failed.message.startswith("CodecError: the result of orchestration 'returns'"), failed

    run(store, registry, body)


def test_a_failure_names_activity_class_and_message_and_its_records_have_the_traceback(store: Any) -> None:
    """RT-6.9, RT-4.71: in the status of the instance, and for whoever reads the log."""
    registry = Registry()
    seen = Records()

    @registry.activity("Charge")
    async def charge(ctx: Any, input: str) -> str:
        return str({}["account"])

    @registry.orchestration()
    async def order(ctx: Any, input: str) -> str:
        return str(await ctx.schedule_activity("Charge"))

    @registry.orchestration()
    async def day(ctx: Any, input: str) -> str:
        return str(await ctx.schedule_sub_orchestration("order"))

    async def body(client: Client) -> None:
        await client.start_orchestration("i", "order")
        status = await client.wait_for_orchestration("i", SOON)
        assert isinstance(status, Failed), status
        assert status.message == "Activity 'Charge' call failed: KeyError: 'account'"
        await client.start_orchestration("d", "day")
        status = await client.wait_for_orchestration("d", SOON)
        assert isinstance(status, Failed), status
        assert status.message == (
            "Sub-orchestration 'order' failed: Activity 'Charge' call failed: KeyError: 'account'"
        )

    run(store, registry, body, seen)
    activity = next(one for one in seen.logged if one.event == "Activity failed (application error)")
    assert activity.fields["error"] == "KeyError: 'account'"
    assert "in charge" in str(activity.fields["traceback"])
    order_record = next(one for one in seen.logged if one.event == "Orchestration failed (application error)")
    assert "in order" in str(order_record.fields["traceback"])


def test_an_interrupt_of_the_terminal_is_no_failure_of_an_activity(store: Any) -> None:
    """Nothing that an operator does at the keyboard may be stored as the end of an instance."""
    registry = Registry()

    @registry.activity()
    async def waits(ctx: Any, input: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return "done"

    @registry.orchestration()
    async def order(ctx: Any, input: str) -> str:
        return str(await ctx.schedule_activity("waits"))

    async def main() -> None:
        runtime = Runtime(store.open(), registry, OPTIONS, clock=SystemClock(), ids=SystemIds())
        await Client(store.open(), clock=SystemClock()).start_orchestration("i", "order")
        await runtime.run()

    with pytest.raises(KeyboardInterrupt):
        loop = asyncio.new_event_loop()  # without a runner, so that Python's own handler raises
        try:
            loop.run_until_complete(main())
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()

    async def look() -> None:
        history = await Client(store.open(), clock=SystemClock()).read_history("i")
        assert [type(event).__name__ for event in history] == ["OrchestrationStarted", "ActivityScheduled"]

    asyncio.run(look())
