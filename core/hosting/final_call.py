"""final_call: the call that disposes of what was fetched, repeated while the store is busy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.hosting.backoff import ACK_RETRIES_MAX, ack_pause
from holdfast.core.hosting.options import in_micros


async def final_call(clock: Clock, call: Callable[[], Awaitable[None]]) -> ProviderError | None:
    """Make the call; None once the store has accepted it, else the error that decides (RT-5.33).

    A retryable error may hide a committed call whose answer was lost. Repeating it is safe: the first call
    used up the lock token, so the second changes nothing (SS-12.19).
    """
    retry = 0
    while True:
        try:
            await call()
        except ProviderError as error:
            retry += 1
            if not error.retryable or retry > ACK_RETRIES_MAX:
                return error
            await clock.sleep_until(Micros(clock.monotonic_us() + in_micros(ack_pause(retry))))
        else:
            return None
