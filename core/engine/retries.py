"""retried: an activity tried again until it succeeds, as code of the orchestration (RT-12.3 to RT-12.11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from holdfast.core.contract.errors import ActivityError
from holdfast.core.engine.futures import DurableFuture, Select
from holdfast.core.program.retry import RetryPolicy

MakeTimer = Callable[[timedelta], DurableFuture[None]]


class _TimedOut(Exception):
    """An attempt timed out: not an ActivityError, so that it is not retried (RT-12.6)."""


async def retried(
    name: str,
    policy: RetryPolicy,
    *,
    attempt: Callable[[], DurableFuture[str]],
    timer: MakeTimer,
    warn: Callable[[str], None],
) -> str:
    """The result of the first attempt that succeeds.

    Raises ActivityError with the last failure, or with `timeout: activity timed out`.
    """
    count = 1
    while True:
        assert count <= policy.max_attempts, f"attempt {count} of {policy.max_attempts} at {name!r}"
        try:
            return await _within(attempt(), policy.timeout, timer)
        except _TimedOut as timeout:
            raise ActivityError.of(f"Activity '{name}' call", str(timeout)) from None
        except ActivityError as error:
            if count >= policy.max_attempts:
                raise
            warn(f"Activity '{name}' attempt {count}/{policy.max_attempts} failed: {error}. Retrying...")
        delay = policy.backoff.delay_after(count)
        if delay > timedelta(0):
            await timer(delay)
        count += 1


async def _within(future: DurableFuture[str], timeout: timedelta | None, timer: MakeTimer) -> str:
    if timeout is None:
        return await future
    winner, value = await Select((future, timer(timeout)))
    if winner == 1:
        raise _TimedOut("timeout: activity timed out")
    if isinstance(value, ActivityError):
        raise value
    assert isinstance(value, str), f"an activity answered with {value!r}"
    return value
