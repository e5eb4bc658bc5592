"""What asyncio would have logged belongs to the result of a run, in the same words and order every time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import make_strategy
from holdfast.sim.toolkit.world import World

Program = Callable[[], Awaitable[object]]
Runs = Callable[..., Run]

KEPT: list[object] = []


def complaints(run: Runs, program: Program, **options: Any) -> tuple[str, ...]:
    async def boot(process: Process) -> None:
        await program()

    async def body(world: World) -> None:
        await world.process("p", boot).stopped()

    result = run(body, **options)
    assert result.counts, result.error or result.cut_off
    return result.complaints


async def boom(text: str = "boom") -> None:
    raise ValueError(text)


async def a_task_nobody_waits_for() -> None:
    asyncio.get_running_loop().create_task(boom(), name="lost")
    await asyncio.sleep(1)


async def a_task_that_holds_itself() -> None:
    """Only the garbage collector finds it."""
    kept: list[object] = []
    kept += [asyncio.create_task(boom(), name="lost"), kept]
    await asyncio.sleep(1)


async def a_future_that_holds_itself() -> None:
    future = asyncio.get_running_loop().create_future()
    future.itself = [future]  # type: ignore[attr-defined]
    future.set_exception(ValueError("boom"))


async def a_future_nobody_asks() -> None:
    asyncio.get_running_loop().create_future().set_exception(ValueError("boom"))


async def a_task_lost_among_a_hundred_others() -> None:
    for number in range(100):
        asyncio.create_task(boom() if number == 3 else asyncio.sleep(number))  # noqa: RUF006
        await asyncio.sleep(0)
    await asyncio.sleep(200)


async def a_callback() -> None:
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(1)


async def a_timer() -> None:
    asyncio.get_running_loop().call_later(0.5, lambda: 1 / 0)
    await asyncio.sleep(1)


async def a_done_callback() -> None:
    asyncio.create_task(asyncio.sleep(0)).add_done_callback(lambda task: 1 / 0)
    await asyncio.sleep(1)


async def never_awaited() -> None:
    boom()


async def an_exception_in_a_finalizer() -> None:
    class Careless:
        def __del__(self) -> None:
            raise ValueError("boom")

    Careless()


async def an_async_generator_that_cannot_be_closed() -> None:
    async def numbers() -> Any:
        try:
            yield 1
        finally:
            raise ValueError("boom")

    async for _ in numbers():
        break
    await asyncio.sleep(1)


async def a_handler_that_raises() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: 1 / 0)
    asyncio.get_running_loop().call_soon(KEPT.index, "nowhere")
    await asyncio.sleep(1)


async def of_its_own_accord() -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "all is lost"})


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (a_task_nobody_waits_for, ["p/1: Task exception was never retrieved (task 'lost' of boom)", "boom"]),
        (a_task_that_holds_itself, ["Task exception was never retrieved (task 'lost' of boom)", "boom"]),
        (a_task_lost_among_a_hundred_others, ["Task exception was never retrieved", "boom"]),
        (a_future_nobody_asks, ["p/1: Future exception was never retrieved", "boom"]),
        (a_future_that_holds_itself, ["p/1: Future exception was never retrieved", "boom"]),
        (a_callback, ["p/1: Exception in callback a_callback.<locals>.<lambda>", "division by zero"]),
        (a_timer, ["p/1: Exception in callback a_timer.<locals>.<lambda>", "division by zero"]),
        (a_done_callback, ["Exception in callback a_done_callback.<locals>.<lambda>", "division by zero"]),
        (never_awaited, ["p/1: coroutine 'boom' was never awaited (test_complaints.py:"]),
        (an_exception_in_a_finalizer, ["p/1: Exception ignored", "Careless.__del__", "boom"]),
        (an_async_generator_that_cannot_be_closed, ["never retrieved", "boom"]),
        (a_handler_that_raises, ["p/1: Unhandled error in exception handler", "division by zero"]),
        (of_its_own_accord, ["p/1: all is lost"]),
    ],
)
def test_what_would_have_been_logged_is_a_complaint(run: Runs, program: Program, words: list[str]) -> None:
    heard = complaints(run, program)
    assert len(heard) == 1, heard
    assert all(word in heard[0] for word in words), heard
    assert " at 0x" not in heard[0]
    assert complaints(run, program) == heard, "the same in every run"


def test_complaints_come_in_the_order_in_which_tasks_were_made(run: Runs) -> None:
    async def program() -> None:
        for number in range(9):
            kept: list[object] = []
            kept += [asyncio.create_task(boom(), name=f"task {number}"), kept]
        await asyncio.sleep(1)

    heard = complaints(run, program)
    assert [text.split("'")[1] for text in heard] == [f"task {number}" for number in range(9)]


def test_a_failed_task_that_somebody_still_holds_is_no_complaint(run: Runs) -> None:
    async def program() -> None:
        KEPT.append(asyncio.create_task(boom()))
        await asyncio.sleep(1)

    assert complaints(run, program) == ()
    KEPT.clear()


def test_what_a_crash_cuts_off_is_no_complaint(run: Runs) -> None:
    async def boot(process: Process) -> None:
        kept: list[object] = []
        kept += [asyncio.create_task(boom()), kept]
        await asyncio.sleep(1000)

    async def body(world: World) -> None:
        handle = world.process("p", boot)
        await world.sleep(1)
        handle.crash()

    result = run(body)
    gc.collect()
    assert result.counts and result.complaints == ()


def test_whatever_an_exception_handler_is_told_is_a_complaint(run: Runs) -> None:
    class Odd(Exception):
        def __repr__(self) -> str:
            raise SystemError("no text")

    async def program() -> None:
        tell = asyncio.get_running_loop().call_exception_handler
        tell({"message": Odd(), "exception": Odd()})
        tell({"exception": "no exception", "task": 3})
        tell(None)  # type: ignore[arg-type]
        tell({"message": "long", "exception": ValueError("x" * 10**6)})

    heard = complaints(run, program)
    assert len(heard) == 4 and all(len(text) < 1500 for text in heard)
    assert "<test_whatever" in heard[0] and "whose repr() raises>" in heard[0]
    assert "Exception in default exception handler" in heard[2] and "characters)" in heard[3]


def test_the_handler_that_a_process_has_set_is_called_instead(run: Runs) -> None:
    heard: list[tuple[str, str]] = []

    async def program() -> None:
        loop = asyncio.get_running_loop()

        def handler(of: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            assert of is loop
            heard.append((context["message"].split(" in callback")[0], repr(context["exception"])))

        loop.set_exception_handler(handler)
        assert loop.get_exception_handler() is handler
        asyncio.create_task(boom("a task"))  # noqa: RUF006 - nobody is to hold it
        loop.call_soon(boom_now, "a callback")
        loop.create_future().set_exception(ValueError("a future"))
        await asyncio.sleep(1)
        with pytest.raises(TypeError, match="callable object or None"):
            loop.set_exception_handler(3)  # type: ignore[arg-type]
        loop.set_exception_handler(None)
        loop.call_soon(boom_now, "recorded again")
        await asyncio.sleep(1)

    after = complaints(run, program)
    assert heard == [
        ("Future exception was never retrieved", "ValueError('a future')"),
        ("Task exception was never retrieved", "ValueError('a task')"),
        ("Exception", "ValueError('a callback')"),
    ]
    assert len(after) == 1 and "recorded again" in after[0]


def boom_now(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_off_says_first_what_may_be_its_cause(run: Runs, seed: int) -> None:
    async def body(world: World) -> None:
        asyncio.get_running_loop().call_soon(boom_now, "the cause")
        await asyncio.Event().wait()

    strategy = make_strategy("random", seed)
    result = run(body, strategy)
    assert result.cut_off is not None and result.cut_off.startswith("deadlock")
    assert (
        result.why_cut_off is not None and "the cause" in result.why_cut_off.partition("; then deadlock")[0]
    )


LOCKS: list[Any] = []


@pytest.mark.parametrize("kind", [asyncio.Lock, asyncio.Semaphore, asyncio.Condition, asyncio.Queue])
def test_what_processes_share_is_named_and_the_run_is_an_error(run: Runs, kind: Callable[[], Any]) -> None:
    shared = kind()
    LOCKS[:] = [shared]

    async def waits(process: Process) -> None:
        if isinstance(shared, asyncio.Queue):
            await shared.get()
        elif isinstance(shared, asyncio.Condition):
            async with shared:
                await shared.wait()
        else:
            await shared.acquire()
            await shared.acquire()

    async def wakes(process: Process) -> None:
        await asyncio.sleep(1)
        if isinstance(shared, asyncio.Queue):
            shared.put_nowait(1)
        elif isinstance(shared, asyncio.Condition):
            await shared.acquire()
            shared.notify()
        else:
            shared.release()

    async def body(world: World) -> None:
        world.process("a", waits)
        await world.process("b", wakes).stopped()

    result = run(body)
    assert result.error is not None
    assert "b/1 scheduled" in result.error and "on the loop of a/1 (test_complaints.py:" in result.error
    assert (
        f"<asyncio.{kind.__module__.partition('.')[2]}.{kind.__name__}" in result.error
        or "Queue" in result.error
    )
