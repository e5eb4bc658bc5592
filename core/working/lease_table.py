"""The sessions one worker holds, as a state machine: every method takes the time and returns decisions.

Nothing here waits, calls a provider or reads a clock; `lease_keeper` is the shell that does. All times are
`Micros` of the worker's monotonic clock (SS-24.2).

A *unit* of capacity is held by a lease, by a claiming fetch under way (a reservation), or by a session that
was given up without the provider's word (kept, SS-14.15). Their sum never exceeds the limit (INV-27).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.hosting.backoff import renewal_pause
from holdfast.core.working.lease_records import (
    Decisions,
    EndCause,
    Ended,
    ExtendingCalls,
    FetchUnderWay,
    ItemRenewal,
    Kept,
    Lease,
    LeaseView,
    Renewal,
    RenewalAnswer,
    SessionArrival,
    Units,
)

_RECHECKS: Final = 10
"""Idle cycles after which an owned-only fetch looks again whether a unit came back from another slot."""


class LeaseTable:
    """All leases of one worker. `duration` is D, `idle` is T, `limit` the session capacity."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        self._duration = duration
        self._interval = Micros(duration // 2)  # R: exactly the half, no floor (SS-7.19)
        self._idle = idle
        self._limit = limit
        self._leases: dict[ScheduledSessionIdentifier, Lease] = {}
        self._kept: dict[ScheduledSessionIdentifier, Kept] = {}
        self._fetches: dict[FetchUnderWay, None] = {}  # in the order in which they began
        self._strays: Counter[ScheduledSessionIdentifier] = Counter()
        """Attempts in flight that no lease covers: signalled ones of ended leases, and given back ones."""
        self._answer_lost: Micros | None = None
        self._closing = False

    # --- looking --------------------------------------------------------------------------------------

    @property
    def units(self) -> Units:
        """What is in use; never more than the limit together (INV-27, test_leases)."""
        reserved = sum(fetch.reserved for fetch in self._fetches)
        return Units(len(self._leases), reserved, len(self._kept))

    @property
    def fetches_under_way(self) -> int:
        """Session-aware fetches that were not answered yet."""
        return len(self._fetches)

    @property
    def releasing(self) -> bool:
        """Whether a release was sent and not answered."""
        return any(kept.releasing for kept in self._kept.values())

    def views(self) -> tuple[LeaseView, ...]:
        """A snapshot, in the order in which the leases were taken."""
        return tuple(
            LeaseView(
                lease.key.instance,
                lease.key.session_id,
                lease.phase,
                len(lease.attempts),
                lease.extended,
                lease.deadline,
            )
            for lease in self._leases.values()
        )

    def may_fetch(self, now: Micros) -> bool:
        """False while an idle release is due or under way: it must not hit a delivered item (SS-8.7)."""
        if any(kept.releasing and kept.cause == "idle" for kept in self._kept.values()):
            return False
        return not any(self._idle_due(lease, by=now) for lease in self._leases.values())

    def next_due(self) -> Micros | None:
        """When `advance` has something to do if nothing else happens before."""
        due = [lease.deadline for lease in self._leases.values()]
        due.extend(at for lease in self._leases.values() if (at := self._renewal_due(lease)) is not None)
        for kept in self._kept.values():
            until = self._kept_until(kept)
            if until is not None and not self._fetching_since_before(until):
                due.append(until)
        if not self._fetches and not self._closing:  # otherwise the end of the last fetch is what counts
            due.extend(at for lease in self._leases.values() if (at := self._idle_at(lease)) is not None)
        return min(due, default=None)

    def longest_wait(self, fetch: FetchUnderWay, *, slot_count: int, min_poll: Micros) -> Micros | None:
        """How long this fetch may wait for work without standing in the way; None if as long as it likes.

        An idle release waits until no fetch is under way, so none may outlast an idle timer: neither one that
        runs nor one that another slot may start meanwhile. And an owned-only fetch ends soon after a unit may
        have come free, so that the next one can claim (SS-14.6).
        """
        limits: list[int] = []
        if self._idle is not None:
            idle = [at for lease in self._leases.values() if (at := self._idle_at(lease)) is not None]
            limits.extend(at - fetch.sent for at in idle)
            if slot_count > 1:
                limits.append(self._idle)
        if not fetch.claim_new:
            due = self.next_due()
            units_free = [
                until for kept in self._kept.values() if (until := self._kept_until(kept)) is not None
            ]
            limits.extend(at - fetch.sent + min_poll for at in (due, *units_free) if at is not None)
            if self._answer_may_free():
                limits.append(min_poll)
            if self.units.reserved:
                limits.append(_RECHECKS * min_poll)
        return Micros(max(min(limits), 0)) if limits else None

    # --- fetches --------------------------------------------------------------------------------------

    def begin_fetch(self, now: Micros) -> FetchUnderWay:
        """Choose the mode and reserve a unit for a claiming fetch (SS-14.2, SS-14.3, SS-14.5)."""
        assert self.may_fetch(now), "a fetch is begun while an idle release is due or under way (SS-8.7)"
        self._return_reservations()
        free = self._unit_free()
        fetch = FetchUnderWay(claim_new=free, sent=now, reserved=free)
        self._fetches[fetch] = None
        self._check()
        return fetch

    def fetch_ended(self, fetch: FetchUnderWay, now: Micros, *, answer_lost: bool = False) -> None:
        """The fetch brought no session item; a reserved unit returns (SS-14.14).

        With `answer_lost` it may have brought one that nobody heard of, which may have extended any session.
        """
        self._end_fetch(fetch)
        if answer_lost:
            self._answer_lost = now

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        """A session item arrived: it joins a lease before anything else is decided (SS-14.7, SS-14.8)."""
        self._end_fetch(fetch)
        lease = self._leases.get(key)
        delivery: SessionArrival = "joined"
        if lease is None:
            delivery = "taken"
            kept = self._kept.pop(key, None)
            assert kept is None or not kept.releasing, f"{key} was delivered under its release (SS-8.7)"
            if kept is None and not self._unit_free() and not self._take_reservation():
                self._strays[key] += 1
                return "no_unit", None
            lease = Lease(key, ExtendingCalls() if kept is None else kept.calls)
            self._leases[key] = lease
        assert token not in lease.attempts, f"{token} was delivered twice"
        lease.step("delivered")
        lease.attempts[token] = None
        lease.idle_since = None
        lease.calls.last_ended = now
        # The commit may be long past: the deadline counts from here, and a confirmation is due (SS-7.24).
        self._extend(lease, counted=now, deadline_from=now)
        lease.recheck = now - fetch.sent > self._interval
        if lease.renewal is not None:
            lease.renewal.overlapped = True
        self._check()
        return delivery, lease

    # --- attempts -------------------------------------------------------------------------------------

    def finished(self, lease: Lease, token: LockToken, now: Micros) -> None:
        """The attempt's final call has returned (SS-14.13); the last one starts the idle timer (SS-8.2)."""
        if lease.ended:
            self.stray_finished(lease.key, now)
            return
        del lease.attempts[token]
        if not lease.attempts:
            lease.step("last_finished")
            self._start_idling(lease, now)

    def stray_finished(self, key: ScheduledSessionIdentifier, now: Micros) -> None:
        """The same for an attempt that no lease covers; a newer lease of its session was not idle."""
        assert self._strays[key] > 0, f"{key} has no attempt in flight without a lease"
        self._strays[key] -= 1
        lease = self._leases.get(key)
        if lease is not None and lease.phase == "idle":
            self._start_idling(lease, now)

    def _start_idling(self, lease: Lease, now: Micros) -> None:
        if self._strays[lease.key] == 0:
            del self._strays[lease.key]
            lease.idle_since = now

    def plan_item_renewal(self, lease: Lease, token: LockToken, at: Micros | None) -> None:
        """The item's lock will be renewed then, its session with it; None: not any more."""
        if token in lease.attempts:
            lease.attempts[token] = at

    def item_renewal_sent(self, lease: Lease, token: LockToken, now: Micros) -> ItemRenewal:
        """The call is on its way. A late one counts as planned for when it was: it makes nothing overdue."""
        planned = lease.attempts.get(token)
        self.plan_item_renewal(lease, token, now if planned is None else min(planned, now))
        lease.calls.open += 1
        return ItemRenewal(lease, token, now)

    def item_renewal_answered(
        self, call: ItemRenewal, now: Micros, answer: RenewalAnswer, next_at: Micros | None
    ) -> None:
        """Success extends the lease (SS-7.8); a refusal concerns the item alone (SS-7.23)."""
        call.lease.calls.ended(now, answer)
        self.plan_item_renewal(call.lease, call.token, next_at)
        if answer == "extended" and not call.lease.ended:
            self._extend(call.lease, counted=call.sent, deadline_from=_whole_ms(call.sent))

    # --- time -----------------------------------------------------------------------------------------

    def advance(self, now: Micros) -> Decisions:
        """Do what time has made due; deadlines first: a lease past its own is not made use of (SS-24.10)."""
        for key in [k for k, kept in self._kept.items() if self._is_over(kept, now)]:
            del self._kept[key]
        ended = [self._end(lease, "deadline") for lease in self._all() if lease.deadline <= now]
        releases: list[Kept] = []
        if not self._fetches and not self._closing:
            for lease in [lease for lease in self._all() if self._idle_due(lease, by=now)]:
                ended.append(self._end(lease, "idle"))
                releases.append(self._kept[lease.key])
        renewals = [
            self._send(lease, now)
            for lease in self._all()
            if (due := self._renewal_due(lease)) is not None and due <= now
        ]
        self._check()
        return Decisions(tuple(ended), tuple(renewals), tuple(releases))

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        """The answer to a stand-alone renewal. After the lease's end it changes nothing (SS-24.7)."""
        lease = call.lease
        lease.calls.ended(now, answer)
        if lease.ended:
            return None
        assert lease.renewal is call, f"{lease.key} has another renewal outstanding (SS-7.5)"
        lease.renewal = None
        match answer:
            case "extended":
                self._extend(lease, counted=call.sent, deadline_from=_whole_ms(call.sent))
            case "unknown":
                lease.failure_count += 1
                lease.not_before = Micros(now + renewal_pause(lease.failure_count, self._interval))
            case "refused" if call.overlapped:
                lease.recheck = (
                    True  # the fetch may have committed after the refusal: ask once more (SS-7.22)
                )
            case "refused":
                return self._end(lease, "lost")
        return None

    def release_answered(self, kept: Kept, *, confirmed: bool) -> None:
        """A confirmed release frees the unit; after a failed one it is kept for a while (SS-14.15)."""
        kept.releasing = False
        if confirmed and self._kept.get(kept.key) is kept:
            del self._kept[kept.key]

    def begin_closing(self) -> None:
        """Shutdown began: no lease ends as idle any more; renewals go on until the sessions are released."""
        self._closing = True

    def close(self, unstopped: frozenset[ScheduledSessionIdentifier]) -> Decisions:
        """End all leases and release those that no handler uses any longer (SS-9.11, SS-9.12)."""
        assert not self._fetches, "sessions are released while a fetch is under way (SS-9.8)"
        ended = []
        releases = []
        for lease in self._all():
            stopped = not lease.attempts and lease.key not in unstopped
            ended.append(self._end(lease, "shutdown"))
            self._kept[lease.key].releasing = stopped
            if stopped:
                releases.append(self._kept[lease.key])
        assert not self._leases, "no lease outlives shutdown"
        return Decisions(ended=tuple(ended), releases=tuple(releases))

    # --- inside ---------------------------------------------------------------------------------------

    def _answer_may_free(self) -> bool:
        """Whether a call is out whose answer may free a unit at any moment: no due time tells when."""
        return any(lease.renewal is not None for lease in self._leases.values()) or any(
            kept.releasing or kept.calls.open for kept in self._kept.values()
        )

    def _all(self) -> list[Lease]:
        return list(self._leases.values())

    def _unit_free(self) -> bool:
        return sum(self.units) < self._limit

    def _check(self) -> None:
        assert sum(self.units) <= self._limit, f"{self.units} exceed the capacity of {self._limit} (INV-27)"

    def _end_fetch(self, fetch: FetchUnderWay) -> None:
        assert fetch in self._fetches, "a fetch ends once"
        del self._fetches[fetch]
        self._return_reservations()

    def _take_reservation(self) -> bool:
        """Use the unit of a claiming fetch under way for a session that an owned-only fetch brought.

        Its row is live in our name, so some claim took effect: most likely that very fetch's, whose answer is
        on its way. Giving the session back would release it under the item that answer brings. If the answer
        brings another session instead, it is that one for which no unit is left (SS-14.16).
        """
        for fetch in self._fetches:
            if fetch.reserved:
                fetch.reserved = False
                return True
        return False

    def _return_reservations(self) -> None:
        """A free unit goes first to a claiming fetch under way that had to give its own up (SS-14.5)."""
        for fetch in self._fetches:
            if fetch.claim_new and not fetch.reserved and self._unit_free():
                fetch.reserved = True

    def _extend(self, lease: Lease, *, counted: Micros, deadline_from: Micros) -> None:
        lease.extended = max(lease.extended, counted)
        lease.deadline = max(lease.deadline, Micros(deadline_from + self._duration))
        lease.recheck = False
        lease.failure_count = 0
        lease.not_before = Micros(0)

    def _renewal_due(self, lease: Lease) -> Micros | None:
        """When a stand-alone renewal must be sent; None while one is outstanding.

        Planned item renewals extend the lease too, so the due time is where the first gap longer than R would
        begin: while I <= R there is none as long as work is in flight (SS-7.8, SS-7.9).
        """
        if lease.renewal is not None:
            return None
        if lease.recheck:
            return max(lease.extended, lease.not_before)
        covered = lease.extended
        for planned in sorted(at for at in lease.attempts.values() if at is not None):
            if planned > covered + self._interval:
                break
            covered = max(covered, planned)
        return max(Micros(covered + self._interval), lease.not_before)

    def _send(self, lease: Lease, now: Micros) -> Renewal:
        assert lease.renewal is None, f"{lease.key} has a renewal outstanding (SS-7.5)"
        lease.renewal = Renewal(lease, now)
        lease.calls.open += 1
        return lease.renewal

    def _idle_at(self, lease: Lease) -> Micros | None:
        if self._idle is None or lease.idle_since is None:
            return None
        return Micros(lease.idle_since + self._idle)

    def _idle_due(self, lease: Lease, *, by: Micros) -> bool:
        at = self._idle_at(lease)
        return at is not None and at <= by and not self._closing

    def _end(self, lease: Lease, cause: EndCause) -> Ended:
        """Take the lease out; unless the provider said so itself, its unit is kept (SS-7.15, SS-14.15)."""
        attempts = tuple(lease.attempts)
        assert cause != "idle" or not attempts, f"{lease.key} is in use and not idle (SS-8.6)"
        self._strays[lease.key] += len(attempts)
        lease.step("idle_timer" if cause == "idle" else cause)
        lease.attempts.clear()
        del self._leases[lease.key]
        if cause != "lost":
            self._kept[lease.key] = Kept(lease.key, lease.calls, cause, releasing=cause == "idle")
        return Ended(lease, cause, attempts)

    def _kept_until(self, kept: Kept) -> Micros | None:
        if kept.releasing or kept.calls.open:
            return None
        last = kept.calls.last_ended
        if self._answer_lost is not None:
            last = max(last, self._answer_lost)
        return Micros(last + self._duration)

    def _is_over(self, kept: Kept, now: Micros) -> bool:
        until = self._kept_until(kept)
        return until is not None and until <= now and not self._fetching_since_before(until)

    def _fetching_since_before(self, at: Micros) -> bool:
        """Whether a fetch is under way that may have extended a row which was live until then."""
        return any(fetch.sent < at for fetch in self._fetches)


def _whole_ms(at: Micros) -> Micros:
    """The provider counts whole milliseconds; so does a deadline, or it is later than the expiry (INV-25)."""
    return Micros(at // 1000 * 1000)
