"""Defects of the session log and of the counters that follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import LocalEvent, Logged, Observer, RenewalAnswered
from holdfast.core.dispatching import settlement
from holdfast.core.dispatching.settlement import _Settlement
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.metrics import SESSION_RENEWALS, Metrics
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect
from holdfast.properties.defects.replacements import session_owner
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import Tables
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


@defect("orchestration dispatcher", "17.1 17.2 33.4", "session_open_logged")
def replays_log_sessions() -> Changes:
    """Every turn logs the opens and closes of the whole history, not its own."""

    def all_records(records: Original, settlement: _Settlement) -> object:
        result = settlement._result
        settlement._result = replace(result, delta=tuple(settlement._known))
        try:
            return records(settlement)
        finally:
            settlement._result = result

    yield around(_Settlement, "_session_records", all_records)


@defect("orchestration dispatcher", "33.3", "late_completion_logged", needs="a turn that is run twice")
def late_completions_told_at_once() -> Changes:
    """A late completion is logged when a turn meets it, whether that turn is stored or not."""
    yield Change(settlement, "_at_once", lambda result: result.log)
    yield Change(settlement, "_of_dropped", lambda result: ())


def _claims_told_otherwise(tell: Callable[[list[Logged], bool, str | None], list[Logged]]) -> Changes:
    """Records of a delivery, whether it was a claim, and the row's worker before it, to other records."""

    class _Kept:
        def __init__(self) -> None:
            self.records: list[Logged] = []

        def notify(self, event: LocalEvent) -> None:
            assert isinstance(event, Logged)
            self.records.append(event)

    def attach_in_memory(
        attach: Original,
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        claimant: Claimant,
        observer: Observer | None,
    ) -> None:
        row = tables.session(instance, session_id)
        owner, kept = None if row is None else row.worker_id, _Kept()
        attach(tables, now, instance, session_id, claimant, kept)
        records = kept.records or [_claim(instance, session_id, claimant.worker_id)]
        if observer is not None:
            for record in tell(records, bool(kept.records), owner):
                observer.notify(record)

    def attach_in_sqlite(
        attach: Original,
        transaction: Transaction,
        instance: str,
        session_id: str,
        worker_id: str,
        duration: object,
    ) -> None:
        owner = (session_owner(transaction, instance, session_id) or (None, None))[0]
        before = len(transaction.log)
        attach(transaction, instance, session_id, worker_id, duration)
        told = transaction.log[before:]
        records = told or [_claim(instance, session_id, worker_id)]
        transaction.log[before:] = tell(records, bool(told), owner)

    yield around(memory_affinity, "attach", attach_in_memory)
    yield around(sqlite_work, "_attach", attach_in_sqlite)


def _claim(instance: str, session_id: str, worker_id: str) -> Logged:
    fields: dict[str, object] = {
        "instance_id": instance,
        "session_id": session_id,
        "worker_id": worker_id,
    }
    return Logged("session.claimed", "info", fields)


def _every_delivery(records: list[Logged], claim: bool, owner: str | None) -> list[Logged]:
    return records


def _no_takeover(records: list[Logged], claim: bool, owner: str | None) -> list[Logged]:
    return records[:1] if claim else []


def _always_a_takeover(records: list[Logged], claim: bool, owner: str | None) -> list[Logged]:
    if not claim or len(records) > 1:
        return records if claim else []
    fields = {**records[0].fields, "previous_worker_id": owner}
    return [*records, Logged("session.migrated", "info", fields)]


@defect("provider", "17.3", "session_claim_logged", needs="two deliveries to one owner")
def deliveries_logged_as_claims() -> Changes:
    """Every delivery of an item of a session is logged as a claim of it."""
    yield from _claims_told_otherwise(_every_delivery)


@defect("provider", "17.4 33.2", "session_migration_logged", needs="two workers and a crash of the owner")
def takeovers_unlogged() -> Changes:
    """A takeover is logged as a claim like any other."""
    yield from _claims_told_otherwise(_no_takeover)


@defect("provider", "17.3 17.4 33.5", "first_claim_is_not_migration", caught_by="33.5")
def claims_logged_as_takeovers() -> Changes:
    """Every claim is logged as a takeover, also that of a session nobody had."""
    yield from _claims_told_otherwise(_always_a_takeover)


@defect("lease manager", "17.5", "session_renewal_failure_logged", needs="a renewal that fails")
class RenewalFailuresWhispered(Log):
    """A failed renewal is logged at debug level."""

    def warning(self, event: str, **fields: object) -> None:
        if event == "session.renewal_failed":
            self.debug(event, **fields)
        else:
            super().warning(event, **fields)


@defect("lease manager", "33.1", "released_and_lost_logged", needs="a session lost under a handler")
class LossesLoggedEmptyHanded(Log):
    """The record of a loss counts the attempts in flight after they were taken from the lease."""

    def warning(self, event: str, **fields: object) -> None:
        if event == "session.lost":
            fields["in_flight"] = 0
        super().warning(event, **fields)


@defect("lease manager", "33.1", "released_and_lost_logged", needs="a worker that is shut down")
class ReleasesLoggedAsIdle(Log):
    """Every release is logged as one for idleness."""

    def info(self, event: str, **fields: object) -> None:
        if event == "session.released":
            fields["reason"] = "idle"
        super().info(event, **fields)


@defect("worker", "33.2", "metrics_agree_with_log", needs="a renewal that fails")
def every_renewal_counts() -> Changes:
    """Renewals are counted when they are answered, whatever the answer."""

    def notify_all(notify: Original, metrics: Metrics, event: LocalEvent) -> None:
        if isinstance(event, RenewalAnswered) and event.error is not None:
            metrics._add(SESSION_RENEWALS)
        notify(metrics, event)

    yield around(Metrics, "notify", notify_all)
