"""How long to wait before trying again: pure arithmetic, no waiting.

Counts begin at 1 for the first failure. Milliseconds and microseconds are whole numbers.
"""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.ids import Micros, Millis

FETCH_REFUSED_PAUSE: Final = Millis(100)
"""The pause after a fetch error that is not retryable (RT-5.2)."""

FAILED_ASSERTION_PAUSE: Final = Millis(1000)
"""The pause of a slot after a failed assertion of our own code: it will likely fail again."""

ACK_RETRIES_MAX: Final = 5
"""How often an acknowledgement is repeated after a retryable error (RT-5.33)."""

ABANDON_AFTER_ACK: Final = Millis(50)
"""The delay of a batch whose acknowledgement could not be stored (RT-5.33, RT-5.35)."""

ABANDON_AFTER_ITEM_ACK: Final = Millis(100)
"""The delay of an item whose acknowledgement failed (RT-6.12)."""

UNREGISTERED_GROWTH_MAX: Final = 64
"""How many times its base the delay of unregistered work may be: it is doubled up to six times (RT-13.15)."""

INCOMPATIBLE_PAUSE: Final = Millis(1000)
"""The delay of a batch this node cannot read or replay (RT-13.9, RT-14.16)."""


def fetch_pause(failure_count: int) -> Millis:
    """After the nth retryable fetch error in a row: 200, 400, 800, 1600, 3000, 3000, ... (RT-5.2)."""
    assert failure_count > 0, f"a pause after {failure_count} failed fetches"
    return Millis(min(100 << min(failure_count, 5), 3000))


def ack_pause(retry: int) -> Millis:
    """Before retry 1, 2, ... of an acknowledgement: 10, 20, 40, 80, 160 (RT-5.33)."""
    assert 0 < retry <= ACK_RETRIES_MAX, f"a pause before retry {retry} of {ACK_RETRIES_MAX}"
    return Millis(10 << retry - 1)


def unregistered_delay(attempt_count: int, *, base: Millis, most: Millis) -> Millis:
    """For work not registered here: base, doubled up to six times, at most `most` (RT-13.15)."""
    return Millis(min(base * min(1 << max(attempt_count - 1, 0), UNREGISTERED_GROWTH_MAX), most))


def client_pause(poll_count: int) -> Millis:
    """Between the polls of a waiting client: 5, 10, 20, 40, 80, 100, 100, ... (RT-19.11)."""
    assert poll_count > 0, f"a pause after {poll_count} polls"
    return Millis(min(5 << min(poll_count - 1, 5), 100))


def renewal_pause(failure_count: int, interval: Micros) -> Micros:
    """After the nth retryable renewal error in a row: 100 ms, doubled up to 3 s.

    Never more than an eighth of the renewal interval, so that short locks are still saved (SS-7.11, SS-7.19),
    and never less than 1 ms, so that a store that refuses at once is not hammered.
    """
    assert failure_count > 0, f"a pause after {failure_count} failed renewals"
    doubled = min(100_000 << min(failure_count - 1, 5), 3_000_000)
    return Micros(max(min(doubled, interval // 8), 1_000))
