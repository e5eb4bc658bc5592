"""What the memory provider logs about sessions."""

from __future__ import annotations

import asyncio

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.memory import memory_store
from holdfast.sim.loop.ids import VirtualIds
from holdfast.sim.toolkit.bench import BenchClock

LOCK = Millis(60_000)
SESSION = {"instance_id": "i", "session_id": "s"}


class Heard:
    """Keeps the records."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, object]]] = []

    def notify(self, event: LocalEvent) -> None:
        assert isinstance(event, Logged)
        self.records.append((event.event, event.fields))


def test_claims_and_takeovers_are_told_and_none_that_is_undone() -> None:
    """SS-22.3, SS-22.4: wherever a claiming fetch breaks, nothing is told before it has succeeded."""
    clock, heard = BenchClock(), Heard()
    store = memory_store(clock.now_ms, VirtualIds(0))
    provider = store.open(heard)

    async def fetch(worker: str) -> None:
        work = await provider.fetch_session_work_item(
            LOCK, Millis(0), worker_id=worker, session_lock_duration=LOCK
        )
        assert work is not None

    async def body() -> None:
        for id in range(3):
            await provider.enqueue_for_worker(
                ActivityExecute(instance="i", execution_id=1, id=id, name="x", input="", session_id="s")
            )
        change, broke = 0, True
        while broke:
            change += 1
            store.break_calls("fetch_session_work_item", change=change)
            try:
                await fetch("A")
            except ProviderError:
                assert heard.records == [], f"told although change {change} failed"
            else:
                broke = False
        assert change > 2, "a claim makes several changes"
        await fetch("A")
        clock.advance(LOCK)
        await fetch("B")

    asyncio.run(body())
    assert heard.records == [
        ("session.claimed", {**SESSION, "worker_id": "A"}),
        ("session.claimed", {**SESSION, "worker_id": "B"}),
        ("session.migrated", {**SESSION, "worker_id": "B", "previous_worker_id": "A"}),
    ]
