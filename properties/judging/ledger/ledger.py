"""Ledger: takes in a run as it happens, once per commit, and says what each commit means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdfast.properties.judging.ledger import turns, work
from holdfast.properties.judging.ledger.facts import Fact
from holdfast.properties.judging.ledger.notes import NOTE
from holdfast.properties.judging.ledger.state import LedgerState
from holdfast.traces import calls
from holdfast.traces.calls import ProviderCall
from holdfast.traces.record import Booted, Commit, Fault, Local


class Ledger(LedgerState):
    """What all monitors of a run share. They read it and change nothing."""

    def commit(self, commit: Commit) -> Fact | None:
        """Take in a commit; what it means, or None if no rule is about it."""
        assert commit.position > self.position, (
            f"commit {commit.position} ({commit.operation}) is taken in after commit {self.position}"
        )
        self.position = commit.position
        self.time_us = commit.time_us
        self.now = commit.provider_ms
        if commit.outcome in ("refused", "unsent"):
            self.rows.stay()
            return None
        call = commit.call
        kind = type(call)
        read = _READ.get(kind)
        if read is None or kind in _CHANGES_NO_ROW:
            self.rows.stay()
            return None if read is None else read(self, commit, call, commit.error is None)
        self.rows.read()
        fact = read(self, commit, call, commit.error is None)
        if self.unnumbered or self.rows.work_changed:
            self.number_items()
        self.compare_queue()
        if self.rows.changed:
            self.note_lost_sessions()
        return fact

    def local(self, local: Local) -> None:
        self.time_us = local.time_us
        note = NOTE.get(type(local.event))
        if note is not None:
            note(self, self.worker(local.process, local.boot), local.event)

    def fault(self, fault: Fault) -> None:
        self.time_us = fault.time_us
        self.book.enter(fault)
        if fault.kind == "crash":
            for worker in self.workers:
                if worker.process == fault.process:
                    worker.alive = False

    def booted(self, booted: Booted) -> None:
        self.time_us = booted.time_us
        self.worker(booted.process, booted.boot)


_CHANGES_NO_ROW: Final = frozenset(
    {
        calls.FetchOrchestrationItemCall,
        calls.AbandonOrchestrationItemCall,
        calls.RenewOrchestrationItemLockCall,
    }
)

_READ: Final[dict[type[ProviderCall], Callable[[LedgerState, Commit, Any, bool], Fact | None]]] = {
    calls.FetchOrchestrationItemCall: turns.turn_fetched,
    calls.AbandonOrchestrationItemCall: turns.turn_given_back,
    calls.RenewOrchestrationItemLockCall: turns.turn_renewed,
    calls.AckOrchestrationItemCall: turns.acked,
    calls.AppendWithExecutionCall: turns.appended,
    calls.DeleteInstanceCall: turns.deleted,
    calls.DeleteInstancesAtomicCall: turns.deleted,
    calls.DeleteInstanceBulkCall: turns.deleted,
    calls.EnqueueForWorkerCall: work.enqueued,
    calls.FetchWorkItemCall: work.fetched,
    calls.FetchSessionWorkItemCall: work.fetched,
    calls.AckWorkItemCall: work.finished,
    calls.AbandonWorkItemCall: work.given_back,
    calls.RenewWorkItemLockCall: work.item_renewed,
    calls.RenewSessionLockCall: work.session_renewed,
    calls.ReleaseSessionLockCall: work.session_released,
}
