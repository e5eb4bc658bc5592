"""Worker: the shell that fetches activities and runs them (RT-6, SS-14). One per runtime, with several slots.

A slot is: fetch, run, final provider call, again. What a session needs beyond that (leases, capacity,
renewal, loss) is the lease keeper's; what one attempt needs (its handler, its item lock, its signal) is
`activity_run`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.provider import FetchedWork, Provider, ScheduledSessionIdentifier, TagFilter
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.options import Timing
from holdfast.core.hosting.pace import Pace
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import FetchUnderWay


@dataclass(slots=True, eq=False)
class _Slot:
    """One place that runs one activity at a time; `parked` while it waits for work and may be cancelled."""

    worker_id: str
    pace: Pace
    task: asyncio.Task[None] | None = None
    parked: bool = False


class Worker:
    """The slots of one worker process. `owner` is its identity in session rows (SS-3.10)."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        crew: Crew,
        keeper: LeaseKeeper,
        runner: ActivityRunner,
        *,
        owner: str,
        timing: Timing,
        tag_filter: TagFilter,
        uses_sessions: bool,
        observer: Observer | None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._crew = crew
        self._keeper = keeper
        self._runner = runner
        self._owner = owner
        self._timing = timing
        self._tag_filter = tag_filter
        self._uses_sessions = uses_sessions
        self._observer = observer
        self._on_change = on_change
        self._slots: list[_Slot] = []
        self._stopping = False
        self._session_attempts = 0

    def start(self, slot_count: int) -> None:
        """Start the slots, named `work-<slot>-<owner identity>` (SS-2.8)."""
        for index in range(slot_count):
            worker_id = f"work-{index}-{self._owner}"
            slot = _Slot(worker_id, Pace(self._clock, self._timing.min_poll))
            slot.task = self._crew.start(self._run(slot), name=worker_id)
            slot.task.add_done_callback(lambda _: self._on_change())
            self._slots.append(slot)

    # --- shutdown -------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Start no further fetch (SS-9.8)."""
        self._stopping = True

    def unpark(self) -> None:
        """Cancel the fetches that wait for work; a provider loses nothing by it (PV-23.9)."""
        for slot in self._slots:
            if slot.parked and slot.task is not None:
                slot.task.cancel()

    @property
    def fetching(self) -> bool:
        """Whether a slot is waiting for work or for its turn to fetch."""
        return any(slot.parked for slot in self._slots)

    @property
    def holds_session_items(self) -> bool:
        """Whether an item of a session was delivered and is not disposed of."""
        return self._session_attempts > 0

    @property
    def running(self) -> bool:
        """Whether a slot has not ended yet."""
        return any(slot.task is not None and not slot.task.done() for slot in self._slots)

    # --- a slot ---------------------------------------------------------------------------------------

    async def _run(self, slot: _Slot) -> None:
        while self._goes_on():
            slot.parked = True
            try:
                found = await self._next(slot)
            except asyncio.CancelledError:
                if self._goes_on():
                    raise
                return
            finally:
                slot.parked = False
                self._on_change()
            if found is not None:
                await self._process(slot, *found)

    def _goes_on(self) -> bool:
        return not self._stopping

    async def _next(self, slot: _Slot) -> tuple[FetchUnderWay | None, FetchedWork] | None:
        """One fetch in the mode the capacity allows, and the pause after a fruitless one."""
        slot.pace.begin()
        fetch = await self._keeper.begin_fetch() if self._uses_sessions else None
        try:
            fetched = await self._fetch(fetch)
        except ProviderError as error:
            if fetch is not None:
                self._keeper.fetch_ended(fetch, answer_lost=error.retryable)
            await slot.pace.failed(error)
            return None
        except asyncio.CancelledError:
            if fetch is not None:
                self._keeper.fetch_ended(fetch, answer_lost=True)
            raise
        if fetched is None:
            if fetch is not None:
                self._keeper.fetch_ended(fetch)
            await slot.pace.nothing()
            return None
        slot.pace.found()
        return fetch, fetched

    async def _fetch(self, fetch: FetchUnderWay | None) -> FetchedWork | None:
        if fetch is None:
            return await self._provider.fetch_work_item(
                self._timing.item_lock, self._timing.long_poll, self._tag_filter
            )
        return await self._provider.fetch_session_work_item(
            self._timing.item_lock,
            self._keeper.poll_timeout(fetch),
            worker_id=self._owner,
            session_lock_duration=self._timing.session_lock,
            tag_filter=self._tag_filter,
            claim_new=fetch.claim_new,
        )

    async def _process(self, slot: _Slot, fetch: FetchUnderWay | None, fetched: FetchedWork) -> None:
        attempt = Attempt(fetched, worker_id=slot.worker_id, observer=self._observer)
        self._session_attempts += attempt.session is not None
        try:
            await self._dispose(slot, fetch, attempt)
        finally:
            self._session_attempts -= attempt.session is not None
            self._on_change()

    async def _dispose(self, slot: _Slot, fetch: FetchUnderWay | None, attempt: Attempt) -> None:
        key = attempt.session
        if fetch is not None:
            if key is None:
                self._keeper.fetch_ended(fetch)
            elif self._keeper.delivered(fetch, attempt) == "no_unit":
                await self._give_back(slot, attempt, key)
                return
        try:
            if self._stopping:
                await self._runner.refuse(attempt)
            else:
                await self._runner.run(attempt)
        finally:
            if attempt.lease is not None:
                self._keeper.finished(attempt)

    async def _give_back(self, slot: _Slot, attempt: Attempt, key: ScheduledSessionIdentifier) -> None:
        """No unit is free for a session whose row names us: release it, give the item back (SS-14.16)."""
        try:
            released = await self._keeper.give_back(key)
            await self._runner.refuse(attempt)
        finally:
            self._keeper.given_back(key)
        if not released and not self._stopping:
            # The row is still ours, so the same item would come again at once.
            await self._clock.sleep_until(Micros(self._clock.monotonic_us() + self._timing.min_poll))
