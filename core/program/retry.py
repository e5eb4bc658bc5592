"""RetryPolicy: how often, how soon, how long (RT-12). Pure arithmetic; the context does the waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import inf

from holdfast.core.contract.arguments import OF_OPTIONS, able, duration, number
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.ids import INT63_MAX
from holdfast.core.contract.user_texts import shown

_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class NoBackoff:
    """Try again at once; no timer is created (RT-12.9)."""

    def delay_after(self, attempt: int) -> timedelta:
        return _NOTHING


@dataclass(frozen=True, slots=True)
class FixedBackoff:
    """The same delay each time."""

    delay: timedelta

    def __post_init__(self) -> None:
        duration("delay", self.delay, OF_OPTIONS)

    def delay_after(self, attempt: int) -> timedelta:
        return self.delay


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearBackoff:
    """base, 2 base, 3 base, ... up to a maximum."""

    base: timedelta
    max: timedelta

    def __post_init__(self) -> None:
        duration("base", self.base, OF_OPTIONS)
        duration("max", self.max, OF_OPTIONS)

    def delay_after(self, attempt: int) -> timedelta:
        """After failed attempt 1, 2, ..."""
        assert attempt > 0, f"a delay after attempt {attempt}; the first is 1"
        return _capped(self.base, attempt, self.max)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentialBackoff:
    """base, base x multiplier, ... up to a maximum."""

    base: timedelta = timedelta(milliseconds=100)
    multiplier: float = 2
    max: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        duration("base", self.base, OF_OPTIONS)
        duration("max", self.max, OF_OPTIONS)
        if type(self.multiplier) not in (int, float) or not 0 <= self.multiplier < inf:
            raise ConfigurationError(
                f"multiplier must be a finite number, 0 or more; it is {shown(self.multiplier)}"
            )

    def delay_after(self, attempt: int) -> timedelta:
        """After failed attempt 1, 2, ..."""
        assert attempt > 0, f"a delay after attempt {attempt}; the first is 1"
        try:
            factor = self.multiplier ** (attempt - 1)
        except OverflowError:
            return self.max
        return _capped(self.base, factor, self.max)


Backoff = NoBackoff | FixedBackoff | LinearBackoff | ExponentialBackoff


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Up to `max_attempts` attempts, a backoff between them, and optionally a timeout for each (RT-12.1).

    A timeout ends the whole call: timeouts are not retried (RT-12.6). Raises ConfigurationError if
    `max_attempts` is below 1.
    """

    max_attempts: int = 3
    backoff: Backoff = ExponentialBackoff()
    timeout: timedelta | None = None

    def __post_init__(self) -> None:
        if number("max_attempts", self.max_attempts, OF_OPTIONS, least=-INT63_MAX) < 1:
            raise ConfigurationError(f"max_attempts must be at least 1, it is {shown(self.max_attempts)}")
        able("backoff", self.backoff, "delay_after", "one of the backoffs, such as FixedBackoff(...)")
        if self.timeout is not None:
            duration("timeout", self.timeout, OF_OPTIONS)


def _capped(base: timedelta, factor: float, most: timedelta) -> timedelta:
    try:
        return min(base * factor, most)
    except OverflowError:
        return most
