"""What asyncio would have logged is printed by `holdfast check` and `holdfast replay`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from holdfast.sim.toolkit.scenario import _SCENARIOS

MUTTERING = '''
import asyncio
from holdfast.sim import World, scenario


@scenario(covers=["5.1"])
async def mutters(world: World) -> None:
    """A callback raises, and an oracle does not hold."""

    async def boot(process):
        process.loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    await world.process("p", boot).stopped()
    with world.oracle("5.1"):
        raise AssertionError("nothing holds")
'''

COMPLAINT = "p/1: Exception in callback mutters.<locals>.boot.<locals>.<lambda>() at "


@pytest.fixture
def own(holdfast: Callable[..., Result], tmp_path: Path) -> Iterator[tuple[str, ...]]:
    (tmp_path / "muttering.py").write_text(MUTTERING)
    yield "--scenario", "muttering"
    sys.modules.pop("muttering", None)
    _SCENARIOS.pop("mutters", None)


def test_complaints_are_printed_once_with_the_first_run(
    holdfast: Callable[..., Result], own: tuple[str, ...]
) -> None:
    few = ("--jobs", 1, "--schedules", 3, "--provider", "memory")
    done = holdfast("check", "mutters", *own, *few)
    assert done.exit_code == 1, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("would have been logged: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"would have been logged: mutters on memory, schedule 0: {COMPLAINT}")
    assert "division by zero" in lines[0]

    (trace,) = Path("holdfast-report/traces").iterdir()
    replayed = holdfast("replay", trace, *own)
    assert f"would have been logged: {COMPLAINT}" in replayed.output
    as_data = json.loads(holdfast("replay", trace, *own, "--json").stdout)
    assert len(as_data["complaints"]) == 1 and as_data["complaints"][0].startswith(COMPLAINT)
