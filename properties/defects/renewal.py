"""Defects of renewal: of when a worker renews its sessions, and of what a renewal does at the store."""

from __future__ import annotations

from typing import Final

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
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced, statement
from holdfast.properties.defects.replacements import lease_table_defect
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.tables import SessionRow, Tables
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


class _SentAgain(LeaseTable):
    """A renewal that is not answered within R is sent once more beside the first."""

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


class _PiggybackDoesNotCount(LeaseTable):
    """The renewal of an item moves the deadline of the lease and leaves its schedule alone."""

    def item_renewal_answered(
        self, call: ItemRenewal, now: Micros, answer: RenewalAnswer, next_at: Micros | None
    ) -> None:
        extended = call.lease.extended
        super().item_renewal_answered(call, now, answer, next_at)
        call.lease.extended = extended


class _NothingWhileBusy(LeaseTable):
    """With work in flight stand-alone renewals are left to the items, however seldom those are renewed."""

    def _renewal_due(self, lease: Lease) -> Micros | None:
        return None if lease.attempts else super()._renewal_due(lease)


class _OneSecondAtLeast(LeaseTable):
    """The renewal interval has a lower floor."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle, limit=limit)
        self._interval = Micros(max(self._interval, 1_000_000))


class _SlotsRenew(LeaseTable):
    """Renewals are sent between fetches: with every slot busy there is nobody to send them."""

    def _renewal_due(self, lease: Lease) -> Micros | None:
        return super()._renewal_due(lease) if self._fetches else None


class _EachDeliveryConfirmed(LeaseTable):
    """Every further item of a session that is held has its session renewed at once."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None and delivery == "joined":
            lease.recheck = True
        return delivery, lease


class _NoConfirmation(LeaseTable):
    """A fetch that waited long is like any other: its claim is renewed after R."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None:
            lease.recheck = False
        return delivery, lease


class _DeadlineFromTheCall(LeaseTable):
    """The deadline after a fetch counts from when the fetch was sent."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None and delivery == "taken":
            lease.deadline = Micros(fetch.sent + self._duration)
        return delivery, lease


class _NoDeadline(LeaseTable):
    """A lease ends when the provider says so, and never by the worker's own clock."""

    def _extend(self, lease: Lease, *, counted: Micros, deadline_from: Micros) -> None:
        super()._extend(lease, counted=counted, deadline_from=Micros(deadline_from + 1000 * self._duration))


def _items_renewed_without_their_session() -> Planting:
    """The lock of an item is extended also if its session has gone elsewhere; the session is left alone."""
    in_memory, in_sqlite = original(memory_work, "renew"), original(sqlite_work, "_extend")

    def renew_in_memory(
        tables: Tables, now: Millis, token: LockToken, extend_for: Millis, extend_session_for: Millis
    ) -> None:
        row = memory_work.held_row(tables, "renew_work_item_lock", token, now)
        session = None if row.session_id is None else tables.session(row.identity.instance, row.session_id)
        if row.session_id is None or (session is not None and session.worker_id == row.claimed_by):
            in_memory(tables, now, token, extend_for, extend_session_for)
            return
        row.locked_until = Millis(now + extend_for)

    def extend_in_sqlite(
        transaction: Transaction, instance: str, session_id: str, worker_id: str | None, extend_for: Millis
    ) -> None:
        if transaction.operation == "renew_session_lock":
            in_sqlite(transaction, instance, session_id, worker_id, extend_for)
            return
        values = {
            "instance": instance,
            "session": session_id,
            "worker": worker_id,
            "locked_until": Millis(transaction.now + extend_for),
        }
        transaction.change(sqlite_work.SQL["extend_session"], values)

    return replaced(
        Change(memory_work, "renew", renew_in_memory), Change(sqlite_work, "_extend", extend_in_sqlite)
    )


def _one_duration_for_both() -> Planting:
    """The session of an item is extended by the duration of the item."""
    in_memory, in_sqlite = original(memory_work, "renew"), original(sqlite_work, "renew")

    def renew_in_memory(
        tables: Tables, now: Millis, token: LockToken, extend_for: Millis, extend_session_for: Millis
    ) -> None:
        in_memory(tables, now, token, extend_for, extend_for)

    def renew_in_sqlite(
        transaction: Transaction, token: LockToken, extend_for: Millis, extend_session_for: Millis
    ) -> None:
        in_sqlite(transaction, token, extend_for, extend_for)

    return replaced(
        Change(memory_work, "renew", renew_in_memory), Change(sqlite_work, "renew", renew_in_sqlite)
    )


def _only_live_sessions_renewed() -> Planting:
    """A session whose expiry has passed is refused to its last owner although nobody has it."""
    in_memory = original(memory_affinity, "renew")

    def renew_in_memory(
        tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str, extend_for: Millis
    ) -> None:
        row = tables.session(instance, session_id)
        if row is not None and row.worker_id == worker_id and not row.is_live(now):
            raise session_not_owned("renew_session_lock", instance, session_id, worker_id)
        in_memory(tables, now, instance, session_id, worker_id, extend_for)

    in_sqlite = original(sqlite_work, "renew_session")

    def renew_in_sqlite(
        transaction: Transaction, instance: str, session_id: str, worker_id: str, extend_for: Millis
    ) -> None:
        owner = transaction.one(
            sqlite_work.SQL["session_owner"], {"instance": instance, "session": session_id}
        )
        if owner is not None and owner[0] == worker_id and owner[1] <= transaction.now:
            raise session_not_owned(transaction.operation, instance, session_id, worker_id)
        in_sqlite(transaction, instance, session_id, worker_id, extend_for)

    return replaced(
        Change(memory_affinity, "renew", renew_in_memory),
        Change(sqlite_work, "renew_session", renew_in_sqlite),
    )


def _extensions_set_the_expiry() -> Planting:
    """An extension sets the expiry of a session, whether that is later or earlier."""

    def extend(tables: Tables, row: SessionRow, until: Millis) -> None:
        tables.journal.keep(row)
        row.locked_until = until

    return replaced(
        Change(memory_affinity, "extend", extend),
        statement(sqlite_work, "extend_session", "max(locked_until, :locked_until)", ":locked_until"),
    )


DEFECTS: Final = (
    lease_table_defect(
        "renewal_sent_again",
        "A renewal that is not answered within R is sent again while the first is under way",
        _SentAgain,
        "INV-26",
        ("22.1",),
        "single_flight_renewal",
        "a slow renewal",
    ),
    lease_table_defect(
        "piggyback_does_not_count",
        "The next stand-alone renewal is due R after the last stand-alone one, whatever items have done",
        _PiggybackDoesNotCount,
        "22.4",
        ("22.2", "22.3", "22.4"),
        "piggyback_resets_due_time",
        "an activity longer than R",
    ),
    lease_table_defect(
        "nothing_while_busy",
        "While work is in flight no stand-alone renewal is sent, also if items are renewed too seldom",
        _NothingWhileBusy,
        "22.3",
        ("22.3",),
        "standalone_fills_gaps_between_item_renewals",
        "item renewals less often than every R",
    ),
    lease_table_defect(
        "one_second_between_renewals",
        "Sessions are not renewed more often than once a second, however short their lock is",
        _OneSecondAtLeast,
        "22.9",
        ("22.9",),
        "renewal_interval_no_floor",
        "a short session lock",
    ),
    lease_table_defect(
        "slots_renew",
        "Sessions are renewed by the slots between their fetches",
        _SlotsRenew,
        "22.10",
        ("22.10",),
        "renewal_with_all_slots_busy",
        "every slot busy for longer than R",
        elsewhere="idle_and_lock_knobs_independent",
    ),
    lease_table_defect(
        "each_delivery_confirmed",
        "Every item of a session that is held already has its session renewed at once",
        _EachDeliveryConfirmed,
        "22.12",
        ("22.12", "22.14"),
        "renewal_count_per_session",
        "several activities of a session",
    ),
    lease_table_defect(
        "slow_claims_unconfirmed",
        "A claim that a fetch brings after long waiting is not renewed at once",
        _NoConfirmation,
        "22.13",
        ("22.13",),
        "slow_fetch_renews_at_once",
        "a fetch longer than R",
    ),
    lease_table_defect(
        "deadline_from_the_call",
        "The deadline of a new lease counts from when its fetch was sent",
        _DeadlineFromTheCall,
        "22.13",
        ("22.13",),
        "slow_fetch_renews_at_once",
        "a fetch longer than R",
    ),
    lease_table_defect(
        "no_deadline",
        "A lease never ends by the worker's own clock",
        _NoDeadline,
        "22.15",
        ("22.15",),
        "timeline_takeover_of_frozen_owner",
        "an owner that stalls",
    ),
    Defect(
        name="items_renewed_without_their_session",
        title="The lock of an item is extended although its session has gone elsewhere",
        where="provider",
        caught_by="22.5",
        rows=("22.5", "22.6"),
        scenario="item_renewal_refused_when_session_moved",
        needs="a session that moved under an item",
        planted=_items_renewed_without_their_session,
    ),
    Defect(
        name="one_duration_for_both",
        title="The renewal of an item extends its session by the duration of the item",
        where="provider",
        caught_by="22.7",
        rows=("15.6", "22.7"),
        scenario="piggyback_uses_given_session_duration",
        needs="two durations",
        planted=_one_duration_for_both,
    ),
    Defect(
        name="only_live_sessions_renewed",
        title="The renewal of a session that has just expired is refused although nobody else has it",
        where="provider",
        caught_by="22.8",
        rows=("22.8",),
        scenario="late_renewal_revives",
        needs="a late renewal",
        planted=_only_live_sessions_renewed,
    ),
    Defect(
        name="extensions_shorten",
        title="An extension sets the expiry of a session, also to an earlier moment",
        where="provider",
        caught_by="22.11",
        rows=("14.6", "22.7", "22.11", "30.2"),
        scenario="extension_never_shortens",
        needs="a shorter extension",
        planted=_extensions_set_the_expiry,
    ),
)
