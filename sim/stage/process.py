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
        self.blocking_ms: int | None = None
        """How long its blocking calls take, set by the scenario; None leaves it to the tape."""
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
        self.main = None


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
