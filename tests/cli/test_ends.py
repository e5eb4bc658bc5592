"""Code under test that ends its process, in whatever way: the check never ends with 0, and says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Holdfast = Callable[..., Result]

SCENARIO = """
import ctypes
import os
import signal
import sys

from holdfast.core import Registry
from holdfast.sim import World, scenario


def registry():
    made = Registry()

    @made.orchestration("o")
    async def o(ctx, input):
        return await ctx.schedule_activity("ends")

    @made.activity("ends")
    async def ends(ctx, input):
        {activity}

    return made


{module}


@scenario(covers=["5.1"])
async def ends_its_process(world: World) -> None:
    {body}
    world.worker("a", registry)
    await world.client.start_orchestration("i", "o")
    await world.finished("i", check=False)
"""


def written(**code: str) -> None:
    parts = {"activity": "return input", "module": "", "body": ""} | code
    Path("ending.py").write_text(SCENARIO.format(**parts))


def check(holdfast: Holdfast, jobs: int = 1) -> Result:
    own = ("--scenario", "ending", "--jobs", jobs, "--schedules", 30, "--provider", "memory")
    return holdfast("check", "ends_its_process", *own)


@pytest.fixture(autouse=True)
def forgotten() -> object:
    import sys

    from holdfast.sim.toolkit.scenario import _SCENARIOS

    yield
    sys.modules.pop("ending", None)
    _SCENARIOS.pop("ends_its_process", None)


DIES = {
    "at the second schedule": "ctypes.CDLL(None)._exit(0) if world.draw('x', 2) else None",
    "in C": "ctypes.CDLL(None)._exit(0)",
    "by a signal that nobody can refuse": "ctypes.CDLL(None).kill(os.getpid(), signal.SIGKILL)",
    "by a crash": "ctypes.string_at(0)",
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("how", DIES.values(), ids=DIES)
def test_a_process_that_dies_is_exit_3_with_the_schedule_named(
    holdfast: Holdfast, how: str, jobs: int
) -> None:
    if jobs > 1 and how != DIES["in C"]:
        pytest.skip("once is enough for workers that are started afresh")
    written(body=how)
    done = check(holdfast, jobs)
    assert done.exit_code == 3, done.output
    assert "its worker process died with exit code" in done.output
    assert "in schedule" in done.output and "ends_its_process on memory" in done.output
    assert Path("holdfast-report/coverage.json").exists()


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("activity", "os._exit(0)"),
        ("body", "os._exit(0)"),
        ("activity", "os.abort()"),
        ("activity", "os.kill(os.getpid(), signal.SIGKILL)"),
    ],
)
def test_a_call_that_would_end_the_process_is_refused_by_name(
    holdfast: Holdfast, where: str, code: str
) -> None:
    written(**{where: code})
    done = check(holdfast)
    assert done.exit_code == 3, done.output
    name = code.partition("(")[0]
    assert name in Path("holdfast-report/coverage.json").read_text()


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("body", "sys.exit(0)"),
        ("body", "raise SystemExit"),
        ("body", "await world.until(lambda: sys.exit(0))"),
        ("body", "raise GeneratorExit"),
    ],
)
def test_a_call_of_sys_exit_never_ends_a_check_with_0(holdfast: Holdfast, where: str, code: str) -> None:
    written(**{where: code})
    done = check(holdfast)
    assert done.exit_code in (1, 3), done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("code", ["os._exit(0)", "sys.exit(0)", "raise KeyError('x')", "raise GeneratorExit"])
def test_a_module_that_ends_while_it_is_loaded_is_bad_input(holdfast: Holdfast, code: str) -> None:
    written(module=code)
    done = check(holdfast)
    assert done.exit_code == 2, done.output
    assert "module 'ending' cannot be loaded" in done.stderr and done.stderr.count("\n") == 1


def test_a_factory_that_ends_the_process_is_bad_input(holdfast: Holdfast) -> None:
    done = holdfast("check", "1.1", "--provider", "own_stores:exits")
    assert done.exit_code == 2 and "os._exit(0) was called" in done.stderr
