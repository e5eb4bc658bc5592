"""A scenario module of somebody else, importable by name, and the command line run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast.cli import main, output
from holdfast.sim.toolkit.scenario import _SCENARIOS

SCENARIOS = '''
from datetime import timedelta
from holdfast.core import Registry
from holdfast.sim import FaultBudget, World, scenario

OPTIONS = {"session_lock_duration": timedelta(seconds=60)}


def conversation():
    registry = Registry()

    @registry.orchestration("conversation")
    async def conversation(ctx, input):
        session = ctx.open_session()
        said = [await ctx.schedule_activity_on_session("say", str(n), session) for n in range(3)]
        ctx.close_session(session)
        return ",".join(said)

    @registry.activity("say")
    async def say(ctx, input):
        return f"said {input}"

    return registry


@scenario(covers=["5.1"], workers=2, faults=FaultBudget(crash=1), options=OPTIONS, level="fault")
async def talks(world: World) -> None:
    """It ends as it should."""
    for name in ("a", "b"):
        world.worker(name, conversation)
    await world.client.start_orchestration("i", "conversation")
    status = await world.finished("i")
    with world.oracle("5.1"):
        assert status.output == "said 0,said 1,said 2"


@scenario(covers=["5.2"], workers=2, faults=FaultBudget(crash=1), options=OPTIONS, level="fault")
async def never_crashes(world: World) -> None:
    """An oracle that does not hold once a worker has crashed."""
    for name in ("a", "b"):
        world.worker(name, conversation)
    await world.client.start_orchestration("i", "conversation")
    await world.finished("i")
    with world.oracle("5.2"):
        assert not any(fault.kind == "crash" for fault in world.faults), "a worker crashed"
'''

STORES = '''
import multiprocessing
import os

from holdfast.providers.memory import memory_store


def mine(clock, ids):
    return memory_store(clock, ids, long_polling=False)


class Bare:
    """A store without any inspection hook."""

    def __init__(self, store):
        self.open, self.close = store.open, store.close


def bare(clock, ids):
    return Bare(mine(clock, ids))


def broken(clock, ids):
    raise OSError("no disk")


class Dies:
    """A store that ends its process when it is opened, but not in the process of the command."""

    def __init__(self, store):
        self.store = store

    def __getattr__(self, name):
        return getattr(self.store, name)

    def open(self, *args):
        if multiprocessing.parent_process() is not None:
            os._exit(9)
        return self.store.open(*args)


def dies(clock, ids):
    return Dies(mine(clock, ids))


def exits(clock, ids):
    os._exit(0)


number = 7
'''

Holdfast = Callable[..., Result]


@pytest.fixture
def holdfast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Holdfast]:
    """Runs `holdfast ARGUMENTS` in an empty folder with `own_scenarios` and `own_stores` at hand.

    No kill matrix comes with the code there: what a test verifies it has hunted itself.
    """
    monkeypatch.setattr(output, "SHIPPED", tmp_path / "shipped.json")
    (tmp_path / "own_scenarios.py").write_text(SCENARIOS)
    (tmp_path / "own_stores.py").write_text(STORES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    yield run
    for name in ("own_scenarios", "own_stores"):
        sys.modules.pop(name, None)
    for name in ("talks", "never_crashes"):
        _SCENARIOS.pop(name, None)
