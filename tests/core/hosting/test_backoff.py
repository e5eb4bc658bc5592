"""Backoff arithmetic (RT-5.2, RT-5.33, RT-13.15, RT-19.11, SS-7.11)."""

from holdfast.core.contract.ids import Micros, Millis
from holdfast.core.hosting.backoff import (
    ack_pause,
    client_pause,
    fetch_pause,
    renewal_pause,
    unregistered_delay,
)


def test_rt_5_2_fetch_errors_double_up_to_three_seconds_and_never_overflow() -> None:
    """RT-5.2."""
    assert [fetch_pause(n) for n in (1, 2, 3, 4, 5, 6, 10**9)] == [200, 400, 800, 1600, 3000, 3000, 3000]


def test_rt_5_33_acknowledgements_are_retried_quickly() -> None:
    """RT-5.33."""
    assert [ack_pause(retry) for retry in range(1, 6)] == [10, 20, 40, 80, 160]


def test_rt_13_15_unregistered_work_waits_up_to_a_minute() -> None:
    """RT-13.15."""
    delays = [unregistered_delay(n, base=Millis(1000), most=Millis(60_000)) for n in range(1, 10)]
    assert delays == [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]


def test_rt_19_11_a_waiting_client_polls_ever_more_slowly() -> None:
    """RT-19.11."""
    assert [client_pause(n) for n in range(1, 9)] == [5, 10, 20, 40, 80, 100, 100, 100]


def test_ss_7_11_renewal_retries_fit_into_short_locks() -> None:
    """SS-7.11, SS-7.19: never more than an eighth of the interval, never a hot loop."""
    minute, tenth, tiny = Micros(30_000_000), Micros(100_000), Micros(500)
    assert [renewal_pause(n, minute) for n in (1, 2, 3, 9)] == [100_000, 200_000, 400_000, 3_000_000]
    assert renewal_pause(9, tenth) == 12_500
    assert renewal_pause(1, tiny) == 1_000
