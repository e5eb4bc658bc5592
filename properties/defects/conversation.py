"""Defects that conversations show: races of activities, carry-over, and what runs beside what on one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

from msgspec import structs

from holdfast.core.contract import codec
from holdfast.core.contract.clock import Clock
from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import FetchedTurn, FetchedWork
from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityFailedMessage, Message
from holdfast.core.dispatching.dispatcher import Dispatcher
from holdfast.core.engine import turn
from holdfast.core.engine.actions import CallActivity, Operation
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.dropped_futures import Drops
from holdfast.core.engine.intake import Intake
from holdfast.core.working import handler as handlers
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import Lease
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.properties.defects.replacements import lease_table, scheduled_on


def _lost_selects_work_on() -> Planting:
    """Only the futures of plain activities are collected when they are dropped."""
    collect = original(turn, "collect_drops")

    def collect_plain(operations: Iterable[Operation], **rest: Any) -> Drops:
        plain = [
            each
            for each in operations
            if not (isinstance(each.action, CallActivity) and each.action.session_id is not None)
        ]
        result: Drops = collect(plain, **rest)
        return result

    return replaced(Change(turn, "collect_drops", collect_plain))


def _unopened_means_plain() -> Planting:
    """An activity on a session that is not open may run anywhere."""
    return scheduled_on(
        lambda context, named: named if named is not None and named in context._state.sessions else None
    )


def _carried_sessions_are_free() -> Planting:
    """The limit counts the sessions that this execution has opened."""
    open_counted = original(OrchestrationContext, "_open")

    def open_uncounted(self: OrchestrationContext, session_id: str) -> str:
        turn_input = self._state.turn
        limits = turn_input.limits
        carried = len(self._state.started.open_sessions)
        more = replace(limits, sessions_per_orchestration_max=limits.sessions_per_orchestration_max + carried)
        self._state.turn = replace(turn_input, limits=more)
        try:
            return str(open_counted(self, session_id))
        finally:
            self._state.turn = turn_input

    return replaced(Change(OrchestrationContext, "_open", open_uncounted))


def _carried_sessions_open_again() -> Planting:
    """Open already means opened by this execution."""
    open_with_id = original(OrchestrationContext, "open_session_with_id")

    def open_if_carried(self: OrchestrationContext, session_id: str) -> str:
        carried = session_id in self._state.started.open_sessions
        return str(self._open(session_id) if carried else open_with_id(self, session_id))

    return replaced(Change(OrchestrationContext, "open_session_with_id", open_if_carried))


class _TakesOtherExecutions(Intake):
    """A completion is known by the id of its activity alone."""

    def accept(self, message: Message) -> None:
        if isinstance(message, ActivityCompletedMessage | ActivityFailedMessage):
            message = structs.replace(message, execution_id=self._execution_id)
        super().accept(message)


class _ForgetsIdleSessions(LeaseTable):
    """A session is held as long as work of it is in flight."""

    def finished(self, lease: Lease, token: LockToken, now: Micros) -> None:
        super().finished(lease, token, now)
        if not lease.ended and not lease.attempts:
            self._end(lease, "lost")


class _NoTimeoutIsNoTime(LeaseTable):
    """Without an idle timeout there is no time to be idle in."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle or Micros(0), limit=limit)


def _renewals_wait_for_the_slot() -> Planting:
    """The keeper is not woken by time as long as a handler of it runs; it renews when that has ended."""
    plan = original(LeaseKeeper, "_plan_sleep")

    def plan_when_free(self: LeaseKeeper) -> None:
        if not self._attempts:
            plan(self)
        elif self._sleeper is not None:
            self._sleeper.cancel()
            self._sleeper = None

    return replaced(Change(LeaseKeeper, "_plan_sleep", plan_when_free))


def _plain_functions_run_inline() -> Planting:
    """A plain function is called where a coroutine would be awaited: on the loop."""

    async def called(function: Any, context: Any, input: str) -> object:
        outcome = function(context, input)
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    return replaced(
        Change(handlers, "_is_async", lambda function: True), Change(handlers, "_awaited", called)
    )


def _fetches_take_turns() -> Planting:
    """One fetch of a runtime at a time, as if they shared a connection."""
    fetch_turn, fetch_work = original(Dispatcher, "_fetch"), original(Worker, "_fetch")
    locks: dict[Clock, asyncio.Lock] = {}

    async def turn_in_turn(self: Dispatcher) -> FetchedTurn | None:
        async with locks.setdefault(self._clock, asyncio.Lock()):
            fetched: FetchedTurn | None = await fetch_turn(self)
            return fetched

    async def work_in_turn(self: Worker, fetch: Any) -> FetchedWork | None:
        async with locks.setdefault(self._clock, asyncio.Lock()):
            fetched: FetchedWork | None = await fetch_work(self, fetch)
            return fetched

    return replaced(Change(Dispatcher, "_fetch", turn_in_turn), Change(Worker, "_fetch", work_in_turn))


def _empty_lists_are_written() -> Planting:
    """The list of carried sessions is there in every text, also when it is empty."""
    encoder = original(codec, "_encoder")

    def encode(value: Any) -> bytes:
        text: bytes = encoder.encode(value)
        if getattr(value, "open_sessions", None) == ():
            text = text[:-1] + b',"open_sessions":[]}'
        return text

    return replaced(Change(codec, "_encoder", SimpleNamespace(encode=encode)))


DEFECTS: Final = (
    Defect(
        name="lost_selects_work_on",
        title="An activity of a session that loses a select is left to the session and not cancelled",
        where="engine",
        caught_by="12.4",
        rows=("12.4", "12.5"),
        scenario="select_session_vs_timer",
        needs="nothing",
        planted=_lost_selects_work_on,
    ),
    Defect(
        name="unopened_means_plain",
        title="An activity on a session that is not open is scheduled as one without session",
        where="engine",
        caught_by="12.6",
        rows=("12.6", "13.3", "27.6"),
        scenario="sub_orchestration_does_not_inherit_session",
        needs="nothing",
        planted=_unopened_means_plain,
    ),
    Defect(
        name="carried_sessions_are_free",
        title="The limit of open sessions counts those that the execution has opened, not the carried ones",
        where="engine",
        caught_by="27.4",
        rows=("27.4",),
        scenario="carried_sessions_count_to_limit",
        needs="sessions that are carried over",
        planted=_carried_sessions_are_free,
    ),
    Defect(
        name="carried_sessions_open_again",
        title="Opening the id of a carried session opens it once more",
        where="engine",
        caught_by="27.5",
        rows=("27.4", "27.5"),
        scenario="open_with_id_on_carried_is_noop",
        needs="a session that is carried over",
        planted=_carried_sessions_open_again,
    ),
    Defect(
        name="other_executions_answer",
        title="A completion is matched by the id of its activity, whichever execution it is from",
        where="engine",
        caught_by="27.9",
        rows=("27.9",),
        scenario="late_completion_from_old_execution",
        needs="a completion of an execution that has continued as new",
        planted=lambda: replaced(Change(turn, "Intake", _TakesOtherExecutions)),
    ),
    Defect(
        name="idle_sessions_are_forgotten",
        title="The lease of a session ends with the last activity in flight, and is not renewed in between",
        where="lease manager",
        caught_by="18.2",
        rows=("3.4", "18.2", "24.12", "27.11", "34.1"),
        scenario="session_renewal_works_single_thread",
        needs="nothing",
        planted=lambda: lease_table(_ForgetsIdleSessions),
    ),
    Defect(
        name="no_timeout_is_no_time",
        title="A missing idle timeout is taken for one of zero: a session is released as soon as it is idle",
        where="lease manager",
        caught_by="12.2",
        rows=("12.2", "13.1", "27.10"),
        scenario="nonsession_activity_between_session_activities",
        needs="two workers",
        planted=lambda: lease_table(_NoTimeoutIsNoTime),
    ),
    Defect(
        name="renewals_wait_for_the_slot",
        title="Sessions are renewed when a handler ends, not while one runs",
        where="lease manager",
        caught_by="18.2",
        rows=("18.2", "34.1"),
        scenario="session_renewal_works_single_thread",
        needs="an activity longer than the session lock",
        planted=_renewals_wait_for_the_slot,
    ),
    Defect(
        name="plain_functions_run_inline",
        title="An activity that is a plain function is called on the event loop instead of in a thread",
        where="worker",
        caught_by="34.1",
        rows=("34.1",),
        scenario="blocking_handler_does_not_stop_renewal",
        needs="an activity that blocks its thread",
        planted=_plain_functions_run_inline,
    ),
    Defect(
        name="fetches_take_turns",
        title="The fetches of a runtime go through one lock, so that a long poll for work holds up its turns",
        where="worker",
        caught_by="34.2",
        rows=("2.2", "4.4", "13.2", "15.10", "18.1", "34.2"),
        scenario="long_poll_does_not_block_turns",
        needs="nothing",
        planted=_fetches_take_turns,
    ),
    Defect(
        name="empty_lists_are_written",
        title="The list of carried sessions is written into every text, also when it is empty",
        where="codec",
        caught_by="27.2",
        rows=("10.5", "27.2", "31.8"),
        scenario="carried_set_in_json",
        needs="nothing",
        planted=_empty_lists_are_written,
    ),
)
