"""Slots: the places of one runtime that each fetch and process one thing at a time.

        parked                                    not parked
    ┌── fetch ── found ─────────────────────────▶ process ──┐
    │     ├───── nothing ──▶ pause ──┐                      │
    │     └───── an error ─▶ pause ──┤                      │
    └────────────────────────────────┴──────────────────────┘

A slot is parked from the beginning of a fetch until it has something in hand, the pause after a fruitless
fetch included. Only a parked slot may be cancelled: it holds nothing that would have to be given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.hosting.backoff import FAILED_ASSERTION_PAUSE
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.options import in_micros
from holdfast.core.hosting.pace import Pace

_Found = TypeVar("_Found")


@dataclass(slots=True, eq=False)
class Slot:
    """One place that processes one thing at a time."""

    name: str
    pace: Pace
    task: asyncio.Task[None] | None = None
    parked: bool = False


class Slots(Generic[_Found]):
    """Slots that share a way to fetch and a way to process; `process` is told the name of its slot."""

    def __init__(
        self,
        clock: Clock,
        crew: Crew,
        log: Log,
        *,
        fetch: Callable[[], Awaitable[_Found | None]],
        process: Callable[[str, _Found], Awaitable[None]],
        min_poll: Micros,
        on_change: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._crew = crew
        self._log = log
        self._fetch = fetch
        self._process = process
        self._min_poll = min_poll
        self._on_change = on_change
        self._slots: list[Slot] = []
        self._failed_in_a_row = 0
        self.stopping = False

    def start(self, names: Sequence[str]) -> None:
        """Start one slot for each name; its task has the same name."""
        assert not self._slots, f"slots {names} are started beside {[slot.name for slot in self._slots]}"
        assert not self.stopping, f"slots {names} are started after they were stopped"
        assert len(set(names)) == len(names), f"two slots have one name: {names}"
        for name in names:
            slot = Slot(name, Pace(self._clock, self._min_poll))
            slot.task = self._crew.start(self._run(slot), name=name)
            slot.task.add_done_callback(lambda _: self._on_change())
            self._slots.append(slot)

    def stop(self) -> None:
        """Start no further fetch; slots finish what they have in hand (RT-21.6, SS-9.8)."""
        assert not self.stopping, "slots are stopped for the second time"
        self.stopping = True

    def unpark(self) -> None:
        """Cancel the fetches that wait for work; providers lose nothing when cancelled (PV-23.9)."""
        assert self.stopping, "fetches are cancelled while their slots go on: the slots would end too"
        for slot in self._slots:
            if slot.parked and slot.task is not None:
                slot.task.cancel()

    @property
    def fetching(self) -> bool:
        """Whether a slot waits for work, or for its next try."""
        return any(slot.parked for slot in self._slots)

    @property
    def running(self) -> bool:
        """Whether a slot has not ended yet."""
        return any(slot.task is not None and not slot.task.done() for slot in self._slots)

    # --- a slot ---------------------------------------------------------------------------------------

    async def _run(self, slot: Slot) -> None:
        while not self.stopping:
            try:
                await self._cycle(slot)
            except AssertionError as error:
                # Nothing was in hand, or `process` has given it back. The pause is there because what failed
                # once is likely to fail again.
                self._log.failed_assertion(error, slot=slot.name)
                await self._clock.sleep_until(
                    Micros(self._clock.monotonic_us() + in_micros(FAILED_ASSERTION_PAUSE))
                )

    async def _cycle(self, slot: Slot) -> None:
        assert not slot.parked, f"{slot.name} fetches while it is fetching"
        slot.parked = True
        try:
            found = await self._next(slot.pace)
        except asyncio.CancelledError:
            if self.stopping:
                return
            raise
        finally:
            slot.parked = False
            self._on_change()
        if found is not None:
            await self._process(slot.name, found)

    async def _next(self, pace: Pace) -> _Found | None:
        """One fetch, and the pause after a fruitless one."""
        pace.begin()
        try:
            found = await self._fetch()
        except ProviderError as error:
            self._fetch_failed(error)
            await pace.failed(error)
            return None
        if self._failed_in_a_row:
            self._fetch_works()
        if found is None:
            await pace.nothing()
        else:
            pace.found()
        return found

    # One streak for all slots: they ask the same store, and an operator is to hear of it once (RT-23.4).

    def _fetch_failed(self, error: ProviderError) -> None:
        assert self._failed_in_a_row >= 0, f"a streak of {self._failed_in_a_row} failures goes on"
        self._failed_in_a_row += 1
        if self._failed_in_a_row == 1:
            self._log.warning("Fetch failed", error=str(error), retryable=error.retryable)

    def _fetch_works(self) -> None:
        count, self._failed_in_a_row = self._failed_in_a_row, 0
        assert count > 0, f"fetches work again after {count} failures"
        self._log.info(f"Fetch works again after {count} failures", failures=count)
