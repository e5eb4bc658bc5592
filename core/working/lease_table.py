"""The sessions one worker holds, as a state machine: every method takes the time and returns decisions.

Nothing here waits, calls a provider or reads a clock; `lease_keeper` is the shell that does. All times are
`Micros` of the worker's monotonic clock (SS-24.2).
"""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.hosting.backoff import renewal_pause
from holdfast.core.working.lease_holdings import LeaseHoldings
from holdfast.core.working.lease_records import (
    Decisions,
    EndCause,
    Ended,
    ExtendingCalls,
    FetchUnderWay,
    ItemRenewal,
    Kept,
    Lease,
    Renewal,
    RenewalAnswer,
    SessionArrival,
)

_NOTHING_DUE: Final = Decisions()


class LeaseTable(LeaseHoldings):
    """Everything that changes what one worker holds."""

    # --- fetches --------------------------------------------------------------------------------------

    def begin_fetch(self, now: Micros) -> FetchUnderWay:
        """Choose the mode and reserve a unit for a claiming fetch (SS-14.2, SS-14.3, SS-14.5)."""
        self._see_time(now)
        assert self.may_fetch(now), f"a fetch is begun at {now}, an idle release is due or under way (SS-8.7)"
        self._return_reservations()
        free = self._unit_free()
        fetch = FetchUnderWay(claim_new=free, sent=now, reserved=free)
        self._fetches[fetch] = None
        self._reserved_count += free
        self._check()
        return fetch

    def fetch_ended(self, fetch: FetchUnderWay, now: Micros, *, answer_lost: bool = False) -> None:
        """The fetch brought no session item; a reserved unit returns (SS-14.14).

        With `answer_lost` it may have brought one that nobody heard of, which may have extended any session.
        """
        self._end_fetch(fetch)
        self._see_time(now)
        if answer_lost:
            self._answer_lost_at = now

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        """A session item arrived: it joins a lease before anything else is decided (SS-14.7, SS-14.8)."""
        self._end_fetch(fetch)
        self._see_time(now)
        lease = self._leases.get(key)
        arrival: SessionArrival = "joined"
        if lease is None:
            arrival = "taken"
            kept = self._kept.pop(key, None)
            assert kept is None or not kept.releasing, f"{key} was delivered under its release (SS-8.7)"
            if kept is None and not self._unit_free() and not self._take_reservation():
                self._strays[key] += 1
                return "no_unit", None
            self._taken_count += 1
            lease = Lease(key, ExtendingCalls() if kept is None else kept.calls, self._taken_count)
            self._leases[key] = lease
        assert key not in self._kept, f"{key} is leased and kept at once"
        assert token not in lease.attempts, f"{token} was delivered twice"
        lease.step("delivered")
        lease.attempts[token] = None
        lease.idle_since = None
        lease.calls.last_ended = now
        # The fetch may have committed at any moment between its sending and now, so that the row may expire
        # up to that much earlier than D from now. The deadline counts from now all the same; where the doubt
        # is larger than R, a renewal is due at once to settle it (SS-7.24).
        self._extend(lease, counted=now, deadline_from=now)
        lease.recheck = now - fetch.sent > self._interval
        self._changed[lease] = None
        if lease.renewal is not None:
            lease.renewal.overlapped = True
        lease.check()
        self._check()
        return arrival, lease

    # --- attempts -------------------------------------------------------------------------------------

    def finished(self, lease: Lease, token: LockToken, now: Micros) -> None:
        """The attempt's final call has returned (SS-14.13); the last one starts the idle timer (SS-8.2)."""
        if lease.ended:
            self.stray_finished(lease.key, now)
            return
        self._see_time(now)
        assert self._leases.get(lease.key) is lease, f"{token} finished under a lease on {lease.key} not held"
        assert token in lease.attempts, f"{token} finished, in flight on {lease.key} are {(*lease.attempts,)}"
        del lease.attempts[token]
        self._changed[lease] = None
        if not lease.attempts:
            lease.step("last_finished")
            self._start_idling(lease, now)
        lease.check()

    def stray_finished(self, key: ScheduledSessionIdentifier, now: Micros) -> None:
        """The same for a stray; a newer lease of its session begins to be idle only now."""
        self._see_time(now)
        assert self._strays[key] > 0, f"{key} has no attempt in flight without a lease"
        self._strays[key] -= 1
        if not self._strays[key]:
            del self._strays[key]
        lease = self._leases.get(key)
        if lease is not None and lease.phase == "idle":
            self._start_idling(lease, now)

    def _start_idling(self, lease: Lease, now: Micros) -> None:
        assert lease.idle_since is None, f"{lease.key} is idle since {lease.idle_since}, and again at {now}"
        if lease.key not in self._strays:
            lease.idle_since = now
            self._changed[lease] = None

    def plan_item_renewal(self, lease: Lease, token: LockToken, at: Micros | None) -> None:
        """The item's lock, and its session with it, will be renewed at that time; None: not any more."""
        if token in lease.attempts:
            lease.attempts[token] = at
            self._changed[lease] = None

    def item_renewal_sent(self, lease: Lease, token: LockToken, now: Micros) -> ItemRenewal:
        """The call is on its way. A late one counts as planned for when it was: it makes nothing overdue."""
        self._see_time(now)
        planned = lease.attempts.get(token)
        self.plan_item_renewal(lease, token, now if planned is None else min(planned, now))
        lease.calls.open += 1
        return ItemRenewal(lease, token, now)

    def item_renewal_answered(
        self, call: ItemRenewal, now: Micros, answer: RenewalAnswer, next_at: Micros | None
    ) -> None:
        """Success extends the lease (SS-7.8); a refusal concerns the item alone (SS-7.23)."""
        self._see_time(now)
        assert next_at is None or answer != "refused", (
            f"{call.token} is refused, and renewed again at {next_at}"
        )
        call.lease.calls.ended(now, answer)
        self.plan_item_renewal(call.lease, call.token, next_at)
        if answer == "extended" and not call.lease.ended:
            self._extend(call.lease, counted=call.sent, deadline_from=_whole_ms(call.sent))

    # --- time -----------------------------------------------------------------------------------------

    def advance(self, now: Micros) -> Decisions:
        """Do what time has made due; deadlines first: a lease past its own is not made use of (SS-24.10)."""
        self._see_time(now)
        due = self.next_due()
        if due is None or due > now:
            return _NOTHING_DUE
        for key in [k for k, kept in self._kept.items() if self._kept_is_over(kept, now)]:
            del self._kept[key]
        ended = [self._end(lease, "deadline") for lease in self._due(now) if lease.deadline <= now]
        releases: list[Kept] = []
        if not self._fetches and not self._closing:
            for lease in self._due_as_idle(now):
                ended.append(self._end(lease, "idle"))
                releases.append(self._kept[lease.key])
        renewals = [self._send(lease, now) for lease in self._due(now)]
        self._check()
        return Decisions(tuple(ended), tuple(renewals), tuple(releases))

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        """The answer to a stand-alone renewal. After the lease's end it changes nothing (SS-24.7)."""
        self._see_time(now)
        lease = call.lease
        lease.calls.ended(now, answer)
        if lease.ended:
            return None
        assert lease.renewal is call, (
            f"the renewal of {lease.key} sent at {call.sent} was answered, out is {lease.renewal} (SS-7.5)"
        )
        lease.renewal = None
        self._changed[lease] = None
        match answer:
            case "extended":
                self._extend(lease, counted=call.sent, deadline_from=_whole_ms(call.sent))
            case "unknown":
                lease.failure_count += 1
                lease.not_before = Micros(now + renewal_pause(lease.failure_count, self._interval))
            case "refused" if call.overlapped:
                # The refusal may be older than the claim by which the fetch has the session back, or younger
                # and a loss: the order of the two commits is not known here. Ask once more (SS-7.22).
                lease.recheck = True
            case "refused":
                return self._end(lease, "lost")
        return None

    def release_answered(self, kept: Kept, *, confirmed: bool) -> None:
        """A confirmed release frees the unit; after a failed one it is kept for a while (SS-14.15)."""
        assert kept.releasing, f"the release of {kept.key} was answered, and none is out"
        kept.releasing = False
        if confirmed and self._kept.get(kept.key) is kept:
            del self._kept[kept.key]

    def begin_closing(self) -> None:
        """Shutdown began: no lease ends as idle any more; renewals go on until the sessions are released."""
        assert not self._closing, "shutdown begins for the second time"
        self._closing = True

    def close(self, unstopped: frozenset[ScheduledSessionIdentifier]) -> Decisions:
        """End all leases and release those that no handler uses any longer (SS-9.11, SS-9.12)."""
        assert self._closing, f"{len(self._leases)} sessions are released before shutdown began"
        assert not self._fetches, f"sessions are released with {len(self._fetches)} fetches out (SS-9.8)"
        ended = []
        releases = []
        for lease in self._all():
            stopped = not lease.attempts and lease.key not in unstopped
            ended.append(self._end(lease, "shutdown"))
            self._kept[lease.key].releasing = stopped
            if stopped:
                releases.append(self._kept[lease.key])
        assert not self._leases, f"the leases on {(*self._leases,)} outlive shutdown"
        return Decisions(ended=tuple(ended), releases=tuple(releases))

    # --- inside ---------------------------------------------------------------------------------------

    def _see_time(self, now: Micros) -> None:
        """Time never goes back."""
        assert now >= self._now, f"the lease table is told that it is {now}, and was told {self._now} before"
        self._now = now

    def _check(self) -> None:
        assert self._in_use() <= self._limit, f"{self.units} exceed the capacity of {self._limit} (INV-27)"

    def _end_fetch(self, fetch: FetchUnderWay) -> None:
        assert fetch in self._fetches, f"{fetch} ended, and is not under way"
        del self._fetches[fetch]
        self._reserved_count -= fetch.reserved
        self._return_reservations()

    def _take_reservation(self) -> bool:
        """Use the unit of a claiming fetch under way for a session that an owned-only fetch brought.

        Its row is live in our name, so some claim took effect: most likely that very fetch's, whose answer is
        on its way. Giving the session back would release it under the item that answer brings. If the answer
        brings another session instead, it is that one for which no unit is left (SS-14.16).
        """
        for fetch in self._fetches:
            if fetch.reserved:
                assert fetch.claim_new, f"{fetch} may not claim, and has a unit reserved (SS-14.5)"
                fetch.reserved = False
                self._reserved_count -= 1
                return True
        return False

    def _return_reservations(self) -> None:
        """A free unit goes first to a claiming fetch under way that had to give its own up (SS-14.5)."""
        for fetch in self._fetches:
            if fetch.claim_new and not fetch.reserved and self._unit_free():
                fetch.reserved = True
                self._reserved_count += 1

    def _extend(self, lease: Lease, *, counted: Micros, deadline_from: Micros) -> None:
        assert not lease.ended, f"the lease on {lease.key} has ended, and is extended at {counted} (SS-7.16)"
        assert counted <= self._now, f"{lease.key} is extended at {counted}, and it is {self._now} only"
        lease.extended = max(lease.extended, counted)
        lease.deadline = max(lease.deadline, Micros(deadline_from + self._duration))
        lease.recheck = False
        lease.failure_count = 0
        lease.not_before = Micros(0)
        self._changed[lease] = None

    def _send(self, lease: Lease, now: Micros) -> Renewal:
        # A second call beside the first would make nothing safer, and their answers could not be told apart:
        # a late refusal of the one would end the lease that the other has extended. So no second call follows
        # one that does not come back; the deadline ends the wait (SS-7.5, SS-7.12).
        assert lease.renewal is None, (
            f"{lease.key}: a renewal is sent at {now}, one of {lease.renewal.sent} is still out (SS-7.5)"
        )
        assert not lease.ended, f"a renewal is sent at {now} for the ended lease on {lease.key} (SS-7.16)"
        lease.renewal = Renewal(lease, now)
        lease.calls.open += 1
        self._changed[lease] = None
        return lease.renewal

    def _end(self, lease: Lease, cause: EndCause) -> Ended:
        """End the lease; its unit is kept unless the provider said it is lost (SS-7.15, SS-14.15)."""
        attempts = tuple(lease.attempts)
        assert self._leases.get(lease.key) is lease, f"a lease on {lease.key} ends ({cause}) that is not held"
        assert lease.key not in self._kept, f"{lease.key} is leased and kept at once"
        assert cause != "idle" or not attempts, f"{lease.key} ends as idle with {attempts} in flight (SS-8.6)"
        if attempts:
            self._strays[lease.key] += len(attempts)
        lease.step("idle_timer" if cause == "idle" else cause)
        lease.attempts.clear()
        self._changed[lease] = None
        del self._leases[lease.key]
        if cause != "lost":
            self._kept[lease.key] = Kept(lease.key, lease.calls, cause, releasing=cause == "idle")
        return Ended(lease, cause, attempts)


def _whole_ms(at: Micros) -> Micros:
    """The provider counts whole milliseconds; so does a deadline, or it is later than the expiry (INV-25)."""
    return Micros(at // 1000 * 1000)
