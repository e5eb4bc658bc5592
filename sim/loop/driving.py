"""Driving: running a provider's coroutine to its end within one step."""

from __future__ import annotations

from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from holdfast.sim.errors import ProviderSuspended
from holdfast.sim.loop.event_loop import Loop

_Result = TypeVar("_Result")


@contextmanager
def store_loop_running(loop: Loop) -> Iterator[None]:
    """Between passes the store's loop is the running one: it runs the blocking work of provider calls inline.

    Once for a whole run, because asking the machine which loop runs costs more than a commit's bookkeeping.
    """
    running = _get_running_loop()
    assert running is None, f"a run within another one: {running} is running"
    _set_running_loop(loop)
    try:
        yield
    finally:
        _set_running_loop(None)


def drive(coroutine: Coroutine[object, None, _Result], operation: str) -> _Result:
    """The result of a provider call, which may wait for nothing but `run_in_executor`.

    Raises what the call raises, and ProviderSuspended, naming the await, if it waits for anything else.
    """
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: _Result = finished.value
        return result
    awaited = _innermost(coroutine)
    coroutine.close()
    raise ProviderSuspended(
        f"{operation} of the provider waits for {awaited}; in a simulation a provider call must finish"
        " without waiting: use loop.run_in_executor for blocking work, and answer a fetch with None"
    )


def _innermost(coroutine: Any) -> str:
    """Where the chain of awaits ends, for people."""
    place = repr(coroutine)
    while True:
        inner = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
        if inner is None:
            return place
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            file = frame.f_code.co_filename.rsplit("/", 1)[-1]
            place = f"{inner!r} in {frame.f_code.co_qualname} ({file}:{frame.f_lineno})"
        coroutine = inner
