"""Runs one program on asyncio's loop and on a simulated one, and says what came of it there."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import selectors
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from holdfast.providers.memory import memory_store
from holdfast.sim.exploring.explorer import run_schedule
from holdfast.sim.loop.ways_out import bound_names
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import Strategy
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

Program = Callable[[], Awaitable[object]]

_monotonic = time.monotonic


@dataclass(frozen=True)
class Outcome:
    """What a program has answered or raised, and what was logged meanwhile, in any order."""

    answer: str
    logged: tuple[str, ...]


def as_text(value: object) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


async def answer_of(program: Program) -> str:
    try:
        return as_text(await program())
    except Exception as error:
        return f"raised {as_text(error)}"
    except asyncio.CancelledError as error:
        return f"raised {as_text(error)}"


class _HastyLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, except that its clock jumps instead of waiting, while no thread is at work."""

    def __init__(self) -> None:
        super().__init__(selectors.DefaultSelector())
        self._ahead = 0.0
        self._in_threads = 0
        wait = self._selector.select

        def select(timeout: float | None = None) -> Any:
            if timeout is None or timeout <= 0 or self._in_threads:
                return wait(timeout)
            self._ahead += timeout
            return wait(0)

        self._selector.select = select

    def time(self) -> float:
        return _monotonic() + self._ahead

    @contextmanager
    def shown_to(self, packages: tuple[str, ...]) -> Iterator[None]:
        """Within this block libraries read a clock that has jumped as this loop's has."""
        clocks = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")}
        ahead: dict[int, Any] = {
            id(clock): lambda clock=clock: clock() + self._ahead for clock in clocks.values()
        }
        places = list(bound_names(packages, ahead)) if packages else []
        replaced = [(owner, name, getattr(owner, name), new) for owner, name, new in places]
        replaced += [(time, name, clock, ahead[id(clock)]) for name, clock in clocks.items() if packages]
        for owner, name, _, new in replaced:
            setattr(owner, name, new)
        try:
            yield
        finally:
            for owner, name, old, _ in replaced:
                setattr(owner, name, old)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, future: Any) -> None:
        self._in_threads -= 1


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().splitlines()[0]
        error = record.exc_info[1] if record.exc_info else None
        self.lines.append(words if error is None else f"{words}: {as_text(error)}")


def on_asyncio(program: Program, virtual_clock_for: tuple[str, ...] = ()) -> Outcome:
    """What comes of it on asyncio's loop, whose log and warnings are heard."""
    log, logger = _Log(), logging.getLogger("asyncio")
    logger.addHandler(log)
    propagate, logger.propagate = logger.propagate, False
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with (
                asyncio.Runner(loop_factory=_HastyLoop) as runner,
                cast(_HastyLoop, runner.get_loop()).shown_to(virtual_clock_for),
            ):
                answer = runner.run(answer_of(program))
            gc.collect()
    finally:
        logger.removeHandler(log)
        logger.propagate = propagate
    unawaited = [str(one.message) for one in warned if "never awaited" in str(one.message)]
    return Outcome(answer, tuple(sorted(map(_shortened, log.lines + unawaited))))


def simulated(program: Program, strategy: Strategy, *, virtual_clock_for: tuple[str, ...] = ()) -> Outcome:
    """What comes of it in a simulated process."""
    answers: list[str] = []

    async def boot(process: Process) -> None:
        answers.append(await answer_of(program))

    async def body(world: World) -> None:
        await world.process("p", boot).stopped()

    strategy.begin(1)
    made = scenario(covers=["test"], register=False, virtual_clock_for=virtual_clock_for)(body)
    run = run_schedule(made, memory_store, strategy)
    assert run.error is None, run.error
    assert run.cut_off is None, run.why_cut_off
    assert not run.failures, run.failures
    return Outcome(answers[0], tuple(sorted(map(_shortened, run.complaints))))


def _shortened(line: str) -> str:
    """Without what only one of the two says: the process, the task, places in files."""
    line = line.removeprefix("p/1: ")
    line = re.sub(r" \((task|[\w.<>]+\.py:\d+)[^()]*(\(\)[^()]*)*\)", "", line)
    line = re.sub(r" at /[^ ]*:\d+", "", line)
    return re.sub(r" at 0x[0-9a-f]+", "", line)
