"""Bench: one store under a stepped clock, for provider checks."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.store import Store
from holdfast.sim.loop.ids import VirtualIds
from holdfast.sim.loop.virtual_time import EPOCH_MS
from holdfast.sim.toolkit.recorded import CallRecord, RecordedProvider

StoreFactory = Callable[[ProviderClock, IdSource], Store]
"""Makes an isolated store from its clock and its ids; what `--provider module:factory` names."""


class BenchClock:
    """A store's clock that moves only when told to."""

    def __init__(self) -> None:
        self._now_ms = EPOCH_MS

    def now_ms(self) -> Millis:
        """The time it shows."""
        return Millis(self._now_ms)

    def advance(self, ms: int) -> None:
        """Move it by `ms`, backward if negative."""
        self._now_ms += ms


class Bench:
    """A store of the chosen provider, and a first provider object opened from it.

    Attributes:
        store: with its inspection hooks, if it has them.
        provider: as a newly started process has it; `open` makes more.
        clock: the store's clock.
        record: the calls made so far, by all provider objects.
    """

    def __init__(self, factory: StoreFactory) -> None:
        self.clock = BenchClock()
        self.ids = VirtualIds(0)
        self.store = factory(self.clock.now_ms, self.ids)
        self.record = CallRecord(self.clock.now_ms)
        self.provider = self.open()

    def open(self) -> Provider:
        """Another provider object on the same store."""
        return RecordedProvider(self.store.open(), self.record)

    def close(self) -> None:
        """Free the store."""
        self.store.close()
