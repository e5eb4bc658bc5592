"""Handle: a scenario's control of one of its processes, by name, across all its boots."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal

from holdfast.core.runtime import Runtime
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.stage import Stage

Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Handle:
    """A process of a world. Scripted faults: `crash`, `restart`, `stall`; an orderly end: `shutdown`."""

    def __init__(self, name: str, stage: Stage, until: Until) -> None:
        self.name = name
        self.runtime: Runtime | None = None
        """The runtime of the current boot; None before its first step, and for other processes."""
        self.process: Process | None = None
        """The current boot, or the last one."""
        self._stage = stage
        self._until = until
        self.runs_runtime = False

    def __repr__(self) -> str:
        return f"<Handle {self.name}, boot {self.boot}, {'alive' if self.alive else 'dead'}>"

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.alive

    @property
    def boot(self) -> int:
        """The number of the current boot, from 1; 0 before the first."""
        return 0 if self.process is None else self.process.boot

    @property
    def worker_id(self) -> str | None:
        """The owner identity of the current boot; None until its runtime has been made."""
        assert self.runtime is None or self.process is not None, f"{self.name} has a runtime and no process"
        return None if self.runtime is None else self.runtime.owner_identity

    def crash(self) -> None:
        """Cut it off now: calls it has sent but not committed are lost. Does nothing if it is dead."""
        if self.process is not None and self.process.alive:
            self._stage.crash(self.process)

    def restart(self, identity: Literal["fresh", "same"] = "fresh") -> None:
        """Start it again, cold. Does nothing if it is running. `same` keeps the owner identity."""
        if not self.alive:
            self.runtime = None
            self._stage.restart(self.name, same_identity=identity == "same")
            assert self.alive, f"{self!r} does not run, though it was started again"

    def stall(self, seconds: float) -> None:
        """Let it hear and run nothing for `seconds`. Raises ValueError if they are negative."""
        if seconds < 0:
            raise ValueError(f"a stall lasts {seconds} seconds, expected 0 or more")
        if self.process is not None:
            self._stage.stall(self.process, round(seconds * 1000))

    def jump_wall_clock(self, ms: int) -> None:
        """Let its wall clock jump by `ms`, forward or back."""
        if self.process is not None:
            self._stage.jump_wall_clock(self.process, ms)

    async def shutdown(self, timeout_s: float | None = None) -> None:
        """Shut its runtime down gracefully, or at once if `timeout_s` is 0; return when the process has
        ended.

        A crash meanwhile counts as its end. Raises RuntimeError if the process runs no runtime.
        """
        process = self.process
        if not self.runs_runtime:
            raise RuntimeError(f"process {self.name} runs no runtime that could be shut down")
        if process is None or not process.alive:
            return
        await self._until(lambda: self.runtime is not None or not process.alive)
        if (runtime := self.runtime) is None or not process.alive:
            return
        timeout = None if timeout_s is None else timedelta(seconds=timeout_s)
        self._stage.post(process, _shut_down, process, runtime, timeout)
        await self._until(lambda: not process.alive)

    async def stopped(self) -> None:
        """Wait until the current boot has crashed or ended."""
        process = self.process
        if process is not None:
            await self._until(lambda: not process.alive)


def _shut_down(process: Process, runtime: Runtime, timeout: timedelta | None) -> None:
    process.loop.create_task(runtime.shutdown(timeout), name="shutdown")
