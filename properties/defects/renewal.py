"""Defects of renewal: of when a worker renews its sessions, and of what a renewal does at the store."""

from __future__ import annotations

from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.provider import ScheduledSessionIdentifier, session_not_owned
from holdfast.core.working.lease_records import (
    Ended,
    FetchUnderWay,
    ItemRenewal,
    Lease,
    Renewal,
    RenewalAnswer,
    SessionArrival,
)
from holdfast.core.working.lease_table import LeaseTable
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, statements
from holdfast.properties.defects.replacements import session_owner
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.tables import SessionRow, Tables
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction, Values


@defect("lease manager", "22.1", "single_flight_renewal", caught_by="INV-26", needs="a slow renewal")
class RenewalSentAgain(LeaseTable):
    """A renewal that is not answered within R is sent again while the first is under way."""

    def _renewal_due(self, lease: Lease) -> Micros | None:
        if lease.renewal is not None:
            return Micros(lease.renewal.sent + self._interval)
        return super()._renewal_due(lease)

    def _send(self, lease: Lease, now: Micros) -> Renewal:
        lease.renewal = None
        return super()._send(lease, now)

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        if not call.lease.ended:
            call.lease.renewal = call
        return super().renewal_answered(call, now, answer)


@defect(
    "lease manager",
    "22.2 22.3 22.4",
    "piggyback_resets_due_time",
    caught_by="22.4",
    needs="an activity longer than R",
)
class PiggybackDoesNotCount(LeaseTable):
    """The next stand-alone renewal is due R after the last stand-alone one, whatever items have done."""

    def item_renewal_answered(
        self, call: ItemRenewal, now: Micros, answer: RenewalAnswer, next_at: Micros | None
    ) -> None:
        extended = call.lease.extended
        super().item_renewal_answered(call, now, answer, next_at)
        call.lease.extended = extended


@defect(
    "lease manager",
    "22.3",
    "standalone_fills_gaps_between_item_renewals",
    needs="item renewals less often than every R",
)
class NothingWhileBusy(LeaseTable):
    """While work is in flight no stand-alone renewal is sent, even if items are renewed too seldom."""

    def _renewal_due(self, lease: Lease) -> Micros | None:
        return None if lease.attempts else super()._renewal_due(lease)


@defect("lease manager", "22.9", "renewal_interval_no_floor", needs="a short session lock")
class OneSecondBetweenRenewals(LeaseTable):
    """Sessions are not renewed more often than once a second, however short their lock is."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle, limit=limit)
        self._interval = Micros(max(self._interval, 1_000_000))


@defect(
    "lease manager",
    "22.10",
    "renewal_with_all_slots_busy",
    needs="every slot busy for longer than R",
    elsewhere="idle_and_lock_knobs_independent",
)
class SlotsRenew(LeaseTable):
    """Sessions are renewed by the slots between their fetches."""

    def _renewal_due(self, lease: Lease) -> Micros | None:
        return super()._renewal_due(lease) if self._fetches else None

    def _look_at_changed(self) -> None:
        self._changed.update(dict.fromkeys(self._leases.values()))
        super()._look_at_changed()


@defect("lease manager", "22.12 22.14", "renewal_count_per_session", needs="several activities of a session")
class EachDeliveryConfirmed(LeaseTable):
    """Every item of a session that is held already has its session renewed at once."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None and delivery == "joined":
            lease.recheck = True
        return delivery, lease


@defect("lease manager", "22.13", "slow_fetch_renews_at_once", needs="a fetch longer than R")
class SlowClaimsUnconfirmed(LeaseTable):
    """A claim that a fetch brings after long waiting is not renewed at once."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None:
            lease.recheck = False
        return delivery, lease


@defect("lease manager", "22.13", "slow_fetch_renews_at_once", needs="a fetch longer than R")
class DeadlineFromTheCall(LeaseTable):
    """The deadline of a new lease counts from when its fetch was sent."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None and delivery == "taken":
            lease.deadline = Micros(fetch.sent + self._duration)
        return delivery, lease


@defect("lease manager", "22.15", "timeline_takeover_of_frozen_owner", needs="an owner that stalls")
class NoDeadline(LeaseTable):
    """A lease never ends by the worker's own clock."""

    def _extend(self, lease: Lease, *, counted: Micros, deadline_from: Micros) -> None:
        super()._extend(lease, counted=counted, deadline_from=Micros(deadline_from + 1000 * self._duration))


@defect(
    "provider",
    "22.5 22.6",
    "item_renewal_refused_when_session_moved",
    needs="a session that moved under an item",
)
def items_renewed_without_their_session() -> Changes:
    """The lock of an item is extended although its session has gone elsewhere."""

    def renew_in_memory(
        renew: Original, tables: Tables, now: Millis, token: LockToken, *durations: Millis
    ) -> None:
        row = memory_work.held_row(tables, "renew_work_item_lock", token, now)
        session = None if row.session_id is None else tables.session(row.identity.instance, row.session_id)
        if row.session_id is None or (session is not None and session.worker_id == row.claimed_by):
            renew(tables, now, token, *durations)
            return
        row.locked_until = Millis(now + durations[0])

    def extend_in_sqlite(
        extend: Original,
        transaction: Transaction,
        instance: str,
        session_id: str,
        worker_id: str,
        extend_for: Millis,
    ) -> None:
        if transaction.operation == "renew_session_lock":
            extend(transaction, instance, session_id, worker_id, extend_for)
            return
        values: Values = {
            "instance": instance,
            "session": session_id,
            "worker": worker_id,
            "locked_until": transaction.now + extend_for,
        }
        transaction.change(sqlite_work.SQL["extend_session"], values)

    yield around(memory_work, "renew", renew_in_memory)
    yield around(sqlite_work, "_extend", extend_in_sqlite)


@defect(
    "provider", "15.6 22.7", "piggyback_uses_given_session_duration", caught_by="22.7", needs="two durations"
)
def one_duration_for_both() -> Changes:
    """The renewal of an item extends its session by the duration of the item."""

    def renew(before: Original, *given: object) -> None:
        *others, item, _session = given
        before(*others, item, item)

    yield around(memory_work, "renew", renew)
    yield around(sqlite_work, "renew", renew)


@defect("provider", "22.8", "late_renewal_revives", needs="a late renewal")
def only_live_sessions_renewed() -> Changes:
    """The renewal of a session that has just expired is refused although nobody else has it."""

    def renew_in_memory(
        renew: Original,
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        worker_id: str,
        extend_for: Millis,
    ) -> None:
        row = tables.session(instance, session_id)
        if row is not None and row.worker_id == worker_id and not row.is_live(now):
            raise session_not_owned("renew_session_lock", instance, session_id, worker_id)
        renew(tables, now, instance, session_id, worker_id, extend_for)

    def renew_in_sqlite(
        renew: Original,
        transaction: Transaction,
        instance: str,
        session_id: str,
        worker_id: str,
        extend_for: Millis,
    ) -> None:
        owner = session_owner(transaction, instance, session_id)
        if owner and owner[0] == worker_id and owner[1] is not None and owner[1] <= transaction.now:
            raise session_not_owned(transaction.operation, instance, session_id, worker_id)
        renew(transaction, instance, session_id, worker_id, extend_for)

    yield around(memory_affinity, "renew", renew_in_memory)
    yield around(sqlite_work, "renew_session", renew_in_sqlite)


@defect(
    "provider",
    "14.6 22.7 22.11 30.2",
    "extension_never_shortens",
    caught_by="22.11",
    needs="a shorter extension",
)
def extensions_shorten() -> Changes:
    """An extension sets the expiry of a session, even to an earlier moment."""

    def extend(tables: Tables, row: SessionRow, until: Millis) -> None:
        tables.journal.keep(row)
        row.locked_until = until

    yield Change(memory_affinity, "extend", extend)
    yield statements(sqlite_work, ("extend_session", "max(locked_until, :locked_until)", ":locked_until"))
