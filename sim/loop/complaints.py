"""Complaints: what asyncio and Python would have logged in a simulated process, as texts of the run's result.

Exceptions that nobody retrieved, callbacks that raised, coroutines that were never awaited, exceptions in
`__del__`. On a real loop a line in a log is all that tells of them, and often the first sign of a fault.

A text holds no address and no time, so that it is the same in every run of a tape. When it is made does not
depend on the garbage collector either, which is off during a run: what only a collection would have found is
looked for once, when its process ends.
"""

from __future__ import annotations

import asyncio
import re
import sys
import warnings
from asyncio.format_helpers import _format_callback_source
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from types import TracebackType
from typing import Any, Final

from holdfast.core.contract.user_texts import innermost, line_of
from holdfast.core.hosting.log import FAILED_ASSERTION
from holdfast.sim.errors import Fenced
from holdfast.sim.loop.guards import RunningLoop
from holdfast.sim.loop.refusals import RefusingLoop
from holdfast.sim.loop.tasks import CallHandle, Timer

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")

_SHOWN_MAX: Final = 1000
"""Characters of a value that are shown: it may be as large as its author likes."""

_OWNER_KEYS: Final = ("task", "future", "handle")
"""Where the context of an exception handler says whose exception it is, in the order asyncio looks there."""


def shown(value: object) -> str:
    """Its `repr`, without addresses, on one line; its type if it has no `repr`."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__qualname__} whose repr() raises>"
    text = _ADDRESS.sub("", " ".join(text.split()))
    assert "\n" not in text, f"{text!r} is to be one line"
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}... ({len(text)} characters)"


def place_of(traceback: TracebackType | None) -> str:
    """Where an exception was raised, in parentheses and after a space; empty if nothing is known."""
    end = innermost(traceback)
    return "" if end is None else f" ({line_of(end.tb_frame.f_code, end.tb_lineno)})"


def text_of(context: Mapping[str, Any]) -> str:
    """What the context of an exception handler says, in one line."""
    message = context.get("message") or "Unhandled exception in event loop"
    words = _ADDRESS.sub("", message) if isinstance(message, str) else shown(message)
    task = next((context[key] for key in _OWNER_KEYS if context.get(key) is not None), None)
    if isinstance(task, asyncio.Task):
        words += f" (task {task.get_name()!r} of {getattr(task.get_coro(), '__qualname__', 'unknown code')})"
    elif (generator := context.get("asyncgen")) is not None:
        words += f" ({getattr(generator, '__qualname__', 'unknown code')})"
    error = context.get("exception")
    if error is not None:
        words += f": {shown(error)}{place_of(getattr(error, '__traceback__', None))}"
    return words


def raised_in(
    callback: Callable[..., object], arguments: tuple[object, ...], error: BaseException
) -> dict[str, Any]:
    """What asyncio tells an exception handler of a callback that has raised."""
    handle: Any = getattr(callback, "__self__", None)
    if isinstance(handle, Timer):
        callback, arguments = handle.callback or callback, handle.arguments
    elif isinstance(handle, CallHandle):
        called, given = handle.called()
        callback, arguments = called or callback, tuple(given or ())
    else:
        handle = None
    assert callable(callback), f"{callback!r} was called and has raised {error!r}"
    source = _format_callback_source(callback, arguments)
    return {"message": f"Exception in callback {source}", "exception": error, "handle": handle}


def _context_of(context: Mapping[str, Any]) -> Context | None:
    """The context that the task, future or handle has, in which its handler is called."""
    thing = next((context[key] for key in _OWNER_KEYS if context.get(key) is not None), None)
    own: Context | None = thing.get_context() if thing is not None and hasattr(thing, "get_context") else None
    return own


class ComplainingLoop(RefusingLoop):
    """The part of a simulated loop that hears what nobody else does: exception handlers, and complaints."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.complaints: list[str] = []
        self._dead = False
        self._handler: Callable[[Any, dict[str, Any]], object] | None = None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell the handler that the process has set, else record the complaint; nothing if the loop is dead.

        A failed assertion of ours is recorded in any case: the run has failed by it.
        """
        if self._dead:
            return
        if self._handler is None:
            self.default_exception_handler(context)
            return
        try:
            if context.get("message") == FAILED_ASSERTION:
                self.default_exception_handler(context)
            own = _context_of(context)
            if own is None:
                self._handler(self, context)
            else:
                own.run(self._handler, self, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.default_exception_handler(
                {"message": "Unhandled error in exception handler", "exception": error, "context": context}
            )

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Record the complaint: what asyncio would log."""
        if self._dead:
            return
        try:
            words = text_of(context)
        except Exception as error:  # what code under test hands in need not be what a context is
            words = f"Exception in default exception handler: {shown(error)}"
        self.complaints.append(f"{self.name}: {words}")

    def set_exception_handler(self, handler: Any) -> None:
        """Called instead of recording complaints; None to have them recorded again."""
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._handler = handler

    def get_exception_handler(self) -> Any:
        """The handler set, if any."""
        return self._handler


@contextmanager
def overhearing(running: Callable[[], RunningLoop | None]) -> Iterator[None]:
    """Within this block what Python itself would print becomes a complaint of the process that is running.

    `running` tells whose. While none is, what is left of a crashed process may be torn down: a coroutine that
    it did not come to await says nothing then, nor does its fence.
    """

    def unawaited(coroutine: Any) -> None:
        if (loop := running()) is not None:
            code = coroutine.cr_code
            file = code.co_filename.rsplit("/", 1)[-1]
            place = f"({file}:{code.co_firstlineno})"
            loop.complaints.append(
                f"{loop.name}: coroutine {coroutine.__qualname__!r} was never awaited {place}"
            )

    def unraisable(found: sys.UnraisableHookArgs, /) -> None:
        if (loop := running()) is not None:
            what = found.err_msg or "Exception ignored in"
            owner = getattr(found.object, "__qualname__", None) or shown(found.object)
            error = found.exc_type.__name__ if found.exc_value is None else shown(found.exc_value)
            loop.complaints.append(f"{loop.name}: {what}: {owner}: {error}{place_of(found.exc_traceback)}")
        elif not issubclass(found.exc_type, Fenced):
            before(found)

    before = sys.unraisablehook
    python: Any = warnings  # Python looks this function up at every coroutine that it finds unawaited
    warn = getattr(python, "_warn_unawaited_coroutine", None)
    assert warn is not None, "this Python tells of unawaited coroutines in a way that is not known here"
    sys.unraisablehook = unraisable
    python._warn_unawaited_coroutine = unawaited
    try:
        yield
    finally:
        sys.unraisablehook = before
        python._warn_unawaited_coroutine = warn
