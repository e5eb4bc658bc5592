"""Wrappers that make a correct provider fail, for tests of what is built on it (PV-33.6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import Provider

FETCHES = ("fetch_orchestration_item", "fetch_work_item", "fetch_session_work_item")


@dataclass(frozen=True, slots=True)
class MethodFault:
    """How a method fails: after `skip` good calls, `times` calls fail (None: all from then on).

    With `applied` the call takes effect and is then reported as failed, as when a connection is lost while
    the commit is in flight (PV-4.7); otherwise nothing happens.
    """

    operation: str
    retryable: bool = True
    applied: bool = False
    skip: int = 0
    times: int | None = 1


def faulty(provider: Provider, fault: MethodFault) -> Provider:
    """The provider, with this fault in one of its methods."""
    calls = _Counter(fault.skip, fault.times)
    method = getattr(provider, fault.operation)

    async def failing(*arguments: object, **named: object) -> object:
        strikes = calls.strikes()
        answer = None if strikes and not fault.applied else await method(*arguments, **named)
        if strikes:
            raise ProviderError(fault.operation, "injected fault", retryable=fault.retryable)
        return answer

    return _replacing(provider, {fault.operation: failing})


def with_inflated_attempts(
    provider: Provider, *, by: int, skip: int = 0, times: int | None = None
) -> Provider:
    """The provider, with attempt counts of its fetches raised by `by`, as if others had tried before."""
    calls = _Counter(skip, times)

    def inflated(operation: str) -> Callable[..., Awaitable[object]]:
        method = getattr(provider, operation)

        async def fetch(*arguments: object, **named: object) -> object:
            fetched = await method(*arguments, **named)
            if fetched is None or not calls.strikes():
                return fetched
            return fetched._replace(attempt_count=fetched.attempt_count + by)

        return fetch

    return _replacing(provider, {operation: inflated(operation) for operation in FETCHES})


def without_capability_filter(provider: Provider) -> Provider:
    """The provider, made to hand out every instance, whatever version its execution is pinned to."""

    async def fetch(lock_timeout: Millis, poll_timeout: Millis, filter: object = None) -> object:
        return await provider.fetch_orchestration_item(lock_timeout, poll_timeout, None)

    return _replacing(provider, {"fetch_orchestration_item": fetch})


class _Counter:
    """Decides for each call whether the fault strikes."""

    def __init__(self, skip: int, times: int | None) -> None:
        self._skip = skip
        self._left = times

    def strikes(self) -> bool:
        if self._skip > 0:
            self._skip -= 1
            return False
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0


def _replacing(provider: Provider, methods: dict[str, Callable[..., object]]) -> Provider:
    return cast(Provider, _Replacing(provider, methods))


class _Replacing:
    """Passes every call to the provider except those to the replaced methods."""

    def __init__(self, provider: Provider, methods: dict[str, Callable[..., object]]) -> None:
        self._provider = provider
        self._methods = methods

    def __getattr__(self, name: str) -> object:
        return self._methods.get(name) or getattr(self._provider, name)
