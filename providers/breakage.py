"""Breakage: calls that a test makes fail midway, at one of their changes (PV-28.1, PV-33.2)."""

from __future__ import annotations

from typing import Final

MESSAGE: Final = "the store broke on purpose in the middle of this call"


class Breakage:
    """Which calls of a store are to fail, and where: what the hook `break_calls` sets up.

    Attributes:
        operation: the method whose next calls fail; None if none do.
        change: at which of its changes such a call fails, counted from 1. One with fewer changes succeeds.
        retryable: whether the failure is one that may pass.
    """

    def __init__(self) -> None:
        self.operation: str | None = None
        self.change = 0
        self.retryable = True
        self._left = 0

    def arm(self, operation: str, change: int, times: int, retryable: bool) -> None:
        """Make the next `times` calls of an operation fail."""
        self.operation = operation if times > 0 else None
        self.change, self.retryable, self._left = change, retryable, times

    def spend(self) -> None:
        """One of the calls has begun."""
        self._left -= 1
        if self._left <= 0:
            self.operation = None
