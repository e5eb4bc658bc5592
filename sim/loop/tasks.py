"""Task, Future and handles of a simulated loop: asyncio's own, in a fixed order.

`TaskGroup`, `asyncio.wait` and users' code keep tasks and futures in sets. Python orders a set by the hashes
of its members, and these hash by their address: which of a group's tasks is cancelled first would depend on
where the allocator put them, and two runs of one tape would differ. Here they hash by a number that their
loop gives out, so that a set of them has the same order in every run. The number is given when it is first
asked for, because most futures never see a set. Equality stays identity: two loops may give one number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # What a loop must have to number its tasks; `loop` imports this module, not the other way round.
    from collections.abc import Iterator

    class _Numbering(asyncio.AbstractEventLoop):
        numbers: Iterator[int]

        def note_failed(self, future: Future) -> None: ...


def _number(self: Future | Task) -> int:
    try:
        return self.number
    except AttributeError:
        loop: _Numbering = self.get_loop()  # type: ignore[assignment]
        self.number = next(loop.numbers)
        return self.number


class Future(asyncio.Future[Any]):
    """A future that hashes by its number. Its loop is told of one that has failed: somebody must hear it."""

    __slots__ = ("number",)
    number: int
    __hash__ = _number

    def set_exception(self, exception: Any) -> None:
        """As asyncio's."""
        super().set_exception(exception)
        loop: _Numbering = self.get_loop()  # type: ignore[assignment]
        loop.note_failed(self)


class Task(asyncio.Task[Any]):
    """A task that hashes by its number."""

    __slots__ = ("number",)
    number: int
    __hash__ = _number


class CallHandle(asyncio.Handle):
    """What `call_soon` returns to code that may cancel it."""

    __slots__ = ()
    _callback: Callable[..., object] | None
    _args: Sequence[Any]

    # asyncio's own asks the loop whether it is debugged; this one is made at every `call_soon`
    def __init__(
        self, callback: Callable[..., object], args: tuple[object, ...], loop: Any, context: Context
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = context
        self._cancelled = False
        self._repr = self._source_traceback = None

    def run(self) -> None:
        """Call it, unless it was cancelled; a pass runs this in the context of the handle."""
        if self._callback is not None:
            self._callback(*self._args)

    def called(self) -> tuple[Callable[..., object] | None, Sequence[Any]]:
        """What it calls, and with which arguments; None once it is cancelled."""
        return self._callback, self._args


class SharedHandle:
    """What `call_soon` returns to tasks, which drop it unseen: one object for all of them.

    That is most of what makes a task switch cheap.
    """

    __slots__ = ()


class Timer(asyncio.TimerHandle):
    """What `call_at` and `call_later` return. `due_us` is on the monotonic clock of its process.

    `_when` is the float that the caller asked for; None if that was `due_us` itself. `shows` is what the
    clock shows at least once it has fired. asyncio's own `__init__` is left out: it costs more than all else.
    `cancelled_while_due` is told of its being cancelled while it waits to fire, so that others need not look.
    """

    __slots__ = ("arguments", "callback", "cancelled_while_due", "context", "due_us", "shows")

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
        self._when: float | None = None
        self.shows = 0.0

    def __repr__(self) -> str:
        shown = "cancelled" if self.callback is None else repr(self.callback)
        return f"<Timer when={self.when()} {shown}>"

    def fire(self) -> None:
        """Call it, in the context it was made in."""
        if self.callback is not None:
            self.context.run(self.callback, *self.arguments)

    def when(self) -> float:
        """The due time in seconds of `loop.time()`."""
        return self.due_us / 1_000_000 if self._when is None else self._when

    def get_context(self) -> Context:
        """The context it fires in."""
        return self.context

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

    # asyncio's timers compare by attributes that are not filled here
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return hash(self.when())


def _step_type() -> type:
    """The type of what a task written in C hands to `call_soon` for its first step."""
    found: list[type] = []

    class Probe:
        get_debug = bool

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
            found.append(type(callback))

    coroutine = asyncio.sleep(0)
    loop: Any = Probe()
    probe = asyncio.Task(coroutine, loop=loop)
    probe._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine.close()
    assert len(found) == 1, f"a new task schedules its first step, and this one scheduled {found}"
    return found[0]


STEP: Final[Any] = _step_type()
"""The first step of a task, or one after a bare yield."""

BUILTIN: Final[Any] = type(len)
"""What a task written in C hands to a future to be woken is one of these, bound to the task."""
