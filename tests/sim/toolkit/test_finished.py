"""What a body is told of an instance that failed, and in which order a run tells what was wrong."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.core.client import Completed, Failed, NotFound, OrchestrationStatus, Running
from holdfast.core.program.registry import Registry
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.instance_failed import InstanceFailed
from holdfast.sim.toolkit.world import World

Runs = Callable[..., Run]


def failing() -> Registry:
    registry = Registry()

    @registry.activity("charge")
    async def charge(ctx: Any, input: str) -> str:
        raise LookupError("no such card")

    @registry.activity("ask the clock")
    async def ask(ctx: Any, input: str) -> str:
        return str(time.time())

    @registry.orchestration("pays")
    async def pays(ctx: Any, input: str) -> str:
        answer: str = await ctx.schedule_activity("charge")
        return answer

    @registry.orchestration("has a child")
    async def has_a_child(ctx: Any, input: str) -> str:
        answer: str = await ctx.schedule_sub_orchestration("pays")
        return answer

    @registry.orchestration("raises")
    async def raises(ctx: Any, input: str) -> str:
        try:
            await ctx.schedule_activity("charge")
        except Exception:
            raise ValueError("not today") from None
        return ""

    @registry.orchestration("asks")
    async def asks(ctx: Any, input: str) -> str:
        answer: str = await ctx.schedule_activity("ask the clock")
        return answer

    @registry.orchestration("returns")
    async def returns(ctx: Any, input: str) -> str:
        return input

    return registry


async def told(world: World, orchestration: str) -> InstanceFailed:
    world.worker("a", failing)
    await world.client.start_orchestration("i", orchestration)
    with pytest.raises(InstanceFailed) as raised:
        await world.finished("i")
    return raised.value


@pytest.mark.parametrize(
    ("orchestration", "text", "activity", "place"),
    [
        ("pays", "no such card", "charge", "event 3 of execution 1"),
        ("has a child", "no such card", "charge", "event 3 of execution 1 of 'i::sub::2'"),
        ("raises", "not today", None, "event 4 of execution 1"),
        ("nothing of that name", "poison: orchestration i", None, "event 2 of execution 1"),
    ],
)
def test_finished_raises_what_the_instance_failed_with(
    run: Runs, orchestration: str, text: str, activity: str | None, place: str
) -> None:
    async def body(world: World) -> None:
        error = await told(world, orchestration)
        assert text in error.text and text in str(error)
        assert (error.instance, error.activity, error.place) == ("i", activity, place)
        assert isinstance(error.status, Failed) and error.status.message == error.text

    assert run(body).wrong is None


def test_a_failed_instance_that_the_body_did_not_expect_is_a_finding_with_its_text(run: Runs) -> None:
    async def body(world: World) -> None:
        world.worker("a", failing)
        await world.client.start_orchestration("i", "pays")
        assert (await world.finished("i")).output == "paid"

    result = run(body)
    assert result.counts and result.wrong is not None
    assert result.wrong.startswith("scenario: instance 'i' failed: ") and "no such card" in result.wrong
    assert "activity 'charge'" in result.wrong


def test_an_instance_that_fails_within_an_oracle_fails_its_rows(run: Runs) -> None:
    async def body(world: World) -> None:
        world.worker("a", failing)
        await world.client.start_orchestration("i", "pays")
        with world.oracle("5.1"):
            await world.finished("i")

    (failure,) = run(body).failures
    assert failure.rule == "5.1" and "no such card" in failure.message


def test_without_the_check_the_status_is_given(run: Runs) -> None:
    async def body(world: World) -> None:
        world.worker("a", failing)
        await world.client.start_orchestration("i", "pays")
        await world.client.start_orchestration("j", "returns", "done")
        failed = await world.finished("i", check=False)
        assert isinstance(failed, Failed) and failed.output == failed.message
        assert await world.finished("j") == await world.finished("j", check=False)
        assert (await world.finished("j")).output == "done"

    assert run(body).wrong is None


@pytest.mark.parametrize(
    ("status", "output"),
    [
        (NotFound(), None),
        (Running(custom_status="busy"), None),
        (Completed(output="x"), "x"),
        (Failed(details=None, message="no luck"), "no luck"),
    ],
)
def test_every_status_has_an_output(status: OrchestrationStatus, output: str | None) -> None:
    assert status.output == output


def test_a_refusal_is_told_before_what_follows_from_it(run: Runs) -> None:
    """The refused call fails the activity, that the instance, and that whatever the body makes of it."""

    async def asserts(world: World) -> None:
        world.worker("a", failing)
        await world.client.start_orchestration("i", "asks")
        assert float((await world.finished("i")).output) > 0

    async def raises(world: World) -> None:
        world.worker("a", failing)
        await world.client.start_orchestration("i", "asks")
        status = await world.finished("i", check=False)
        raise LookupError(status.output)

    async def swallows(world: World) -> None:
        world.worker("a", failing)
        await world.client.start_orchestration("i", "asks")
        with world.oracle("5.1"):
            assert isinstance(await world.finished("i", check=False), Completed)

    for body in (asserts, raises, swallows):
        result = run(body)
        assert not result.counts
        assert result.wrong is not None and "time.time()" in result.wrong.splitlines()[0], result.wrong


def test_a_broken_rule_is_told_before_what_the_body_makes_of_it(run: Runs) -> None:
    async def breaks(process: Process) -> None:
        raise OSError("a worker has ended")

    async def body(world: World) -> None:
        world.process("a", breaks)
        await world.quiet()
        raise LookupError("nobody answers")

    result = run(body)
    assert result.wrong is not None and result.wrong.startswith("process: a: ")
    assert result.raised == "the scenario raised LookupError('nobody answers')" == result.error


def test_an_exception_that_cannot_be_shown_still_ends_the_body(run: Runs) -> None:
    class Mute(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no text")

        __str__ = __repr__

    class MuteAssertion(AssertionError):
        __str__ = Mute.__repr__

    async def raises(world: World) -> None:
        raise Mute

    async def asserts(world: World) -> None:
        raise MuteAssertion

    assert run(raises).error == "the scenario raised an instance of Mute without a text"
    assert run(asserts).wrong == "scenario: MuteAssertion"


# --- what `worker` passes to the maker of a registry -------------------------------------------------------


def plain(options: dict[str, str] | None = None) -> Registry:
    assert options is None, options
    return failing()


def keyword_only(*, options: object = None) -> Registry:
    assert options is None, options
    return failing()


def variadic(*arguments: object, **options: object) -> Registry:
    assert not arguments and not options
    return failing()


def required(process: Process) -> Registry:
    assert isinstance(process, Process)
    return failing()


def required_and_more(process: Process, /, limit: int = 3, *rest: object, **options: object) -> Registry:
    assert isinstance(process, Process) and limit == 3 and not rest and not options
    return failing()


def configured(options: str, process: Process) -> Registry:
    assert options == "mine" and isinstance(process, Process)
    return failing()


class Maker:
    """A callable object that cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, limit: int = 3) -> Registry:
        assert limit == 3
        return failing()


class Made(Registry):
    """A registry whose maker is its class."""

    def __init__(self, like: Registry | None = None) -> None:
        assert like is None
        super().__init__()
        self.orchestration("returns")(_returns)


async def _returns(ctx: Any, input: str) -> str:
    return input


@functools.wraps(required)
def wrapped(*arguments: Any, **options: Any) -> Registry:
    return required(*arguments, **options)


@pytest.mark.parametrize(
    "make",
    [
        plain,
        keyword_only,
        variadic,
        required,
        required_and_more,
        functools.partial(plain, None),
        functools.partial(configured, "mine"),
        functools.partial(required_and_more, limit=3),
        Maker(),
        Made,
        wrapped,
        failing,
        lambda process: required_and_more(process, 3),
    ],
)
def test_only_a_required_positional_parameter_gets_the_process(run: Runs, make: Any) -> None:
    async def body(world: World) -> None:
        world.worker("a", make)
        await world.client.start_orchestration("i", "returns", "done")
        assert (await world.finished("i")).output == "done"

    assert run(body).wrong is None
