"""A worker on asyncio and on the machine's clock, for tests of what user code and stores may do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from holdfast.core.client import Client
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime
from holdfast.system import SystemClock, SystemIds

OPTIONS = RuntimeOptions(dispatcher_min_poll_interval=timedelta(milliseconds=1), max_attempts=3)
SOON = timedelta(seconds=30)
"""What is waited for comes at once; this is for a machine that is busy."""


class Records:
    """The log records that were written."""

    def __init__(self) -> None:
        self.logged: list[Logged] = []

    def notify(self, event: LocalEvent) -> None:
        if isinstance(event, Logged):
            self.logged.append(event)


def run(
    store: Any, registry: Registry, body: Callable[[Client], Awaitable[None]], seen: Records | None = None
) -> None:
    """Run a worker beside the body; it must not end before it is told to."""

    async def both() -> None:
        runtime = Runtime(
            store.open(), registry, OPTIONS, clock=SystemClock(), ids=SystemIds(), observer=seen
        )
        working = asyncio.create_task(runtime.run())
        try:
            await body(Client(store.open(), clock=SystemClock()))
            assert not working.done(), working
        finally:
            await runtime.shutdown()
            await working

    asyncio.run(both())
