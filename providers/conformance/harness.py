"""What the suite must know of the provider under test, and the clock and ids it supplies (PV-33.1)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.store import Store

_LOCK_TIMEOUT = Millis(5_000)
_SHORT_POLL_THRESHOLD = Millis(100)
_NO_LATENCY = Millis(0)

START_OF_TIME = Millis(1_700_000_000_123)
"""What the clock shows when a store is created: an ordinary day, not a whole second."""


class SteppedClock:
    """The store's clock of a check: it stands still until it is told to advance (PV-3.3, PV-33.1)."""

    def __init__(self) -> None:
        self.now = START_OF_TIME

    def __call__(self) -> Millis:
        return self.now

    def advance(self, by: int) -> None:
        """Let `by` milliseconds pass; a negative number sets the clock back."""
        self.now = Millis(self.now + by)


class CountingIds:
    """Ids that are unique and the same in every run; safe to share between threads."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def token(self) -> LockToken:
        """The next number, as 32 hexadecimal digits."""
        return LockToken(f"{next(self._numbers):032x}")

    def guid(self) -> str:
        """The next number in the shape of a version 4 UUID."""
        return f"00000000-0000-4000-8000-{next(self._numbers):012x}"

    def bits(self, count: int) -> int:
        """The next number, cut to `count` bits."""
        return next(self._numbers) % (1 << count)


ImplicitContent = Literal["nothing", "row", "event", "item"]
"""What names session `s` in a store of the implicit feature: nothing, its row, or an event or item of `i`."""


class ImplicitStore(Protocol):
    """A store with an instance `i` whose session table has the shape of the implicit feature (PV-27.10)."""

    def open(self) -> Provider:
        """Open it with the provider under test: refused, or adopted if nothing names a session."""
        ...

    def contents(self) -> object:
        """Its whole content, in a form that can be compared: every byte if it is a file."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory:
    """The provider under test (PV-33.1).

    `create` makes a fresh, isolated store each time it is called; `many_loops` says that one store serves
    several event loops in several threads (PV-29.4); `rounds` is how often each race is run.
    `wrap`, the metrics wrapper, and `implicit_store` are optional: checks that need them are skipped, with
    the reason.
    """

    create: Callable[[ProviderClock, IdSource], Store]
    long_polling: bool = False
    durable: bool = False
    lock_timeout: Millis = _LOCK_TIMEOUT
    short_poll_threshold: Millis = _SHORT_POLL_THRESHOLD
    latency: Millis = _NO_LATENCY
    rounds: int = 50
    many_loops: bool = False
    wrap: Callable[[Provider], Provider] | None = None
    implicit_store: Callable[[ProviderClock, IdSource, ImplicitContent], ImplicitStore] | None = None


class Skipped(Exception):
    """The check does not apply, or needs something this factory or store does not offer."""


class Broken(AssertionError):
    """The provider does not do what the check claims."""
