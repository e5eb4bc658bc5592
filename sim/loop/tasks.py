"""Task, Future and handles of a simulated loop: asyncio's own, in a fixed order.

`TaskGroup`, `asyncio.wait` and users' code keep tasks and futures in sets. Python orders a set by the hashes
of its members, and these hash by their address: which of a group's tasks is cancelled first would depend on
where the allocator put them, and two runs of one tape would differ. Here they hash by a number that their
loop gives out, so that a set of them has the same order in every run. The number is given when it is first
asked for, because most futures never see a set. Equality stays identity: two loops may give one number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # What a loop must have to number its tasks; `loop` imports this module, not the other way round.
    from collections.abc import Iterator

    class _Numbering(asyncio.AbstractEventLoop):
        numbers: Iterator[int]


def _number(self: Future | Task) -> int:
    try:
        return self.number
    except AttributeError:
        loop: _Numbering = self.get_loop()  # type: ignore[assignment]
        self.number = next(loop.numbers)
        return self.number


class Future(asyncio.Future[Any]):
    """A future that hashes by its number."""

    __slots__ = ("number",)
    number: int
    __hash__ = _number


class Task(asyncio.Task[Any]):
    """A task that hashes by its number."""

    __slots__ = ("number",)
    number: int
    __hash__ = _number


class CallHandle:
    """What `call_soon` returns to code that may cancel it."""

    __slots__ = ("_arguments", "_callback")

    def __init__(self, callback: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._callback: Callable[..., object] | None = callback
        self._arguments = arguments

    def run(self) -> None:
        """Call it, unless it was cancelled."""
        if self._callback is not None:
            self._callback(*self._arguments)

    def cancel(self) -> None:
        """Keep it from being called."""
        self._callback = None
        self._arguments = ()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._callback is None


class SharedContextHandle:
    """What `call_soon` returns when the caller passes a context: asyncio's tasks do, and never cancel it.

    One object for all of them, which is most of what makes a task switch cheap.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Refused: there is nothing to tell one callback from another."""
        raise NotImplementedError(
            "a simulated loop cannot cancel a call_soon() with an explicit context;"
            " call context.run() in the callback instead, or use call_later(0, ...)"
        )

    def cancelled(self) -> bool:
        """Never."""
        return False


class Timer:
    """What `call_at` and `call_later` return. `due_us` is on the monotonic clock of its process.

    `cancelled_while_due` is told of its being cancelled while it waits to fire, so that others need not look.
    """

    __slots__ = ("arguments", "callback", "cancelled_while_due", "context", "due_us")

    def __init__(
        self,
        due_us: int,
        callback: Callable[..., object],
        arguments: tuple[object, ...],
        context: Context,
    ) -> None:
        self.due_us = due_us
        self.callback: Callable[..., object] | None = callback
        self.arguments = arguments
        self.context = context
        self.cancelled_while_due: Callable[[], None] | None = None

    def fire(self) -> None:
        """Call it, in the context it was made in."""
        if self.callback is not None:
            self.context.run(self.callback, *self.arguments)

    def when(self) -> float:
        """The due time in seconds of `loop.time()`."""
        return self.due_us / 1_000_000

    def cancel(self) -> None:
        """Keep it from firing."""
        if self.cancelled_while_due is not None:
            self.cancelled_while_due()
            self.cancelled_while_due = None
        self.callback = None
        self.arguments = ()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.callback is None
