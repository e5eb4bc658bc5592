"""Endings: how a process ends when its boot function is over, and what that says about it.

As under `asyncio.run`: what it has left running is cancelled and waited for, which takes passes and steps
like anything else. Only a crash cuts a process off.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.sim.loop.event_loop import Callback
from holdfast.sim.stage.process import Process


class Endings:
    """Ends processes in good order. `broken` tells of those that an exception has ended."""

    def __init__(
        self, run: Callable[[Process, list[Callback]], None], remove: Callable[[Process], None]
    ) -> None:
        self.broken: list[str] = []
        self._run = run
        self._remove = remove

    def exited(self, process: Process, error: SystemExit) -> None:
        """Code of the process called `sys.exit`: its process ends, not the simulator's."""
        assert process.alive, f"{process!r} called sys.exit, but it is dead"
        self.broken.append(f"{process.name}: it called sys.exit({error.code!r})")
        if process.ending is None:
            self._end(process)
        else:
            self._remove(process)  # it did so again, while it was ending

    def after_pass(self, process: Process) -> None:
        """Its boot function may be over: then it ends now, or once what it has left running has ended."""
        main = process.main
        if process.ending is not None:
            if process.ending.done():
                self._remove(process)
        elif main is not None and main.done():
            error = None if main.cancelled() else main.exception()
            if error is not None:
                self.broken.append(f"{process.name}: its boot function raised {error!r}")
            self._end(process)

    def _end(self, process: Process) -> None:
        assert process.ending is None, f"{process!r} is ending already"
        if process.loop.at_work:
            self._run(process, [(process.end, ())])
        else:
            self._remove(process)
