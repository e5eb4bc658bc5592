"""Async generators of a simulated process: closed when they are dropped half-way, and when the process ends.

As on asyncio's own loop, except that those closed at the end are closed in the order in which they began.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import ref

from holdfast.sim.loop import guards

_SWEPT_AT: Final = 64

Generator = Any  # an async generator, of which typing knows no frame


class AsyncGenerators:
    """Those that a process has begun to run through, as long as they live."""

    __slots__ = ("_known", "_sweep_at")

    def __init__(self) -> None:
        self._known: list[ref[Generator]] = []
        self._sweep_at = _SWEPT_AT

    def begun(self, generator: Generator) -> None:
        """One is run for the first time."""
        self._known.append(ref(generator))
        if len(self._known) > self._sweep_at:
            self._known = [known for known in self._known if known() is not None]
            self._sweep_at = max(_SWEPT_AT, 2 * len(self._known))

    def open(self) -> list[Generator]:
        """Those that may have something to close, oldest first."""
        return [one for known in self._known if (one := known()) is not None and one.ag_frame is not None]

    async def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close them all, and complain about those that raise."""
        closing = self.open()
        self._known.clear()
        results = await asyncio.gather(*(one.aclose() for one in closing), return_exceptions=True)
        for generator, result in zip(closing, results, strict=True):
            if isinstance(result, Exception):
                message = f"an error occurred during closing of asynchronous generator {generator!r}"
                loop.call_exception_handler({"message": message, "exception": result, "asyncgen": generator})


@contextmanager
def asyncgen_hooks() -> Iterator[None]:
    """Within this block an async generator dropped half-way is closed by a task of the process that runs.

    One dropped outside every pass belongs to a dead process: nothing of it runs.
    """
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=_begun, finalizer=_dropped)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*before)


def _begun(generator: Generator) -> None:
    loop = guards.running()
    if loop is not None:
        loop.generators.begun(generator)


def _dropped(generator: Generator) -> None:
    loop = guards.running()
    if loop is not None and loop.passing:
        loop.create_task(generator.aclose(), name="aclose")
