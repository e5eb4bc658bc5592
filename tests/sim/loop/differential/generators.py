"""Programs about async generators and context managers, and how they are closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

CLOSED: list[str] = []


async def numbers(seen: list[str], *, waits: bool = False) -> AsyncIterator[int]:
    try:
        for number in range(5):
            yield number
    finally:
        if waits:
            await asyncio.sleep(1)
        seen.append("closed")


async def a_generator_to_its_end() -> Any:
    seen: list[str] = []
    return [number async for number in numbers(seen)], seen


async def a_generator_left_half_way_is_closed_later() -> Any:
    seen: list[str] = []
    async for _ in numbers(seen, waits=True):
        break
    await asyncio.sleep(3)
    return seen


async def a_generator_closed_by_hand() -> Any:
    seen: list[str] = []
    generator: Any = numbers(seen, waits=True)
    first = await anext(generator)
    await generator.aclose()
    await generator.aclose()
    return first, seen, await anext(generator, "nothing left")


async def a_generator_that_is_thrown_something() -> Any:
    seen: list[Any] = []

    async def listens() -> AsyncIterator[int]:
        while True:
            try:
                yield len(seen)
            except ValueError as error:
                seen.append(repr(error))

    generator: Any = listens()
    await anext(generator)
    answers = [await generator.athrow(ValueError(text)) for text in "ab"]
    try:
        await generator.athrow(KeyError("out"))
    except KeyError as error:
        return answers, seen, repr(error)


async def a_generator_that_is_sent_something() -> Any:
    async def sums() -> Any:
        total = 0
        while True:
            total += yield total
            await asyncio.sleep(0)

    generator = sums()
    await anext(generator)
    return [await generator.asend(number) for number in range(4)]


async def a_generator_that_yields_while_it_is_closed() -> Any:
    async def stubborn() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            yield 2

    generator: Any = stubborn()
    await anext(generator)
    await generator.aclose()


async def a_generator_whose_closing_fails_unheard() -> Any:
    async def fails() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("while closing")

    async for _ in fails():
        break
    await asyncio.sleep(1)
    return "gone on"


async def a_generator_cancelled_within() -> Any:
    seen: list[str] = []

    async def slow() -> AsyncIterator[int]:
        try:
            await asyncio.sleep(10)
            yield 1
        finally:
            seen.append("closed")

    async def reads() -> None:
        async for _ in slow():
            pass

    task = asyncio.create_task(reads())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    return seen, task.cancelled()


async def all_generators_are_shut_down() -> Any:
    seen: list[str] = []
    generators = [numbers(seen), numbers(seen, waits=True)]
    for generator in generators:
        await anext(generator)
    await asyncio.get_running_loop().shutdown_asyncgens()
    return seen


async def a_generator_run_by_two_tasks() -> Any:
    async def slow() -> AsyncIterator[int]:
        await asyncio.sleep(1)
        yield 1

    generator: Any = slow()
    first = asyncio.create_task(anext(generator))
    await asyncio.sleep(0)
    try:
        await anext(generator)
    except RuntimeError as error:
        return str(error), await first


async def context_managers_left_in_order() -> Any:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def opened(name: str) -> AsyncIterator[str]:
        seen.append(f"open {name}")
        try:
            yield name
        finally:
            await asyncio.sleep(0)
            seen.append(f"close {name}")

    async with contextlib.AsyncExitStack() as stack:
        for name in "abc":
            await stack.enter_async_context(opened(name))
        stack.push_async_callback(asyncio.sleep, 1)
    return seen


async def closing_with_aclosing() -> Any:
    seen: list[str] = []
    async with contextlib.aclosing(numbers(seen, waits=True)) as generator:  # type: ignore[type-var]
        async for number in generator:
            if number == 2:
                break
    return seen


async def a_comprehension_over_awaits() -> Any:
    async def twice(number: int) -> int:
        await asyncio.sleep(0.1)
        return 2 * number

    return [await twice(number) async for number in numbers([]) if number % 2], {
        number: await twice(number) for number in range(3)
    }


async def an_error_in_a_finalizer() -> Any:
    class Careless:
        def __del__(self) -> None:
            CLOSED.append("deleted")

    Careless()
    return CLOSED.pop()
