"""The checks of long polling, on a provider that waits by looking again, and on some that wait wrongly."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.ids import Millis
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.providers.conformance import CHECKS, Factory, run_check
from holdfast.providers.sqlite import SqliteStore, sqlite_store

LONG = [id for id, check in CHECKS.items() if check.polling == "long"]


class Patient(ForwardingProvider):
    """Looks again every millisecond until the poll time is over."""

    def seconds(self, poll: Millis) -> float:
        return poll / 1_000

    async def waiting(self, poll: Millis, look: Callable[[], Awaitable[Any]]) -> Any:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds(poll)
        while (found := await look()) is None and loop.time() < end:
            await asyncio.sleep(0.001)
        return found

    async def fetch_orchestration_item(self, lock: Millis, poll: Millis, filter: Any = None) -> Any:
        fetch = self._inner.fetch_orchestration_item
        return await self.waiting(poll, lambda: fetch(lock, Millis(0), filter))

    async def fetch_work_item(self, lock: Millis, poll: Millis, tag_filter: Any) -> Any:
        fetch = self._inner.fetch_work_item
        return await self.waiting(poll, lambda: fetch(lock, Millis(0), tag_filter))

    async def fetch_session_work_item(self, lock: Millis, poll: Millis, **session: Any) -> Any:
        fetch = self._inner.fetch_session_work_item
        return await self.waiting(poll, lambda: fetch(lock, Millis(0), **session))


class Impatient(Patient):
    """Never waits."""

    def seconds(self, poll: Millis) -> float:
        return 0


class Overlong(Patient):
    """Waits half a second longer than asked."""

    def seconds(self, poll: Millis) -> float:
        return poll / 1_000 + 0.5


class Deaf(Patient):
    """Waits, and does not notice what arrives meanwhile."""

    async def waiting(self, poll: Millis, look: Callable[[], Awaitable[Any]]) -> Any:
        found = await look()
        if found is None:
            await asyncio.sleep(self.seconds(poll))
        return found


class WakesAll(Patient):
    """One fetch that finds something ends all that wait."""

    finds = 0

    async def waiting(self, poll: Millis, look: Callable[[], Awaitable[Any]]) -> Any:
        before = WakesAll.finds
        found = None
        while found is None and WakesAll.finds == before:
            found = await look()
            await asyncio.sleep(0.001)
        WakesAll.finds += found is not None
        return found


def outcome(kind: type[Patient], id: str) -> str:
    class Waiting:
        """The store with provider objects that wait."""

        def __init__(self, store: SqliteStore) -> None:
            self.close = store.close
            self.open = lambda observer=None: kind(store.open(observer))

    def create(clock: ProviderClock, ids: IdSource) -> Any:
        return Waiting(sqlite_store(clock, ids))

    return asyncio.run(run_check(Factory(create=create, long_polling=True), CHECKS[id])).outcome


@pytest.mark.parametrize("id", [*LONG, "PVC-060", "PVC-347"])
def test_pv_23_a_provider_that_waits_holds(id: str) -> None:
    """PV-23.4 to PV-23.10."""
    assert outcome(Patient, id) == "held"


@pytest.mark.parametrize(
    ("kind", "id"),
    [
        (Impatient, "PVC-059"),
        (Impatient, "PVC-062"),
        (Impatient, "PVC-344"),
        (Overlong, "PVC-059"),
        (Overlong, "PVC-060"),
        (Deaf, "PVC-344"),
        (Deaf, "PVC-345"),
        (Deaf, "PVC-346"),
        (WakesAll, "PVC-346"),
    ],
)
def test_pv_33_9_a_provider_that_waits_wrongly_fails(kind: type[Patient], id: str) -> None:
    """PV-33.9, PV-23.3 to PV-23.10."""
    assert outcome(kind, id) == "failed"
