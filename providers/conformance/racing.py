"""Simultaneous calls, started at a barrier and repeated over many rounds (PV-33.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from holdfast.core.contract.errors import ProviderError

_T = TypeVar("_T")
RETRIES_MAX = 10


async def together(*calls: Callable[[], Awaitable[_T]], reverse: bool = False) -> list[_T | ProviderError]:
    """Start all calls at one barrier; each one's answer or permanent error, in the order given.

    `reverse` starts them in the opposite order, for stores in which the first to start is the first to act.
    """
    gate = asyncio.Event()

    async def run(call: Callable[[], Awaitable[_T]]) -> _T | ProviderError:
        await gate.wait()
        return await patiently(call)

    indices = range(len(calls))
    order = list(reversed(indices)) if reverse else list(indices)
    tasks = {index: asyncio.ensure_future(run(calls[index])) for index in order}
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks.values())
    return [tasks[index].result() for index in indices]


async def patiently(call: Callable[[], Awaitable[_T]]) -> _T | ProviderError:
    """Repeat a call that fails with retryable errors; its answer or permanent error (PV-33.5)."""
    for _ in range(RETRIES_MAX):
        try:
            return await call()
        except ProviderError as error:
            if not error.retryable:
                return error
            last = error
    raise last


def succeeded(outcomes: Sequence[_T | ProviderError]) -> list[_T]:
    """The answers among the outcomes."""
    return [outcome for outcome in outcomes if not isinstance(outcome, ProviderError)]


class CheckDice:
    """Small pseudo-random numbers, the same in every run (a linear congruential generator)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % bound
