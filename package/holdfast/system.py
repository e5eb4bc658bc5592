"""The machine's clock and randomness, in the form that the runtime and the providers are given them.

The only place of the package that asks the machine for time or randomness.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid

from holdfast.core.contract.ids import LockToken, Micros, Millis

__all__ = ["SystemClock", "SystemIds", "provider_clock"]


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


def provider_clock() -> Millis:
    """The clock of a store in this process: milliseconds since the epoch (PV-3.2)."""
    return Millis(time.time_ns() // 1_000_000)
