"""Defects of the session log and of the counters that follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import LocalEvent, Logged, Observer, RenewalAnswered
from holdfast.core.dispatching import settlement
from holdfast.core.dispatching.settlement import _Settlement
from holdfast.core.engine.turn_values import TurnResult
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.metrics import SESSION_RENEWALS, Metrics
from holdfast.core.working import lease_keeper
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import Tables
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


def _replays_log_sessions() -> Planting:
    """The opens and closes of the whole history are logged at each turn."""
    records = original(_Settlement, "_session_records")

    def all_records(self: _Settlement) -> list[Logged]:
        result = self._result
        self._result = replace(result, delta=tuple(self._known))
        try:
            found: list[Logged] = records(self)
        finally:
            self._result = result
        return found

    return replaced(Change(_Settlement, "_session_records", all_records))


def _late_completions_told_at_once() -> Planting:
    """A late completion is logged when a turn meets it, stored or not."""

    def all_at_once(result: TurnResult) -> tuple[Logged, ...]:
        return result.log

    def nothing_later(result: TurnResult) -> tuple[Logged, ...]:
        return ()

    return replaced(
        Change(settlement, "_at_once", all_at_once), Change(settlement, "_of_dropped", nothing_later)
    )


def _claims_told_otherwise(tell: Callable[[list[Logged], bool, str | None], list[Logged]]) -> Planting:
    """Records of a delivery, whether it was a claim, and the row's worker before it, to other records."""
    in_memory, in_sqlite = original(memory_affinity, "attach"), original(sqlite_work, "_attach")

    class _Kept:
        def __init__(self) -> None:
            self.records: list[Logged] = []

        def notify(self, event: LocalEvent) -> None:
            assert isinstance(event, Logged)
            self.records.append(event)

    def attach_in_memory(
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        claimant: Claimant,
        observer: Observer | None,
    ) -> None:
        row = tables.session(instance, session_id)
        owner, kept = None if row is None else row.worker_id, _Kept()
        in_memory(tables, now, instance, session_id, claimant, kept)
        records = kept.records or [_claim(instance, session_id, claimant.worker_id)]
        if observer is not None:
            for record in tell(records, bool(kept.records), owner):
                observer.notify(record)

    def attach_in_sqlite(
        transaction: Transaction, instance: str, session_id: str, worker_id: str, duration: Millis
    ) -> None:
        values = {"instance": instance, "session": session_id}
        owner = (transaction.one(sqlite_work.SQL["session_owner"], values) or (None, None))[0]
        before = len(transaction.log)
        in_sqlite(transaction, instance, session_id, worker_id, duration)
        told = transaction.log[before:]
        records = told or [_claim(instance, session_id, worker_id)]
        transaction.log[before:] = tell(records, bool(told), owner)

    return replaced(
        Change(memory_affinity, "attach", attach_in_memory), Change(sqlite_work, "_attach", attach_in_sqlite)
    )


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


class _QuietLog(Log):
    """A failed renewal is for those who look for a fault."""

    def warning(self, event: str, **fields: object) -> None:
        if event == "session.renewal_failed":
            self.debug(event, **fields)
        else:
            super().warning(event, **fields)


class _EmptyHandedLog(Log):
    """The attempts of a lost lease are counted after they were taken from it."""

    def warning(self, event: str, **fields: object) -> None:
        if event == "session.lost":
            fields["in_flight"] = 0
        super().warning(event, **fields)


class _IdleLog(Log):
    """Every release is logged as one for idleness."""

    def info(self, event: str, **fields: object) -> None:
        if event == "session.released":
            fields["reason"] = "idle"
        super().info(event, **fields)


def _log(kind: type[Log]) -> Planting:
    return replaced(Change(lease_keeper, "Log", kind))


def _every_answer_counts() -> Planting:
    """Renewals are counted when they are answered, whatever the answer is."""
    notify = original(Metrics, "notify")

    def notify_all(self: Metrics, event: LocalEvent) -> None:
        if isinstance(event, RenewalAnswered) and event.error is not None:
            self._add(SESSION_RENEWALS)
        notify(self, event)

    return replaced(Change(Metrics, "notify", notify_all))


DEFECTS: Final = (
    Defect(
        name="replays_log_sessions",
        title="Every turn logs the opens and closes of the whole history, not its own",
        where="orchestration dispatcher",
        caught_by="17.1",
        rows=("17.1", "17.2", "33.4"),
        scenario="session_open_logged",
        needs="nothing",
        planted=_replays_log_sessions,
    ),
    Defect(
        name="late_completions_told_at_once",
        title="A late completion is logged when a turn meets it, whether that turn is stored or not",
        where="orchestration dispatcher",
        caught_by="33.3",
        rows=("33.3",),
        scenario="late_completion_logged",
        needs="a turn that is run twice",
        planted=_late_completions_told_at_once,
    ),
    Defect(
        name="deliveries_logged_as_claims",
        title="Every delivery of an item of a session is logged as a claim of it",
        where="provider",
        caught_by="17.3",
        rows=("17.3",),
        scenario="session_claim_logged",
        needs="two deliveries to one owner",
        planted=lambda: _claims_told_otherwise(_every_delivery),
    ),
    Defect(
        name="takeovers_unlogged",
        title="A takeover is logged as a claim like any other",
        where="provider",
        caught_by="17.4",
        rows=("17.4", "33.2"),
        scenario="session_migration_logged",
        needs="two workers and a crash of the owner",
        planted=lambda: _claims_told_otherwise(_no_takeover),
    ),
    Defect(
        name="claims_logged_as_takeovers",
        title="Every claim is logged as a takeover, also that of a session nobody had",
        where="provider",
        caught_by="33.5",
        rows=("17.3", "17.4", "33.5"),
        scenario="first_claim_is_not_migration",
        needs="nothing",
        planted=lambda: _claims_told_otherwise(_always_a_takeover),
    ),
    Defect(
        name="renewal_failures_whispered",
        title="A failed renewal is logged at debug level",
        where="lease manager",
        caught_by="17.5",
        rows=("17.5",),
        scenario="session_renewal_failure_logged",
        needs="a renewal that fails",
        planted=lambda: _log(_QuietLog),
    ),
    Defect(
        name="losses_logged_empty_handed",
        title="The record of a loss counts the attempts in flight after they were taken from the lease",
        where="lease manager",
        caught_by="33.1",
        rows=("33.1",),
        scenario="released_and_lost_logged",
        needs="a session lost under a handler",
        planted=lambda: _log(_EmptyHandedLog),
    ),
    Defect(
        name="releases_logged_as_idle",
        title="Every release is logged as one for idleness",
        where="lease manager",
        caught_by="33.1",
        rows=("33.1",),
        scenario="released_and_lost_logged",
        needs="a worker that is shut down",
        planted=lambda: _log(_IdleLog),
    ),
    Defect(
        name="every_renewal_counts",
        title="Renewals are counted when they are answered, whatever the answer",
        where="worker",
        caught_by="33.2",
        rows=("33.2",),
        scenario="metrics_agree_with_log",
        needs="a renewal that fails",
        planted=_every_answer_counts,
    ),
)
