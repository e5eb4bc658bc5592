"""Code that computes without an end in a simulated process is a finding that names it (RT-4.56)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from holdfast.core.program.registry import Registry
from holdfast.providers.memory import memory_store
from holdfast.sim.exploring import explorer
from holdfast.sim.exploring.determinism import compare
from holdfast.sim.exploring.explorer import Limits, Run, run_schedule
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import Fifo
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.testing import simulated

LIMITS = Limits(max_pass_cpu_us=200_000)


def spins() -> None:
    while True:
        pass


def swallows() -> None:
    while True:
        with suppress(BaseException):
            spins()


def registry(orchestration: Callable[[], object], activity: Callable[[], object]) -> Registry:
    made = Registry()

    @made.orchestration("o")
    async def o(ctx: Any, input: str) -> Any:
        orchestration()
        return await ctx.schedule_activity("a", input)

    @made.activity("a")
    async def a(ctx: Any, input: str) -> str:
        activity()
        return "done"

    return made


def run(body: Callable[[World], Any]) -> Run:
    plain = Fifo()
    plain.begin(0)
    made = scenario(covers=["x"], register=False)(body)
    return run_schedule(made, memory_store, plain, full=True, limits=LIMITS)


def harmless() -> None:
    """Comes to its end."""


@pytest.mark.parametrize("endless", [spins, swallows])
@pytest.mark.parametrize("where", ["orchestration", "activity", "boot function"])
def test_a_pass_without_an_end_ends_the_run_which_has_a_tape_and_no_digest(
    where: str, endless: Callable[[], object]
) -> None:
    async def boot(process: Process) -> None:
        endless()

    async def body(world: World) -> None:
        if where == "boot function":
            world.process("b", boot)
        orchestration = endless if where == "orchestration" else harmless
        activity = endless if where == "activity" else harmless
        world.worker("w", lambda: registry(orchestration, activity))
        await world.client.start_orchestration("i", "o")
        await world.finished("i")

    first, second = run(body), run(body)
    for ended in (first, second):
        assert not ended.counts
        assert ended.digest is None
        assert ended.error is not None and ended.error.startswith("NeverYields: ")
        assert "it was at test_passes.py:" in ended.error
        named = {"orchestration": "orchestration 'o' of 'i'", "activity": "process w/1"}
        assert named.get(where, "process b/1") in ended.error
    assert first.tape == second.tape
    assert compare(first, second) is None
    assert asyncio._get_running_loop() is None
    spare = run(well_behaved)
    assert spare.error is None and spare.digest is not None, "the next run is disturbed"


async def well_behaved(world: World) -> None:
    world.worker("w", lambda: registry(harmless, harmless))
    await world.client.start_orchestration("i", "o")
    await world.finished("i")


def test_a_bare_except_in_a_retry_loop_ends_like_any_other_code() -> None:
    """RT-4.56 (r05)."""

    def retrying() -> Registry:
        made = registry(harmless, harmless)

        @made.orchestration("retries")
        async def retries(ctx: Any, input: str) -> Any:
            while True:
                try:
                    return await ctx.schedule_activity("a", input)
                except:  # noqa: E722
                    pass

        return made

    async def body(world: World) -> None:
        world.worker("w", retrying)
        await world.client.start_orchestration("i", "retries")
        assert (await world.finished("i")).output == "done"

    ended = run(body)
    assert (ended.error, ended.failures, ended.cut_off) == (None, [], None)


def test_what_a_context_variable_holds_does_not_pass_from_turn_to_turn() -> None:
    """RT-4.71 (r08): nor does the current task of the simulated worker show."""

    async def body(world: World) -> None:
        world.worker("w", asking)
        await world.client.start_orchestration("i", "asks")
        assert "current_task" in (await world.finished("i", **unchecked)).output

    def asking() -> Registry:
        made = registry(harmless, harmless)

        @made.orchestration("asks")
        async def asks(ctx: Any, input: str) -> str:
            return repr(asyncio.current_task())

        return made

    unchecked: dict[str, Any] = {"check": False} if "check" in World.finished.__annotations__ else {}
    assert run(body).error is None


def test_a_simulated_test_names_the_line(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(explorer, "Limits", lambda: LIMITS)

    @simulated(schedules=2)
    async def spinning(world: World) -> None:
        world.worker("w", lambda: registry(harmless, spins))
        await world.client.start_orchestration("i", "o")
        await world.finished("i")

    with pytest.raises(pytest.fail.Exception, match=r"process w/1 used .* test_passes\.py:"):
        spinning(request)
