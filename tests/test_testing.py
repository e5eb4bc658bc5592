"""`simulated`: what fails a test, and what is refused when it is written."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.program.registry import Registry
from holdfast.testing import (
    Complaint,
    FaultBudget,
    KeptBetweenRuns,
    Limits,
    SimulatedTest,
    World,
    simulated,
)

REQUEST = cast(pytest.FixtureRequest, SimpleNamespace(node=SimpleNamespace(nodeid="tests/t.py::test_it")))


@pytest.fixture(autouse=True)
def exploring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_TAPE", raising=False)


def failing(test: SimulatedTest) -> str:
    with pytest.raises(pytest.fail.Exception) as failed:
        test(REQUEST)
    return str(failed.value)


def echo() -> Registry:
    registry = Registry()

    @registry.orchestration("echo")
    async def run(ctx: Any, input: str) -> str:
        return input

    return registry


@pytest.mark.parametrize("provider", ["memory", "sqlite"])
def test_every_schedule_is_run_on_the_provider_named(provider: str) -> None:
    runs: list[str] = []

    @simulated(schedules=5, provider=provider, faults=FaultBudget(crash=1))
    async def test_echo(world: World) -> None:
        world.worker("a", echo)
        await world.client.start_orchestration("i", "echo", "hi")
        await world.finished("i")
        runs.append("done")

    test_echo(REQUEST)
    assert len(runs) == 5
    test_echo.under({("schedule", 0): 1})
    assert len(runs) == 6


def test_a_failure_is_a_rule_in_one_line_and_a_line_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @simulated(schedules=50)
    async def test_it(world: World) -> None:
        assert world.draw("value", 4) != 3, "three was drawn"

    first, second, *detail = failing(test_it).splitlines()
    assert first == "scenario: three was drawn"
    assert second.endswith("HOLDFAST_TAPE=1/d0=3 pytest tests/t.py::test_it")
    assert detail[0].startswith("assert 3 != 3")
    monkeypatch.setenv("HOLDFAST_TAPE", "1/d0=3")
    assert failing(test_it).splitlines()[0] == first
    monkeypatch.setenv("HOLDFAST_TAPE", "1")
    test_it(REQUEST)


def test_what_asyncio_would_have_logged_is_a_warning_and_stands_with_a_failure() -> None:
    @simulated(schedules=2)
    async def passes(world: World) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await world.sleep(1)

    with pytest.warns(Complaint) as heard:
        passes(REQUEST)
    assert len(heard) == 2
    assert "schedule 0: scenario/1: Exception in callback" in str(heard[0].message)
    assert "division by zero" in str(heard[0].message)

    @simulated(schedules=1)
    async def fails(world: World) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await world.sleep(1)
        raise AssertionError("and so it fails")

    first, *_, last = failing(fails).splitlines()
    assert first.startswith("scenario: ") and first.endswith("and so it fails")
    assert last.startswith("heard in this run: scenario/1: Exception in callback")

    @simulated(schedules=1)
    async def waits(world: World) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await world.finished("nobody started this")

    first = failing(waits).splitlines()[0]
    assert first.index("division by zero") < first.index("then deadlock"), (
        "what may be the cause is said first"
    )


def test_a_run_that_is_cut_off_or_goes_wrong_never_passes() -> None:
    @simulated(schedules=1)
    async def waits_for_ever(world: World) -> None:
        await world.finished("nobody started this")

    @simulated(schedules=1)
    async def raises(world: World) -> None:
        raise LookupError("lost")

    assert failing(waits_for_ever).startswith("the run was cut off: deadlock")
    assert "LookupError('lost')" in failing(raises).splitlines()[0]


@pytest.mark.parametrize(
    "wrong", [{"schedules": 0}, {"strategy": "psychic"}, {"options": {"max_attempts": -1}}]
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    async def test_nothing(world: World) -> None: ...

    with pytest.raises(ConfigurationError):
        simulated(**wrong)(test_nothing)


COUNTED: list[str] = []
MEMO: dict[str, str] = {}


def counter(answer: Any) -> Any:
    """Makes a registry whose one activity answers with what the function given makes of it."""

    def make() -> Registry:
        registry = echo()

        @registry.orchestration("counts")
        async def counts(ctx: Any, input: str) -> str:
            answered: str = await ctx.schedule_activity("count")
            return answered

        registry.activity("count")(answer)
        return registry

    return make


async def count(ctx: Any, input: str) -> str:
    COUNTED.append("")
    return str(len(COUNTED))


async def remember(ctx: Any, input: str) -> str:
    return MEMO.setdefault("first", ctx.instance_id)


async def constant(ctx: Any, input: str) -> str:
    return "10"


@pytest.mark.parametrize("under", [False, True])
def test_a_failure_that_does_not_repeat_is_called_not_deterministic(under: bool) -> None:
    COUNTED.clear()

    @simulated(schedules=20)
    async def test_it(world: World) -> None:
        world.worker("a", counter(count))
        await world.client.start_orchestration("i", "counts")
        output = int((await world.finished("i")).output)
        assert output % 6, f"{output} is too many"

    if under:
        COUNTED.extend([""] * 5)
        with pytest.raises(pytest.fail.Exception) as failed:
            test_it.under({})
        told = str(failed.value).splitlines()
    else:
        told = failing(test_it).splitlines()
    assert told[0] == "scenario: 6 is too many"
    assert told[1].startswith("not deterministic: something outside the simulation is kept between runs")
    assert told[1].endswith("the second run: all is well")
    assert "count" in told[2] and "COUNTED.append()" in told[2]
    assert "does not repeat" in told[3] and "HOLDFAST_TAPE=" in told[3]


def test_a_failure_that_repeats_is_run_twice_and_told_once() -> None:
    runs: list[str] = []

    @simulated(schedules=1)
    async def test_it(world: World) -> None:
        runs.append("")
        world.worker("a", counter(constant))
        await world.client.start_orchestration("i", "counts")
        assert (await world.finished("i")).output == "9", "ten"

    told = failing(test_it)
    assert len(runs) == 2 and "deterministic" not in told and ", replay: HOLDFAST_TAPE=" in told


def test_a_run_that_takes_other_steps_the_second_time_does_not_repeat() -> None:
    MEMO.clear()

    @simulated(schedules=1)
    async def test_it(world: World) -> None:
        world.worker("a", counter(remember))
        if MEMO:
            await world.sleep(1)
        await world.client.start_orchestration("i", "counts")
        await world.finished("i")
        raise AssertionError("always")

    told = failing(test_it)
    assert "not deterministic" in told and "other steps and the same end" in told


def test_what_a_module_keeps_is_a_warning_of_a_test_that_passes() -> None:
    """A cold worker is never met where a cache at module level survives every crash."""
    MEMO.clear()

    @simulated(schedules=10, faults=FaultBudget(crash=1))
    async def test_it(world: World) -> None:
        world.worker("a", counter(remember))
        await world.client.start_orchestration("i", "counts")
        await world.finished("i")

    with pytest.warns(KeptBetweenRuns, match=r"remember \(.*\) writes to MEMO.setdefault\(\)") as warned:
        test_it(REQUEST)
    assert len([one for one in warned if one.category is KeptBetweenRuns]) == 1


def test_limits_are_arguments_and_a_cut_off_fails_with_who_waits() -> None:
    @simulated(schedules=1, limits=Limits(max_virtual_us=60_000_000))
    async def test_it(world: World) -> None:
        world.worker("a", echo)
        await world.sleep(61)

    told = failing(test_it)
    assert told.startswith("the run was cut off: 60 virtual seconds")
    assert "process 'a', boot 1, waits in" in told and "HOLDFAST_TAPE=" in told


def test_code_without_an_end_has_a_line_that_repeats_it() -> None:
    """How long it took is measured by the machine's clock, and differs from run to run."""

    def spinning() -> Registry:
        made = Registry()

        @made.orchestration("spins")
        async def spins(ctx: Any, input: str) -> str:
            return str(await ctx.schedule_activity("spin", input))

        @made.activity("spin")
        async def spin(ctx: Any, input: str) -> str:
            while True:
                pass

        return made

    @simulated(schedules=1, limits=Limits(max_pass_cpu_us=100_000))
    async def test_it(world: World) -> None:
        world.worker("a", spinning)
        await world.client.start_orchestration("i", "spins")
        await world.finished("i")

    told = failing(test_it)
    assert told.startswith("the run failed: NeverYields") and "test_testing.py" in told
    assert "schedule 0, replay: HOLDFAST_TAPE=" in told and "not deterministic" not in told


def test_a_library_that_reads_the_time_can_be_given_virtual_time() -> None:
    tenacity = pytest.importorskip("tenacity")
    tries: list[float] = []

    def registry() -> Registry:
        made = Registry()

        @made.orchestration("asks")
        async def asks(ctx: Any, input: str) -> str:
            return str(await ctx.schedule_activity("flaky", input))

        @made.activity("flaky")
        @tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(25))
        async def flaky(ctx: Any, input: str) -> str:
            tries.append(asyncio.get_running_loop().time())
            raise OSError("no network")

        return made

    async def gives_up(world: World) -> None:
        world.worker("a", registry)
        await world.client.start_orchestration("i", "asks", "hi")
        assert type(await world.finished("i", check=False)).__name__ == "Failed"

    simulated(schedules=1, virtual_clock_for=("tenacity",))(gives_up)(REQUEST)
    assert [round(time - tries[0]) for time in tries] == [0, 25, 50, 75]
    assert "time.monotonic() leaves the simulation" in failing(simulated(schedules=1)(gives_up))
