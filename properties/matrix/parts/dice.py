"""Dice: choices of provider checks, which have no tape: the same in every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Dice:
    """A linear congruential sequence from a seed, with Knuth's constants (MMIX): its upper half."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 32) % bound

    def one_of(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        return choices[self.below(len(choices))]

    def some(self, choices: Sequence[_T]) -> list[_T]:
        """Each of them or not, mostly not."""
        return [one for one in choices if self.below(3) == 0]
