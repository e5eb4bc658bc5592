"""Process: one boot of a simulated operating system process.

A process is a boot function, run afresh at every start: it has its own loop, clocks, ids and
provider handle, and shares nothing with others but the store.

A crash cuts it off at once, but its coroutines still stand where they waited, with their `finally` and
`except` blocks ahead of them, which no power cut would run. Two things keep those from doing anything:

- The fence: the loop and the provider of a dead process raise `Fenced` whatever they are asked, its clock and
  ids do no harm, and its notifications are dropped. `Fenced` is a `GeneratorExit`, because those blocks run
  when the coroutine is closed, and only that may silently leave a coroutine being closed.
- The time: coroutines are kept (by the tasks of the loop) until the end of the run and closed there. Left to
  the garbage collector, those blocks would run in the middle of another process's step, at a point that
  depends on memory use.
"""

from __future__ import annotations

import asyncio
from asyncio import _set_running_loop
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.contract.observe import LocalEvent
from holdfast.core.contract.provider import Provider
from holdfast.sim.errors import Fenced
from holdfast.sim.loop.clock import ProcessClock
from holdfast.sim.loop.event_loop import Loop
from holdfast.sim.loop.ids import VirtualIds

if TYPE_CHECKING:
    from holdfast.sim.loop.tasks import Task

_CLOSE_ATTEMPTS_MAX: Final = 16
"""How many times to close a coroutine that answers with another await."""


class Process:
    """What a boot function is handed. `boot` counts the starts under this name, from 1.

    Attributes:
        provider: the process's own handle of the store; every call is a step of the world.
        clock, ids: the ports of `core.clock`.
        observer: where local events go (sessions.md 27a); the process itself.
        fallible: whether faults may strike it; they never strike the scenario's own process.
    """

    takes_records = True
    """Log records are part of what is recorded here; in thousands of runs nobody wants to read them."""

    def __init__(
        self,
        name: str,
        boot: int,
        *,
        loop: Loop,
        clock: ProcessClock,
        ids: VirtualIds,
        notify: Callable[[Process, LocalEvent], None],
        draw: Callable[[str, int], int],
        fallible: bool = True,
    ) -> None:
        self.name = name
        self.boot = boot
        self.loop = loop
        self.clock = clock
        self.ids = ids
        self.fallible = fallible
        self.alive = True
        self.crashed = False
        self.stalled = False
        self.provider: Provider
        self.store: Provider
        """The store's own provider object behind `provider`: what the world calls when a request commits."""
        self.timers_announced = False
        """Whether the world already lists this process's due timers as a step."""
        self.main: Task | None = None
        self.ending: Task | None = None
        """The task that ends it in good order, once its boot function is over and something is left."""
        self.blocking_ms: int | None = None
        """How long its blocking calls take, set by the scenario; None leaves it to the tape."""
        self.poll_timeout_max = 0
        """The longest poll timeout of its fetches so far, in milliseconds."""
        self._notify = notify
        self._draw = draw

    def __repr__(self) -> str:
        return f"<Process {self.name}, boot {self.boot}>"

    @property
    def observer(self) -> Process:
        """The observer to hand to the runtime."""
        return self

    def notify(self, event: LocalEvent) -> None:
        """Record a local event (`core.observe.Observer`); those of a dead process are dropped."""
        if self.alive:
            self._notify(self, event)

    def draw(self, site: str, arity: int) -> int:
        """A generated value from 0 to arity - 1, drawn from the tape; 0 is the boring one."""
        if not self.alive:
            raise Fenced(f"process {self.name} has crashed")
        return self._draw(site, arity)

    def begin(self, boot: Callable[[Process], Awaitable[object]]) -> None:
        """Start the boot function as the first task; called in a pass of the loop."""
        assert self.alive, f"{self!r} is dead, it cannot begin"
        assert self.main is None, f"{self!r} has begun already"

        async def main() -> object:
            return await boot(self)

        self.main = self.loop.create_task(main(), name=f"{self.name}/{self.boot}")

    def end(self) -> None:
        """Begin to end, as `asyncio.run` does: cancel what is left, wait for it, close generators, wait for
        the threads of the default executor. Called in a pass of the loop."""
        assert self.ending is None, f"{self!r} is ending already"
        self.ending = self.loop.create_task(self._end(), name=f"end of {self.name}/{self.boot}")

    async def _end(self) -> None:
        left = [task for task in self.loop.unfinished() if task is not self.ending]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in left:
            if not task.cancelled() and (error := task.exception()) is not None:
                message = "unhandled exception during asyncio.run() shutdown"
                self.loop.call_exception_handler({"message": message, "exception": error, "task": task})
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()

    def kill(self) -> None:
        """Cut it off."""
        assert self.alive, f"{self!r} is cut off twice"
        self.alive = False
        self.loop.kill()

    def bury(self) -> None:
        """Close what is left of its coroutines, under the fence."""
        assert not self.alive, f"{self!r} is buried while alive"
        # the dead loop stands in as the running one: it refuses new tasks and closes their coroutines, while
        # with no loop at all `asyncio.create_task` would leave them behind with a warning
        _set_running_loop(self.loop)
        try:
            for task in self.loop.unfinished():
                _close(task)
        finally:
            _set_running_loop(None)
        self.loop.forget()
        self.main = self.ending = None


def _close(task: Task) -> None:
    coroutine: Any = task.get_coro()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    for _ in range(_CLOSE_ATTEMPTS_MAX):
        try:
            coroutine.close()
        except RuntimeError:
            continue  # it awaited something in a `finally`: once more, from there
        except Exception:
            return  # raised by a `finally` of a dead process: nobody is left to hear it
        return
