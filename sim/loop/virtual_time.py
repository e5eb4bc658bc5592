"""Virtual time: one number that moves only when the world says so, and the store's clock, read off it.

Virtual time is an integer number of microseconds from the start of the run. The store's clock is its floor to
milliseconds, counted from a fixed day, plus the jumps so far.
"""

from typing import Final

from holdfast.core.contract.ids import Millis

EPOCH_MS: Final = 1_767_225_600_000
"""What the store's clock shows at virtual time 0: 2026-01-01 in UTC."""


def first_us(seconds: float) -> int:
    """The first whole microsecond that is no earlier, up to a nanosecond; 0 for what is not a number.

    A nanosecond is what a real loop allows its timers, and more than what floats lose: 0.1 s after 2000.7 s
    is microsecond 2,000,800,000, on whichever side of it the sum of the floats lies.
    """
    if seconds != seconds:
        return 0
    numerator, denominator = float(seconds).as_integer_ratio()
    up_us = -(-numerator * 1_000_000 // denominator)
    return up_us - 1 if seconds - (up_us - 1) / 1_000_000 <= 1e-9 else up_us


class VirtualTime:
    """The time of a world. `now_us` only grows; `jump_ms` is what the store's clock is off by."""

    __slots__ = ("jump_ms", "now_us")

    def __init__(self) -> None:
        self.now_us = 0
        self.jump_ms = 0

    def advance(self, to_us: int) -> None:
        """Time goes on to this point, or stays."""
        assert to_us >= self.now_us, f"virtual time would go back from {self.now_us} to {to_us} us"
        self.now_us = to_us

    def provider_ms(self) -> Millis:
        """The store's one authoritative clock (SS-24.1)."""
        return Millis(EPOCH_MS + self.now_us // 1000 + self.jump_ms)

    def when_provider_shows(self, at_ms: int) -> int:
        """The virtual time at which the store's clock reaches `at_ms`, if it does not jump again."""
        return (at_ms - EPOCH_MS - self.jump_ms) * 1000
