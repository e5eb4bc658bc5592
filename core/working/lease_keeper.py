"""LeaseKeeper: the shell around `lease_table` that waits, calls the provider and signals.

One per worker, independent of its slots (SS-7.18). It sleeps until the next thing is due, does what the table
decides, and answers the table with what the provider said. Every entry point advances the table first, so
that a worker resuming from a pause drops what it has lost before it uses it (SS-24.10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.observe import (
    CapacityChanged,
    LeaseEnded,
    LeaseTaken,
    Observer,
    RenewalAnswered,
    RenewalSent,
    SignalCause,
)
from holdfast.core.contract.provider import Provider, ScheduledSessionIdentifier
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.options import Timing, in_micros
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_records import (
    Decisions,
    EndCause,
    Ended,
    FetchUnderWay,
    ItemRenewal,
    Kept,
    LeaseView,
    Renewal,
    RenewalAnswer,
    SessionArrival,
    Units,
)
from holdfast.core.working.lease_table import LeaseTable

_T = TypeVar("_T")

_SIGNALS: dict[EndCause, SignalCause] = {
    "lost": "session_lost",
    "deadline": "deadline",
    "idle": "shutdown",  # never used: a lease that ends as idle has no attempts
    "shutdown": "shutdown",
}


class LeaseKeeper:
    """Keeps the sessions of one worker: its leases, their renewal, idle release, loss and capacity."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        crew: Crew,
        *,
        owner: str,
        timing: Timing,
        limit: int,
        slot_count: int,
        observer: Observer | None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._crew = crew
        self._owner = owner
        self._timing = timing
        self._limit = limit
        self._slot_count = slot_count
        self._observer = observer
        self._log = Log(observer, "runtime.worker", worker_id=owner)
        self._on_change = on_change
        self._stopped = False
        self._table = LeaseTable(
            duration=in_micros(timing.session_lock), idle=timing.session_idle, limit=limit
        )
        self._attempts: dict[LockToken, Attempt] = {}
        self._may_fetch = asyncio.Event()
        self._sleeper: asyncio.Task[None] | None = None
        self._sleeps_until = Micros(0)
        self._units = Units(0, 0, 0)

    def leases(self) -> tuple[LeaseView, ...]:
        return self._table.views()

    @property
    def releasing(self) -> bool:
        """Whether a release was sent and not answered."""
        return self._table.releasing

    @property
    def units(self) -> Units:
        return self._table.units

    # --- fetches and attempts -------------------------------------------------------------------------

    async def begin_fetch(self) -> FetchUnderWay:
        """Enter a session-aware fetch; waits while an idle release is due or under way (SS-8.7)."""
        self.advance()
        while not self._table.may_fetch(self._now()):
            self._may_fetch.clear()
            await self._may_fetch.wait()
            self.advance()
        fetch = self._table.begin_fetch(self._now())
        self._show_units()
        return fetch

    def poll_timeout(self, fetch: FetchUnderWay) -> Millis:
        """How long the fetch may wait: the long-poll timeout, or less where that would hold something up."""
        wait = self._table.longest_wait(fetch, slot_count=self._slot_count, min_poll=self._timing.min_poll)
        if wait is None:
            return self._timing.long_poll
        return Millis(min(self._timing.long_poll, wait // 1000))

    def fetch_ended(self, fetch: FetchUnderWay, *, answer_lost: bool = False) -> None:
        """The fetch brought no session item: nothing, a plain one, or an error."""
        self._table.fetch_ended(fetch, self._now(), answer_lost=answer_lost)
        self.advance()

    def delivered(self, fetch: FetchUnderWay, attempt: Attempt) -> SessionArrival:
        """A session item arrived; unless the answer is "no_unit", its attempt is covered by a lease now."""
        key = attempt.session
        assert key is not None, f"{attempt.token} belongs to no session and is delivered to the leases"
        now = self._now()
        self._apply(self._table.advance(now))
        arrival, lease = self._table.delivered(fetch, key, attempt.token, now)
        if lease is not None:
            assert attempt.token not in self._attempts, f"{attempt.token} was delivered twice"
            attempt.bind(lease)
            self._attempts[attempt.token] = attempt
        if arrival == "taken" and self._observer is not None:
            self._observer.notify(LeaseTaken(self._owner, key.instance, key.session_id))
        self.advance()
        return arrival

    def finished(self, attempt: Attempt) -> None:
        """The attempt's final provider call has returned (SS-14.13)."""
        assert attempt.lease is not None, f"{attempt.token} has no lease that it could be finished under"
        ended = attempt.lease.ended
        known = self._attempts.pop(attempt.token, None) is not None
        self._table.finished(attempt.lease, attempt.token, self._now())
        self.advance()
        # A stopped keeper no longer learns which leases have ended.
        assert self._stopped or known is not ended, (
            f"{attempt.token} was {'' if known else 'not '}among the attempts of the keeper,"
            f" and its lease had {'' if ended else 'not '}ended"
        )

    def given_back(self, key: ScheduledSessionIdentifier) -> None:
        """The item of a session that was given back has been abandoned."""
        self._table.stray_finished(key, self._now())
        self.advance()

    async def give_back(self, key: ScheduledSessionIdentifier) -> bool:
        """Release a session whose row names us without a lease (SS-14.16); returns whether it worked."""
        assert not self._table.holds(key), f"{key} is given back for lack of a unit, and is leased"
        if self._observer is not None:
            self._observer.notify(LeaseEnded(self._owner, key.instance, key.session_id, "given_back", 0))
        try:
            await self._provider.release_session_lock(key.instance, key.session_id, self._owner)
        except ProviderError as error:
            self._log.warning("session.release_failed", **_named(key), error=str(error))
            return False
        return True

    # --- item renewals --------------------------------------------------------------------------------

    def plan_item_renewal(self, attempt: Attempt, at: Micros | None) -> None:
        """The attempt's item lock will be renewed at that time; None: not any more."""
        if attempt.lease is not None:
            assert at is None or not attempt.over, f"{attempt.token} is over, and is to be renewed at {at}"
            self._table.plan_item_renewal(attempt.lease, attempt.token, at)
            self.advance()

    def item_renewal_sent(self, attempt: Attempt) -> ItemRenewal | None:
        """Its renewal goes out now; None for an item without session."""
        if attempt.lease is None:
            return None
        assert not attempt.over, f"{attempt.token} is over, and its renewal goes out"
        return self._table.item_renewal_sent(attempt.lease, attempt.token, self._now())

    def item_renewal_answered(
        self, call: ItemRenewal | None, answer: RenewalAnswer, next_at: Micros | None
    ) -> None:
        """The provider answered it; the next one is planned for then, if there is to be one."""
        if call is None:
            return
        now = self._now()
        self._apply(self._table.advance(now))
        self._table.item_renewal_answered(call, now, answer, next_at)
        self.advance()

    # --- shutdown -------------------------------------------------------------------------------------

    def begin_closing(self) -> None:
        """No idle release from here on; sessions are still renewed while their handlers stop."""
        self._table.begin_closing()
        self.advance()

    def release_all(self, unstopped: frozenset[ScheduledSessionIdentifier]) -> None:
        """End every lease and send its release, unless a handler of it still runs (SS-9.11, SS-9.12)."""
        assert not self._stopped, "sessions are released by a keeper that was stopped"
        self._apply(self._table.close(unstopped))

    def stop(self) -> None:
        """Do nothing any more: the runtime ends, or is cut off like a crash (SS-9.14, SS-9.15)."""
        assert not self._stopped, "a keeper is stopped for the second time"
        self._stopped = True
        if self._sleeper is not None:
            self._sleeper.cancel()

    # --- what time brings -----------------------------------------------------------------------------

    def advance(self) -> None:
        """Do what is due now, and be woken for what is due next."""
        if self._stopped:
            return
        self._apply(self._table.advance(self._now()))

    def _apply(self, decisions: Decisions) -> None:
        if self._stopped:
            return
        try:
            for ended in decisions.ended:
                self._lease_ended(ended)
        finally:  # the table counts these calls as sent, and an idle release holds back every fetch
            self._send(decisions)
        self._show_units()
        if self._table.may_fetch(self._now()):
            self._may_fetch.set()
        self._plan_sleep()

    def _send(self, decisions: Decisions) -> None:
        for kept in decisions.releases:
            self._crew.start(self._surviving(self._release, kept), name=f"release {kept.key.session_id}")
        for call in decisions.renewals:
            key = call.lease.key
            if self._observer is not None:
                self._observer.notify(RenewalSent(self._owner, key.instance, key.session_id))
            self._crew.start(self._surviving(self._renew, call), name=f"renew {key.session_id}")

    def _plan_sleep(self) -> None:
        assert not self._stopped, "a keeper that was stopped plans to wake up"
        due = self._table.next_due()
        if self._sleeper is not None:
            if due is not None and self._sleeps_until <= due:
                return  # it wakes early enough and plans again
            self._sleeper.cancel()
            self._sleeper = None
        if due is not None:
            self._sleeps_until = due
            self._sleeper = self._crew.start(self._surviving(self._sleep, due), name="leases")

    async def _sleep(self, due: Micros) -> None:
        await self._clock.sleep_until(due)
        self._sleeper = None
        self.advance()

    async def _surviving(self, work: Callable[[_T], Awaitable[None]], subject: _T) -> None:
        """A failed assertion does not end the worker. Time makes up for what it leaves undone: the next
        fetch advances the table, and a lease that is not renewed any more ends at its deadline."""
        try:
            await work(subject)
        except AssertionError as error:
            self._log.failed_assertion(error)

    async def _renew(self, call: Renewal) -> None:
        key = call.lease.key
        if call.lease.ended:  # it ended before this task's first step (SS-7.16)
            self._table.renewal_answered(call, self._now(), "refused")
            return
        answer: RenewalAnswer = "extended"
        text: str | None = None
        try:
            await self._provider.renew_session_lock(
                key.instance, key.session_id, self._owner, extend_for=self._timing.session_lock
            )
        except ProviderError as error:
            answer = "unknown" if error.retryable else "refused"
            text = str(error)
            self._log.warning("session.renewal_failed", **_named(key), error=text)
        now = self._now()
        self._apply(self._table.advance(now))  # an answer later than the deadline comes too late
        if call.lease.renewal is call and not call.lease.ended:
            self._notify_answered(key, text)
        ended = self._table.renewal_answered(call, now, answer)
        if ended is not None:
            self._lease_ended(ended)
        self.advance()

    async def _release(self, kept: Kept) -> None:
        key = kept.key
        try:
            await self._provider.release_session_lock(key.instance, key.session_id, self._owner)
        except ProviderError as error:
            self._table.release_answered(kept, confirmed=False)
            self._log.warning("session.release_failed", **_named(key), error=str(error))
        else:
            self._table.release_answered(kept, confirmed=True)
            self._log.info("session.released", **_named(key), reason=kept.cause)
        self.advance()
        self._on_change()

    # --- telling --------------------------------------------------------------------------------------

    def _lease_ended(self, ended: Ended) -> None:
        key = ended.lease.key
        now = self._now()
        attempts = {token: self._attempts.pop(token, None) for token in ended.attempts}
        for attempt in filter(None, attempts.values()):
            attempt.signal(_SIGNALS[ended.cause], now)
        if ended.lease.renewal is not None:
            self._notify_answered(key, "given up: the lease ended")
        if self._observer is not None:
            in_flight = len(ended.attempts)
            self._observer.notify(
                LeaseEnded(self._owner, key.instance, key.session_id, ended.cause, in_flight)
            )
            if ended.cause in ("lost", "deadline"):
                self._log.warning("session.lost", **_named(key), in_flight=in_flight, cause=ended.cause)
        for token, told in attempts.items():
            assert told is not None, f"{token} is not known, and not signalled that its lease on {key} ended"
            assert told.lease is ended.lease, f"{token} was signalled for the end of another attempt's lease"

    def _notify_answered(self, key: ScheduledSessionIdentifier, error: str | None) -> None:
        if self._observer is not None:
            self._observer.notify(RenewalAnswered(self._owner, key.instance, key.session_id, error))

    def _show_units(self) -> None:
        units = self._table.units
        if units == self._units:
            return
        self._units = units
        if self._observer is not None:
            self._observer.notify(CapacityChanged(self._owner, *units, self._limit))

    def _now(self) -> Micros:
        return self._clock.monotonic_us()


def _named(key: ScheduledSessionIdentifier) -> dict[str, object]:
    return {"instance_id": key.instance, "session_id": key.session_id}
