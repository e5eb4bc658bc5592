"""Ledger: takes in a run as it happens, once per commit, and says what each commit means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdfast.properties.judging.ledger import turns, work
from holdfast.properties.judging.ledger.facts import Fact
from holdfast.properties.judging.ledger.notes import NOTE
from holdfast.properties.judging.ledger.state import LedgerState
from holdfast.traces.record import Booted, Commit, Fault, Local


class Ledger(LedgerState):
    """What all monitors of a run share. They read it and change nothing."""

    def commit(self, commit: Commit) -> Fact | None:
        """Take in a commit; what it means, or None if no rule is about it."""
        self.position = commit.position
        self.time_us = commit.time_us
        self.now = commit.provider_ms
        operation = commit.operation
        read = _READ.get(operation)
        if read is None or commit.outcome in ("refused", "unsent"):
            self.rows.stay()
            return None
        if operation in _CHANGES_NO_ROW:
            self.rows.stay()
            return read(self, commit, commit.arguments, commit.error is None)
        self.rows.read()
        fact = read(self, commit, commit.arguments, commit.error is None)
        if self.unnumbered or self.rows.work_changed:
            self.number_items()
        self.compare_queue()
        if self.rows.changed:
            self.note_lost_sessions()
        return fact

    def local(self, local: Local) -> None:
        """Take in a local event."""
        self.time_us = local.time_us
        note = NOTE.get(type(local.event))
        if note is not None:
            note(self, self.worker(local.process, local.boot), local.event)

    def fault(self, fault: Fault) -> None:
        """Take in a fault."""
        self.time_us = fault.time_us
        self.book.enter(fault)
        if fault.kind == "crash":
            for worker in self.workers:
                if worker.process == fault.process:
                    worker.alive = False

    def booted(self, booted: Booted) -> None:
        """Take in a start."""
        self.time_us = booted.time_us
        self.worker(booted.process, booted.boot)


_CHANGES_NO_ROW: Final = frozenset(
    {"fetch_orchestration_item", "abandon_orchestration_item", "renew_orchestration_item_lock"}
)

_READ: Final[dict[str, Callable[[LedgerState, Commit, Any, bool], Fact | None]]] = {
    "fetch_orchestration_item": turns.turn_fetched,
    "abandon_orchestration_item": turns.turn_given_back,
    "renew_orchestration_item_lock": turns.turn_renewed,
    "ack_orchestration_item": turns.acked,
    "append_with_execution": turns.appended,
    "management.delete_instance": turns.deleted,
    "management.delete_instances_atomic": turns.deleted,
    "management.delete_instance_bulk": turns.deleted,
    "enqueue_for_worker": work.enqueued,
    "fetch_work_item": work.fetched,
    "fetch_session_work_item": work.fetched,
    "ack_work_item": work.finished,
    "abandon_work_item": work.given_back,
    "renew_work_item_lock": work.item_renewed,
    "renew_session_lock": work.session_renewed,
    "release_session_lock": work.session_released,
}
