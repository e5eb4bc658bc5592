"""The machine's clock and randomness, in the form that the runtime and the providers are given them.

The only place of the package that asks the machine for time or randomness.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.watchdog import Watchdog
from holdfast.core.hosting.watching_thread import CpuWatchdog

if TYPE_CHECKING:
    from holdfast.core.runtime import Runtime

__all__ = ["SystemClock", "SystemIds", "provider_clock", "serve"]


class SystemClock:
    """The clock of a worker or client process on the running asyncio loop."""

    def now_ms(self) -> Millis:
        """The wall clock."""
        return Millis(time.time_ns() // 1_000_000)

    def monotonic_us(self) -> Micros:
        """The monotonic clock."""
        return Micros(time.monotonic_ns() // 1_000)

    async def sleep_until(self, due: Micros) -> None:
        """Wait until the monotonic clock has reached `due`; a loop may wake a little early, so look again."""
        while (left := due - self.monotonic_us()) > 0:
            await asyncio.sleep(left / 1_000_000)

    def watchdog(self, cpu_us: Micros, stuck: Callable[[str], None]) -> Watchdog:
        """Watches turns on the threads of this process (`RuntimeOptions.turn_cpu_limit`)."""
        return CpuWatchdog(cpu_us, stuck)


class SystemIds:
    """Names from the machine's source of randomness."""

    def token(self) -> LockToken:
        """A lock token: 122 random bits."""
        return LockToken(uuid.uuid4().hex)

    def guid(self) -> str:
        """A random UUID, version 4."""
        return str(uuid.uuid4())

    def bits(self, count: int) -> int:
        """A number of `count` random bits."""
        return secrets.randbits(count)


async def serve(runtime: Runtime, *, shutdown_timeout: timedelta | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT, then shut it down and return (RT-21.6).

    That takes the timeout (None: one second) and at most a second more for the last provider calls, whatever
    the activities do: a thread that does not return is left behind, and does not keep the process alive. A
    second signal does what it does by default. On the main thread only; raises what `Runtime.run` raises.
    """
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    running = asyncio.ensure_future(runtime.run(shutdown_timeout=shutdown_timeout))
    told = False

    def stop() -> None:
        nonlocal told
        told = True
        for each in signals:
            loop.remove_signal_handler(each)
        running.cancel()

    for each in signals:
        loop.add_signal_handler(each, stop)
    try:
        await running
    except asyncio.CancelledError:
        if not told:
            raise
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def provider_clock() -> Millis:
    """The clock of a store in this process: milliseconds since the epoch (PV-3.2)."""
    return Millis(time.time_ns() // 1_000_000)
