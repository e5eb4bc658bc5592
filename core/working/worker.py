"""Worker: the shell that fetches activities and runs them (RT-6, SS-14). One per runtime, with several slots.

A slot is: fetch, run, final provider call, again. What a session needs beyond that (leases, capacity,
renewal, loss) is the lease keeper's; what one attempt needs (its handler, its item lock, its signal) is
`activity_run`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.provider import FetchedWork, Provider, ScheduledSessionIdentifier, TagFilter
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.options import Timing
from holdfast.core.hosting.slots import Slots
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import FetchUnderWay


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
        self._keeper = keeper
        self._runner = runner
        self._owner = owner
        self._timing = timing
        self._tag_filter = tag_filter
        self._uses_sessions = uses_sessions
        self._observer = observer
        self._on_change = on_change
        self._session_attempts = 0
        self._slots = Slots(
            clock,
            crew,
            Log(observer, "runtime.worker", worker_id=owner),
            fetch=self._next,
            process=self._process,
            min_poll=timing.min_poll,
            on_change=on_change,
        )

    def start(self, slot_count: int) -> None:
        """Start the slots, named `work-<slot>-<owner identity>` (SS-2.8)."""
        self._slots.start([f"work-{index}-{self._owner}" for index in range(slot_count)])

    # --- shutdown -------------------------------------------------------------------------------------

    def stop(self) -> None:
        self._slots.stop()

    def unpark(self) -> None:
        self._slots.unpark()

    @property
    def fetching(self) -> bool:
        return self._slots.fetching

    @property
    def running(self) -> bool:
        return self._slots.running

    @property
    def holds_session_items(self) -> bool:
        """Whether an item of a session was delivered and is not yet disposed of."""
        return self._session_attempts > 0

    # --- a slot ---------------------------------------------------------------------------------------

    async def _next(self) -> tuple[FetchUnderWay | None, FetchedWork] | None:
        """One fetch, in the mode the capacity allows."""
        if not self._runner.has_room:
            await self._runner.room()
        fetch = await self._keeper.begin_fetch() if self._uses_sessions else None
        try:
            fetched = await self._fetch(fetch)
        except ProviderError as error:
            if fetch is not None:
                self._keeper.fetch_ended(fetch, answer_lost=error.retryable)
            raise
        except asyncio.CancelledError:
            # A cancelled call may have committed all the same, or may yet: its answer is lost like that of
            # one that failed. The provider sees to the item (PV-23.9); a session it has claimed stays ours.
            if fetch is not None:
                self._keeper.fetch_ended(fetch, answer_lost=True)
            raise
        if fetched is not None:
            return fetch, fetched
        if fetch is not None:
            self._keeper.fetch_ended(fetch)
        return None

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

    async def _process(self, worker_id: str, found: tuple[FetchUnderWay | None, FetchedWork]) -> None:
        fetch, fetched = found
        attempt = Attempt(fetched, worker_id=worker_id, observer=self._observer)
        self._session_attempts += attempt.session is not None
        try:
            await self._dispose(fetch, attempt)
        except AssertionError as error:
            await self._runner.rescue(attempt, error)
        finally:
            self._session_attempts -= attempt.session is not None
            assert self._session_attempts >= 0, f"{attempt.token} is disposed of, none was delivered"
            self._on_change()

    async def _dispose(self, fetch: FetchUnderWay | None, attempt: Attempt) -> None:
        key = attempt.session
        if fetch is not None:
            if key is None:
                self._keeper.fetch_ended(fetch)
            elif self._keeper.delivered(fetch, attempt) == "no_unit":
                await self._give_back(attempt, key)
                return
        try:
            if self._slots.stopping:
                await self._runner.refuse(attempt)
            else:
                await self._runner.run(attempt)
        finally:
            if attempt.lease is not None:
                self._keeper.finished(attempt)

    async def _give_back(self, attempt: Attempt, key: ScheduledSessionIdentifier) -> None:
        """No unit is free for a session whose row names us: release it, give the item back (SS-14.16)."""
        assert attempt.lease is None, (
            f"{attempt.token} has a lease on {key}, and is given back for lack of a unit"
        )
        try:
            released = await self._keeper.give_back(key)
            await self._runner.refuse(attempt)
        finally:
            self._keeper.given_back(key)
        if not released and not self._slots.stopping:
            # The row is still ours, so the same item would come again at once.
            await self._clock.sleep_until(Micros(self._clock.monotonic_us() + self._timing.min_poll))
