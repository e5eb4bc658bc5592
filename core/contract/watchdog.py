"""Watchdog: who notices that user code runs without an end, and stops it.

Orchestration code runs in the worker's event loop and never waits within a turn: while it computes, nothing
else happens in the process. The watchdog counts CPU time, not the time that passes, so that a busy machine, a
debugger or a process that was stopped for a while never looks like code that has no end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar, cast

from holdfast.core.contract.ids import Micros

_T = TypeVar("_T")

STUCK_EXIT_CODE: Final = 24
"""How a worker process ends whose code cannot be interrupted: a call that does not come back to Python. It is
the number of SIGXCPU."""


class Overrun(BaseException):
    """User code used up its CPU time and was interrupted; the text says whose, how much, and where it was.

    A BaseException, so that `except Exception` does not swallow it in the code that it is raised into. Code
    that swallows it all the same meets it again, and the call that was watched ends with it in any case.
    """


class Watchdog(Protocol):
    """Watches one call at a time on each thread."""

    def run(self, subject: str, call: Callable[[], _T]) -> _T:
        """Call it. Raises Overrun if it used more CPU time than it may, whatever became of it."""
        ...


class Watching(Protocol):
    """A clock that can watch as well: it knows the CPU time of its process."""

    @property
    def watchdog(self) -> Callable[[Micros, Callable[[str], None]], Watchdog | None]:
        """Makes a watchdog with a limit for each call; the function hears of a call that ends the process."""
        ...


def watching(clock: object) -> Watching | None:
    """The clock itself if it can watch."""
    return cast(Watching, clock) if hasattr(clock, "watchdog") else None
