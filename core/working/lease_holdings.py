"""What one worker holds, and when each part of it is due. `lease_table` changes it.

What may be held at once is counted in units. Together they never exceed the limit (INV-27). One unit:

    free ──a claiming fetch is sent──▶ reserved ──it brings a session──▶ leased
                                       reserved ──it brings none──▶ free
    leased ──the provider says that the session is lost──▶ free
    leased ──idle, deadline, shutdown──▶ kept ──an item of the session arrives──▶ leased
                                         kept ──released, or surely expired──▶ free

Reserved before the fetch, because the store may commit the claim long before its answer is here. Kept after
the lease, because until the provider has answered the row may name this worker and be live (SS-14.15).

A *stray* is an attempt in flight that no lease covers: its lease has ended and it was signalled, or it is to
be given back. It takes no unit, but its session is not idle before its final call has returned: a release
would let another worker run the next item beside it (INV-29).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from holdfast.core.contract.ids import Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.working.due_times import DueTimes
from holdfast.core.working.lease_records import FetchUnderWay, Kept, Lease, LeaseView, Units

_CYCLES_BEFORE_RECHECK: Final = 10
"""Idle cycles after which an owned-only fetch ends, so that the next one checks whether a unit came back.

A unit that a claiming fetch of another slot has reserved comes back when that fetch ends, and no due time
tells when: at once, or after the whole long poll. One cycle would be busy polling for as long as others
claim; the long poll would leave a free unit unused. Ten cost a tenth of the former, and by default a second.
"""


class LeaseHoldings:
    """All that one worker holds. `duration` is D, `idle` is T, `limit` the session capacity."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        assert duration > 0, f"a session lock of {duration} us is never live"
        assert idle is None or idle >= 0, f"a session is idle after {idle} us"
        self._duration = duration
        self._interval = Micros(duration // 2)  # R: exactly the half, no floor (SS-7.19)
        self._idle = idle
        self._limit = limit
        self._now = Micros(0)
        self._leases: dict[ScheduledSessionIdentifier, Lease] = {}
        self._kept: dict[ScheduledSessionIdentifier, Kept] = {}
        self._fetches: dict[FetchUnderWay, None] = {}  # in the order in which they began
        self._reserved_count = 0
        self._taken_count = 0
        # When leases are due, kept up to date by `_look_at_changed`: a worker may hold thousands, and each
        # answer and each fetch asks. Leases hash by identity.
        self._changed: dict[Lease, None] = {}
        self._renewal_times: DueTimes[Lease] = DueTimes()  # of the deadline too, if that comes first
        self._idle_times: DueTimes[Lease] = DueTimes()
        self._strays: Counter[ScheduledSessionIdentifier] = Counter()
        self._answer_lost_at: Micros | None = None
        self._closing = False

    @property
    def units(self) -> Units:
        return Units(len(self._leases), self._reserved_count, len(self._kept))

    @property
    def releasing(self) -> bool:
        """Whether a release was sent and not answered."""
        return any(kept.releasing for kept in self._kept.values())

    def holds(self, key: ScheduledSessionIdentifier) -> bool:
        return key in self._leases

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
        if self._kept and any(kept.releasing and kept.cause == "idle" for kept in self._kept.values()):
            return False
        if self._idle is None or self._closing:
            return True
        idle_at = self._first_idle_at()
        return idle_at is None or idle_at > now

    def next_due(self) -> Micros | None:
        """When `advance` has something to do if nothing else happens before."""
        if self._changed:
            self._look_at_changed()
        first = self._renewal_times.earliest()
        due = [] if first is None else [first]
        for kept in self._kept.values():
            until = self._kept_until(kept)
            if until is not None and not self._fetching_since_before(until):
                due.append(until)
        if not self._fetches and not self._closing:  # otherwise the end of the last fetch is what counts
            idle_at = self._first_idle_at()
            if idle_at is not None:
                due.append(idle_at)
        return min(due, default=None)

    def longest_wait(self, fetch: FetchUnderWay, *, slot_count: int, min_poll: Micros) -> Micros | None:
        """How long this fetch may wait for work without holding anything up; None for no limit."""
        assert fetch in self._fetches, f"{fetch} asks how long it may wait, and is not under way"
        limits: list[int] = []
        if self._idle is not None:
            # An idle release waits until no fetch is under way (SS-8.7), so none may outlast an idle timer:
            # neither one that runs already nor one that another slot may start while this fetch waits.
            idle_at = self._first_idle_at()
            if idle_at is not None:
                limits.append(idle_at - fetch.sent)
            if slot_count > 1:
                limits.append(self._idle)
        if not fetch.claim_new:
            # It cannot claim, however long it waits. So it ends soon after a unit may have come free, and the
            # next one claims (SS-14.6): at a due time, at an answer that is out, or when a claim has ended.
            due = self.next_due()
            units_free = [
                until for kept in self._kept.values() if (until := self._kept_until(kept)) is not None
            ]
            limits.extend(at - fetch.sent + min_poll for at in (due, *units_free) if at is not None)
            if self._answer_may_free():
                limits.append(min_poll)
            if self._reserved_count:
                limits.append(_CYCLES_BEFORE_RECHECK * min_poll)
        return Micros(max(min(limits), 0)) if limits else None

    # --- inside -----------------------------------------------------------------------------------------

    def _all(self) -> list[Lease]:
        return list(self._leases.values())

    def _in_use(self) -> int:
        return len(self._leases) + self._reserved_count + len(self._kept)

    def _unit_free(self) -> bool:
        return self._in_use() < self._limit

    def _look_at_changed(self) -> None:
        """Work out anew when the leases are due that something has happened to since."""
        for lease in self._changed:
            if lease.ended:
                self._renewal_times.put(lease, None)
                self._idle_times.put(lease, None)
                continue
            due = self._renewal_due(lease)
            self._renewal_times.put(lease, lease.deadline if due is None else min(due, lease.deadline))
            self._idle_times.put(lease, self._idle_at(lease))
        self._changed.clear()

    def _due(self, by: Micros) -> list[Lease]:
        """The leases whose renewal or deadline is due by then, in the order in which they were taken."""
        self._look_at_changed()
        return sorted(self._renewal_times.due(by), key=_number)

    def _due_as_idle(self, by: Micros) -> list[Lease]:
        """The leases whose idle timer has run out by then, in the order in which they were taken."""
        self._look_at_changed()
        return sorted(self._idle_times.due(by), key=_number)

    def _first_idle_at(self) -> Micros | None:
        if self._changed:
            self._look_at_changed()
        return self._idle_times.earliest()

    def _answer_may_free(self) -> bool:
        """Whether a call is out whose answer may free a unit at any moment: no due time tells when."""
        return any(lease.renewal is not None for lease in self._leases.values()) or any(
            kept.releasing or kept.calls.open for kept in self._kept.values()
        )

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

    def _idle_at(self, lease: Lease) -> Micros | None:
        if self._idle is None or lease.idle_since is None:
            return None
        return Micros(lease.idle_since + self._idle)

    def _kept_until(self, kept: Kept) -> Micros | None:
        if kept.releasing or kept.calls.open:
            return None
        last = kept.calls.last_ended
        if self._answer_lost_at is not None:
            last = max(last, self._answer_lost_at)
        return Micros(last + self._duration)

    def _kept_is_over(self, kept: Kept, now: Micros) -> bool:
        until = self._kept_until(kept)
        return until is not None and until <= now and not self._fetching_since_before(until)

    def _fetching_since_before(self, at: Micros) -> bool:
        """Whether a fetch is under way that may have extended a row which was live until then."""
        return any(fetch.sent < at for fetch in self._fetches)


def _number(lease: Lease) -> int:
    return lease.number
