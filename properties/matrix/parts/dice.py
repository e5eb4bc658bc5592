"""Dice: choices of provider checks, which have no tape: the same in every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Dice:
    """Numbers of a linear congruence, from a seed."""

    def __init__(self, seed: int) -> None:
        self._state = (2 * seed + 1) * 0x9E3779B97F4A7C15 % 2**64

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % bound

    def one_of(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        return choices[self.below(len(choices))]
