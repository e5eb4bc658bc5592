"""InstrumentedProvider: measures every call of another provider and changes none (PV-32)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, Protocol, TypeVar

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.provider import Provider
from holdfast.core.hosting.forwarding import ForwardingProvider

_T = TypeVar("_T")
ErrorKind = Literal["deadlock", "timeout", "connection", "other"]


class Measured(NamedTuple):
    """One call: which, how long it took, whether it brought something, and how it failed if it did."""

    operation: str
    duration: Micros
    found: bool
    error: ErrorKind | None


class MeasureSink(Protocol):
    """Who collects the measurements. It must not raise."""

    def measured(self, call: Measured) -> None:
        """Take note of one call."""
        ...


def error_kind(error: ProviderError) -> ErrorKind:
    """The class of an error by its text, the first that fits (RT-23.10, PV-32.2)."""
    text = error.message.lower()
    kinds: tuple[ErrorKind, ...] = ("deadlock", "timeout", "connection")
    return next((kind for kind in kinds if kind in text), "other")


class InstrumentedProvider(ForwardingProvider):
    """Forwards every call; a sink is given duration and outcome of each (PV-32.1 to PV-32.3)."""

    def __init__(self, inner: Provider, *, clock: Clock, sink: MeasureSink | None = None) -> None:
        super().__init__(inner)
        self._clock = clock
        self._sink = sink

    async def _call(self, operation: str, begin: Callable[[], Awaitable[_T]]) -> _T:
        if self._sink is None:
            return await begin()
        sent = self._clock.monotonic_us()
        found = False
        error: ErrorKind | None = None
        try:
            answer = await begin()
            found = answer is not None
            return answer
        except ProviderError as failure:
            error = error_kind(failure)
            raise
        finally:
            took = Micros(self._clock.monotonic_us() - sent)
            self._sink.measured(Measured(operation, took, found, error))
