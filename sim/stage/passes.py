"""Passes: the code of processes runs guarded, and is watched: one that never comes to its end is a finding.

The watchdog is that of a worker (`core.hosting.watching_thread`), and does to a turn what it does there. It
counts the CPU time of the machine, which is no part of a simulation: a run that it ends has a tape up to that
place and is evidence for nothing, and it has no digest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from holdfast.core.contract.ids import Micros
from holdfast.core.contract.watchdog import Overrun, Watchdog
from holdfast.core.hosting.watching_thread import PROCESS, CpuWatchdog
from holdfast.sim.errors import NeverYields
from holdfast.sim.loop import guards

if TYPE_CHECKING:
    from holdfast.sim.loop.event_loop import Callback
    from holdfast.sim.stage.process import Process

_T = TypeVar("_T")

CPU_US: Final = Micros(10_000_000)
"""The CPU time of a pass, unless a run has another limit."""

WALL_S: Final = 120.0
"""After so long a pass is interrupted even if it uses no CPU: nothing in a simulation can end its wait."""


class Passes:
    """Runs the passes of one world."""

    def __init__(self) -> None:
        self.overran: list[str] = []
        self.limit(CPU_US)
        PROCESS.start()

    def limit(self, cpu_us: int) -> None:
        """Allow each pass so much CPU time."""
        self._cpu_us = cpu_us
        self._watchdog = CpuWatchdog(cpu_us, wall_s=WALL_S)

    def run(self, process: Process, callbacks: list[Callback]) -> SystemExit | None:
        """One pass; how its code exited, if it did. Raises NeverYields if the pass did not end."""
        assert not self.overran, f"{process!r} runs on after {self.overran}"
        guards.enter(process.loop.name, process.loop)
        try:
            self._watched(f"process {process.loop.name}", partial(process.loop.run_until_waiting, callbacks))
        except SystemExit as error:
            return error
        finally:
            guards.leave()
        if self.overran:
            raise NeverYields(self.overran[0])
        return None

    def end(self, bury: Callable[[], None]) -> None:
        """Close what is left of all processes: that runs their code once more."""
        self._watched("the code of processes that are closed at the end of the run", bury)

    def watchdog(self, cpu_us: Micros, stuck: Callable[[str], None]) -> Watchdog:
        """For the turns of one runtime."""
        return _TurnWatchdog(CpuWatchdog(min(cpu_us, self._cpu_us), stuck), self.overran)

    def _watched(self, subject: str, call: Callable[[], None]) -> None:
        try:
            self._watchdog.run(subject, call)
        except Overrun as overrun:
            self.overran.append(str(overrun))


class _TurnWatchdog:
    """A worker's: the turn is given back as it is in production, and the run ends with the pass."""

    def __init__(self, watchdog: Watchdog, overran: list[str]) -> None:
        self._watchdog = watchdog
        self._overran = overran

    def run(self, subject: str, call: Callable[[], _T]) -> _T:
        try:
            return self._watchdog.run(subject, call)
        except Overrun as overrun:
            self._overran.append(str(overrun))
            raise
