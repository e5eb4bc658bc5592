"""Story: a run told by hand, commit by commit, to the monitors of some rules.

The store is a table that the teller fills: each method changes it as the contract says, unless told otherwise
(`row=`, `keep=`), and then tells the commit. Times are milliseconds of the store's clock, from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import Event
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.observe import LocalEvent
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    ExecutionMetadata,
    FetchedTurn,
    FetchedWork,
    OrchestrationItem,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
)
from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.timing import WorkerTiming
from holdfast.properties.judging.verdict import Violated
from holdfast.traces.record import CallOutcome, Commit, Fault, FaultKind, Local, RunEnd

D, L = 60_000, 30_000
S = ("i", "s")
TIMING = WorkerTiming(
    session_lock_us=60_000_000,
    session_renewal_us=30_000_000,
    item_renewal_us=25_000_000,
    item_lock_us=30_000_000,
    grace_us=10_000_000,
    idle_us=12_000_000,
    sessions_max=2,
    open_max=2,
    slots=2,
    poll_us=30_100_000,
)

Row = tuple[str | None, int | None] | None
"""Worker and expiry of a session row; None: absent."""


class Table:
    """A store with both hooks."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], SessionRecord] = {}
        self.work: dict[int, WorkerRow] = {}

    def session_records(self) -> list[SessionRecord]:
        return [self.sessions[key] for key in sorted(self.sessions)]

    def worker_rows(self) -> list[WorkerRow]:
        return [self.work[seq] for seq in sorted(self.work)]


def event(kind: type[Event], event_id: int, **fields: Any) -> Event:
    """An event of instance i, execution 1 unless it says otherwise."""
    common = {"instance_id": "i", "execution_id": 1, "timestamp_ms": 0, "duroxide_version": "0.1.32"}
    return kind(event_id=event_id, **{**common, **fields})


def started(**fields: Any) -> Event:
    return event(events.OrchestrationStarted, 1, name="o", version="1.0.0", input="", **fields)


def opened(event_id: int, session_id: str = "s", **fields: Any) -> Event:
    return event(events.SessionOpened, event_id, session_id=session_id, **fields)


def closed(event_id: int, session_id: str = "s", **fields: Any) -> Event:
    return event(events.SessionClosed, event_id, session_id=session_id, **fields)


def scheduled(event_id: int, session_id: str | None = "s", **fields: Any) -> Event:
    return event(events.ActivityScheduled, event_id, name="n", input="", session_id=session_id, **fields)


def completed(event_id: int, source: int, **fields: Any) -> Event:
    return event(events.ActivityCompleted, event_id, source_event_id=source, result="r", **fields)


def cancelled(event_id: int, source: int, **fields: Any) -> Event:
    return event(
        events.ActivityCancelRequested, event_id, source_event_id=source, reason="session_closed", **fields
    )


def item(
    id: int, session_id: str | None = "s", instance: str = "i", execution_id: int = 1
) -> ActivityExecute:
    return ActivityExecute(
        instance=instance, execution_id=execution_id, id=id, name="n", input="", session_id=session_id
    )


def answer(id: int, instance: str = "i") -> work_items.ActivityCompletedMessage:
    return work_items.ActivityCompletedMessage(instance=instance, execution_id=1, id=id, result="r")


class Story:
    """Tells commits to a suite that watches these rules."""

    def __init__(self, *rules: str) -> None:
        self.table = Table()
        self.suite = MonitorSuite(self.table, {}, rules or None, default=TIMING)
        self.position = 0
        self.now = 0
        self.histories: dict[tuple[str, int], list[Event]] = {}
        self._last_seq = 0
        self._turns = 0

    # --- telling --------------------------------------------------------------------------------------

    def at(self, now: int) -> Story:
        """Time has come to this."""
        self.now = now
        return self

    def commit(
        self,
        operation: str,
        result: object = None,
        *,
        process: str = "a",
        error: bool = False,
        outcome: CallOutcome = "answered",
        **arguments: Any,
    ) -> Story:
        refusal = ProviderError.permanent(operation, "no") if error else None
        self.suite.on_commit(
            Commit(
                self.position,
                process,
                1,
                operation,
                arguments,
                outcome,
                result,
                refusal,
                self.now * 1000,
                self.now,
            )
        )
        self.position += 1
        return self

    def tell(self, event: LocalEvent, process: str = "a") -> Story:
        self.suite.on_local(Local(process, 1, self.now * 1000, event))
        return self

    def fault(self, kind: FaultKind, process: str | None = "a", amount_ms: int = 0) -> Story:
        self.suite.on_fault(Fault(kind, process, self.now * 1000, amount_ms))
        return self

    def end(self, cut_off: str | None = None) -> Story:
        self.suite.on_end(RunEnd(self.now * 1000, self.position, cut_off))
        return self

    # --- the store ------------------------------------------------------------------------------------

    def row(self, worker: str | None, until: int | None, key: tuple[str, str] = S) -> Story:
        self.table.sessions[key] = SessionRecord(*key, worker, until)
        return self

    def no_row(self, key: tuple[str, str] = S) -> Story:
        self.table.sessions.pop(key, None)
        return self

    def _seq_of(self, work: ActivityExecute) -> int:
        return next(row.seq for row in self.table.work.values() if row.item == work)

    def put(self, work: ActivityExecute) -> int:
        self._last_seq += 1
        self.table.work[self._last_seq] = WorkerRow(
            self._last_seq, work, work.session_id, None, None, self.now, 0, None
        )
        return self._last_seq

    def drop(self, work: ActivityExecute) -> Story:
        del self.table.work[self._seq_of(work)]
        return self

    # --- turns ----------------------------------------------------------------------------------------

    def ack(
        self,
        *delta: Event,
        items: Sequence[ActivityExecute] = (),
        opens: Sequence[str] = (),
        closes: Sequence[str] = (),
        cancels: Sequence[int] = (),
        status: Any = None,
        instance: str = "i",
        execution: int = 1,
        stored: bool = True,
        process: str = "a",
        error: bool = False,
    ) -> Story:
        """Fetch a turn and acknowledge it; with `stored=False` the session part does not reach the store."""
        token = self.fetch_turn(instance, execution, process=process)
        if not error:
            self.histories.setdefault((instance, execution), []).extend(delta)
            if stored:
                self._apply(items, opens, closes, cancels, status, instance)
        return self.acknowledge(
            token, *delta, items=items, opens=opens, closes=closes, cancels=cancels, status=status,
            instance=instance, execution=execution, process=process, error=error,
        )  # fmt: skip

    def fetch_turn(self, instance: str = "i", execution: int = 1, *, process: str = "a") -> str:
        self._turns += 1
        token = f"turn-{self._turns}"
        history = list(self.histories.get((instance, execution), []))
        turn = OrchestrationItem(
            instance=instance,
            orchestration_name="o",
            execution_id=execution,
            version="1.0.0",
            history=history,
            messages=(),
        )
        self.commit(
            "fetch_orchestration_item", FetchedTurn(turn, LockToken(token), 1), process=process,
            lock_timeout=5000, poll_timeout=0, filter=None,
        )  # fmt: skip
        return token

    def acknowledge(
        self,
        token: str,
        *delta: Event,
        items: Sequence[ActivityExecute] = (),
        opens: Sequence[str] = (),
        closes: Sequence[str] = (),
        cancels: Sequence[int] = (),
        status: Any = None,
        instance: str = "i",
        execution: int = 1,
        process: str = "a",
        error: bool = False,
    ) -> Story:
        return self.commit(
            "ack_orchestration_item",
            process=process,
            error=error,
            token=token,
            execution_id=execution,
            history_delta=delta,
            worker_items=items,
            orchestrator_items=(),
            metadata=ExecutionMetadata(
                status=status,
                opened_sessions=[ScheduledSessionIdentifier(instance, one) for one in opens],
                cancelled_sessions=[ScheduledSessionIdentifier(instance, one) for one in closes],
            ),
            cancelled_activities=[ScheduledActivityIdentifier(instance, execution, one) for one in cancels],
        )

    def _apply(
        self,
        items: Sequence[ActivityExecute],
        opens: Sequence[str],
        closes: Sequence[str],
        cancels: Sequence[int],
        status: Any,
        instance: str,
    ) -> None:
        terminal = status in ("Completed", "Failed")
        sessions, work = self.table.sessions, self.table.work
        for key in [key for key in sessions if key[0] == instance and (terminal or key[1] in closes)]:
            del sessions[key]
        for seq, row in list(work.items()):
            assert row.item is not None
            bound = row.item.session_id is not None
            if row.item.instance == instance and (
                (bound and (terminal or row.item.session_id in closes)) or row.item.id in cancels
            ):
                del work[seq]
        if not terminal:
            for one in opens:
                sessions.setdefault((instance, one), SessionRecord(instance, one, None, None))
        for one_item in items:
            if one_item.id not in cancels:
                self.put(one_item)

    # --- items ----------------------------------------------------------------------------------------

    def deliver(
        self,
        worker: str,
        work: ActivityExecute,
        token: str = "t",
        *,
        row: Row | str = "claim",
        number: int = 1,
        mode: str = "full",
        locked: bool = True,
        outcome: CallOutcome = "answered",
    ) -> Story:
        """The worker, a process of the same name, fetches an item; `row` is its session's row afterwards."""
        if locked:
            seq = self._seq_of(work)
            stored = self.table.work[seq]
            self.table.work[seq] = stored._replace(
                token=LockToken(token),
                locked_until=self.now + L,
                attempt_count=stored.attempt_count + 1,
                claimed_by=worker if work.session_id else None,
            )
        if work.session_id is not None and row != "keep":
            key = (work.instance, work.session_id)
            if row == "claim":
                before = self.table.sessions.get(key)
                old = before.locked_until if before is not None and before.worker_id == worker else None
                self.row(worker, max(old or 0, self.now + D), key)
            elif row is None:
                self.no_row(key)
            else:
                assert isinstance(row, tuple)
                self.row(*row, key)
        return self.fetch(worker, FetchedWork(work, LockToken(token), number), mode=mode, outcome=outcome)

    def fetch(
        self,
        worker: str,
        result: FetchedWork | None = None,
        *,
        mode: str = "full",
        outcome: CallOutcome = "answered",
    ) -> Story:
        common = {"lock_timeout": L, "poll_timeout": 0, "tag_filter": DEFAULT_ONLY}
        if mode == "plain":
            return self.commit("fetch_work_item", result, process=worker, outcome=outcome, **common)
        return self.commit(
            "fetch_session_work_item",
            result,
            process=worker,
            outcome=outcome,
            worker_id=worker,
            session_lock_duration=D,
            claim_new=mode == "full",
            **common,
        )

    def done(
        self, worker: str, work: ActivityExecute, token: str = "t", *, completion: Any = "result"
    ) -> Story:
        self.drop(work)
        given = answer(work.id, work.instance) if completion == "result" else completion
        return self.commit("ack_work_item", process=worker, token=token, completion=given)

    def abandon(
        self, worker: str, work: ActivityExecute, token: str = "t", *, delay: int = 0, uncharged: bool = False
    ) -> Story:
        seq = self._seq_of(work)
        stored = self.table.work[seq]
        self.table.work[seq] = stored._replace(
            token=None,
            locked_until=None,
            claimed_by=None,
            visible_from=self.now + delay,
            attempt_count=stored.attempt_count - uncharged,
        )
        return self.commit(
            "abandon_work_item", process=worker, token=token, delay=delay, ignore_attempt=uncharged
        )

    def renew_item(
        self, worker: str, work: ActivityExecute, token: str = "t", *, error: bool = False
    ) -> Story:
        if not error:
            seq = self._seq_of(work)
            self.table.work[seq] = self.table.work[seq]._replace(locked_until=self.now + L)
            if work.session_id is not None:
                self._extend(worker, (work.instance, work.session_id))
        return self.commit(
            "renew_work_item_lock",
            process=worker,
            error=error,
            token=token,
            extend_for=L,
            extend_session_for=D,
        )

    # --- sessions -------------------------------------------------------------------------------------

    def _extend(self, worker: str, key: tuple[str, str]) -> None:
        before = self.table.sessions[key]
        self.row(worker, max(before.locked_until or 0, self.now + D), key)

    def renew(
        self, worker: str, key: tuple[str, str] = S, *, error: bool = False, keep: bool = False
    ) -> Story:
        if not error and not keep:
            self._extend(worker, key)
        return self.commit(
            "renew_session_lock",
            process=worker,
            error=error,
            instance_id=key[0],
            session_id=key[1],
            worker_id=worker,
            extend_for=D,
        )

    def release(self, worker: str, key: tuple[str, str] = S) -> Story:
        row = self.table.sessions.get(key)
        if row is not None and row.worker_id == worker:
            self.row(None, None, key)
        return self.commit(
            "release_session_lock", process=worker, instance_id=key[0], session_id=key[1], worker_id=worker
        )

    # --- judging --------------------------------------------------------------------------------------

    def violated(self) -> dict[str, Violated]:
        """The rules broken so far, with their witnesses."""
        return {one.rule: one for one in self.suite.verdicts if isinstance(one, Violated)}


def breaks(story: Story, rule: str, **witness: object) -> None:
    """The story broke exactly this rule of those it watches, and the witness says so."""
    found = story.violated()
    assert list(found) == [rule], found
    for name, value in witness.items():
        assert found[rule].witness[name] == value, found[rule].witness


def keeps(story: Story) -> None:
    """The story broke none of the rules it watches."""
    assert not story.violated()
