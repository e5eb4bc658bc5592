"""What is told of a worker is counted by the worker itself: a count below nothing is a mistake in it."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.core.contract.observe import CapacityChanged, LeaseEnded


@pytest.mark.parametrize("counted", ["leases", "reserved", "kept"])
def test_a_unit_that_is_given_back_twice(counted: str) -> None:
    """SS-14: units are taken and given back in pairs."""
    counts: dict[str, Any] = {"leases": 1, "reserved": 1, "kept": 1} | {counted: -1}
    with pytest.raises(AssertionError, match=r"w holds -1|given 1 .* back twice"):
        CapacityChanged("w", **counts, limit=3)


def test_a_session_that_ends_with_fewer_attempts_than_none() -> None:
    with pytest.raises(AssertionError, match="ends with -1 attempts"):
        LeaseEnded("w", "i", "s", "lost", -1)
