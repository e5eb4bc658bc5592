"""Failure: one broken rule in one run, as data."""

from typing import NamedTuple


class Failure(NamedTuple):
    """A rule that did not hold: its id (an invariant, a matrix row), why, and where in the run.

    `position` is the number of commits before it was seen, `time_us` the virtual time at that point.
    """

    rule: str
    message: str
    position: int
    time_us: int
