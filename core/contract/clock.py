"""The ports through which the runtime and the providers learn about time and chance.

Nothing in `core` or `providers` asks the machine. In production the front door passes in the system's clock
and ids (`holdfast.system`); in the simulator the world passes in virtual ones.
"""

from collections.abc import Callable
from typing import Protocol

from holdfast.core.contract.ids import LockToken, Micros, Millis

ProviderClock = Callable[[], Millis]
"""A store's one authoritative clock: milliseconds since the Unix epoch (PV-3.2, PV-3.3)."""


class Clock(Protocol):
    """What one worker or client process knows of time (SS-24.2, SS-24.8)."""

    def now_ms(self) -> Millis:
        """The wall clock. It may jump; no lease is ever judged by it."""
        ...

    def monotonic_us(self) -> Micros:
        """The monotonic clock that all schedules of a worker are kept on."""
        ...

    async def sleep_until(self, due: Micros) -> None:
        """Wait until `monotonic_us()` has reached `due`; return at once if it has."""
        ...


class IdSource(Protocol):
    """The source of unguessable names."""

    def token(self) -> LockToken:
        """A lock token, unique among all ever made by this store; at least 122 random bits (PV-7.5)."""
        ...

    def guid(self) -> str:
        """A random UUID, version 4, lower case and hyphenated (RT-18.2)."""
        ...

    def bits(self, count: int) -> int:
        """A number of `count` random bits; a worker's owner identity is made from one (SS-3.11)."""
        ...
