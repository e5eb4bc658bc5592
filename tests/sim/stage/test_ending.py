"""A simulated process ends as a real one does; only a crash cuts it off."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import make_strategy
from holdfast.sim.toolkit.world import World

Runs = Callable[..., Run]


def ended(run: Runs, boot: Callable[[Process], Any], **options: Any) -> Run:
    async def body(world: World) -> None:
        await world.process("p", boot).stopped()

    return run(body, **options)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_running_is_cancelled_and_waited_for(run: Runs, seed: int) -> None:
    heard: list[str] = []

    async def tidies(process: Process, name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(2)
            if name == "b":
                with contextlib.suppress(ProviderError):
                    await process.provider.get_kv_value("nobody", "key")
            heard.append(f"{name} tidied up")

    async def boot(process: Process) -> str:
        process.left = [asyncio.create_task(tidies(process, name)) for name in "ab"]  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        return "over"

    result = ended(run, boot, strategy=make_strategy("random", seed))
    assert sorted(heard) == ["a tidied up", "b tidied up"]
    assert result.counts and result.virtual_us == 3_000_000 and not result.complaints
    assert [commit.operation for commit in result.commits] == ["get_kv_value"], "it could still call"


def test_an_error_while_it_ends_is_a_complaint(run: Runs) -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("at the end")

    async def boot(process: Process) -> None:
        process.left = asyncio.create_task(fails(), name="left")  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    (complaint,) = ended(run, boot).complaints
    assert complaint.startswith("p/1: unhandled exception during asyncio.run() shutdown (task 'left' of ")
    assert "at the end" in complaint


def test_async_generators_are_closed_in_the_order_in_which_they_began(run: Runs) -> None:
    heard: list[str] = []
    kept: list[Any] = []

    async def numbers(name: str) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            heard.append(name)
            if name == "c":
                raise ValueError("cannot be closed")

    async def boot(process: Process) -> None:
        for name in "abc":
            kept.append(numbers(name))
            await anext(kept[-1])

    (complaint,) = ended(run, boot).complaints
    assert heard == ["a", "b", "c"]
    assert "an error occurred during closing of asynchronous generator" in complaint
    assert "cannot be closed" in complaint


def test_threads_of_the_default_executor_are_waited_for(run: Runs) -> None:
    heard: list[str] = []

    async def boot(process: Process) -> None:
        process.blocking_ms = 5000
        process.left = asyncio.create_task(asyncio.to_thread(heard.append, "done"))  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    result = ended(run, boot)
    assert heard == ["done"] and result.virtual_us == 5_000_000


def test_a_boot_function_that_raises_ends_in_good_order_too(run: Runs) -> None:
    heard: list[str] = []

    async def tidies() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            heard.append("tidied up")

    async def boot(process: Process) -> None:
        process.left = asyncio.create_task(tidies())  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        raise LookupError("lost")

    result = ended(run, boot)
    assert heard == ["tidied up"]
    assert [failure.message for failure in result.failures] == [
        "p: its boot function raised LookupError('lost')"
    ]


@pytest.mark.parametrize("where", ["the boot function", "a task", "a callback"])
def test_sys_exit_ends_the_process_in_good_order(run: Runs, where: str) -> None:
    heard: list[str] = []

    async def tidies() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            heard.append("tidied up")

    async def exits() -> None:
        sys.exit(3)

    async def boot(process: Process) -> None:
        process.left = [asyncio.create_task(tidies())]  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        if where == "a task":
            process.left.append(asyncio.create_task(exits()))  # type: ignore[attr-defined]
        elif where == "a callback":
            process.loop.call_soon(sys.exit, 3)
        else:
            sys.exit(3)
        try:
            await asyncio.sleep(1000)
        finally:
            heard.append("the boot function was cancelled")

    result = ended(run, boot)
    assert heard[-1] == "tidied up"
    assert ("the boot function was cancelled" in heard) == (where != "the boot function")
    assert [failure.message for failure in result.failures] == ["p: it called sys.exit(3)"]


def test_a_second_sys_exit_ends_it_at_once(run: Runs) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            sys.exit(4)

    async def boot(process: Process) -> None:
        process.left = asyncio.create_task(stubborn())  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        sys.exit(3)

    result = ended(run, boot)
    assert [failure.message for failure in result.failures] == [
        "p: it called sys.exit(3)",
        "p: it called sys.exit(4)",
    ]


def test_a_crash_cuts_it_off_also_while_it_ends(run: Runs) -> None:
    heard: list[str] = []

    async def tidies() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(10)
            heard.append("tidied up")

    async def boot(process: Process) -> None:
        process.left = asyncio.create_task(tidies())  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    async def body(world: World) -> None:
        handle = world.process("p", boot)
        await world.sleep(5)
        assert handle.alive, "it has not ended yet"
        handle.crash()
        await handle.stopped()

    result = run(body)
    assert result.counts and heard == [] and result.virtual_us == 5_000_000


def test_nothing_left_running_means_no_further_step(run: Runs) -> None:
    async def boot(process: Process) -> None:
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))

    result = ended(run, boot)
    assert result.counts and result.steps == 4, "one begins it, two wake a sleeper each, one the scenario"
