"""Defects that conversations show: races of activities, carry-over, and what runs beside what on one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityFailedMessage, Message
from holdfast.core.dispatching.dispatcher import Dispatcher
from holdfast.core.engine import turn
from holdfast.core.engine.actions import CallActivity, Operation
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.intake import Intake
from holdfast.core.working import handler as handlers
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import Lease
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect
from holdfast.properties.defects.replacements import encoded, scheduled_on


@defect("engine", "12.4 12.5", "select_session_vs_timer")
def lost_selects_work_on() -> Changes:
    """An activity of a session that loses a select is left to the session and not cancelled."""

    def collect_plain(collect: Original, operations: Iterable[Operation], **rest: object) -> object:
        plain = [
            each
            for each in operations
            if not (isinstance(each.action, CallActivity) and each.action.session_id is not None)
        ]
        return collect(plain, **rest)

    yield around(turn, "collect_drops", collect_plain)


@defect("engine", "12.6 13.3 27.6", "sub_orchestration_does_not_inherit_session")
def unopened_means_plain() -> Changes:
    """An activity on a session that is not open is scheduled as one without session."""
    yield scheduled_on(
        lambda context, named: named if named is not None and named in context._state.sessions else None
    )


@defect("engine", "27.4", "carried_sessions_count_to_limit", needs="sessions that are carried over")
def carried_sessions_are_free() -> Changes:
    """The limit of open sessions counts those that the execution has opened, not the carried ones."""

    def open_uncounted(open_counted: Original, context: OrchestrationContext, session_id: str) -> object:
        state = context._state
        turn_input = state.turn_input
        limits = turn_input.limits
        carried = len(state.started.open_sessions)
        more = replace(limits, sessions_per_orchestration_max=limits.sessions_per_orchestration_max + carried)
        state.turn_input = replace(turn_input, limits=more)
        try:
            return open_counted(context, session_id)
        finally:
            state.turn_input = turn_input

    yield around(OrchestrationContext, "_open", open_uncounted)


@defect(
    "engine",
    "27.4 27.5",
    "open_with_id_on_carried_is_noop",
    caught_by="27.5",
    needs="a session that is carried over",
)
def carried_sessions_open_again() -> Changes:
    """Opening the id of a carried session opens it once more."""

    def open_if_carried(open_with_id: Original, context: OrchestrationContext, session_id: str) -> object:
        carried = session_id in context._state.started.open_sessions
        return context._open(session_id) if carried else open_with_id(context, session_id)

    yield around(OrchestrationContext, "open_session_with_id", open_if_carried)


@defect(
    "engine",
    "27.9",
    "late_completion_from_old_execution",
    needs="a completion of an execution that has continued as new",
)
class OtherExecutionsAnswer(Intake):
    """A completion is matched by the id of its activity, whichever execution it is from."""

    def accept(self, message: Message) -> None:
        if isinstance(message, ActivityCompletedMessage | ActivityFailedMessage):
            message = structs.replace(message, execution_id=self._execution_id)
        super().accept(message)


@defect("lease manager", "3.4 18.2 24.12 27.11 34.1", "session_renewal_works_single_thread", caught_by="18.2")
class IdleSessionsAreForgotten(LeaseTable):
    """The lease of a session ends with the last activity in flight, and is not renewed in between."""

    def finished(self, lease: Lease, token: LockToken, now: Micros) -> None:
        super().finished(lease, token, now)
        if not lease.ended and not lease.attempts:
            self._end(lease, "lost")


@defect(
    "lease manager", "12.2 13.1 27.10", "nonsession_activity_between_session_activities", needs="two workers"
)
class NoTimeoutIsNoTime(LeaseTable):
    """A missing idle timeout is taken for one of zero: a session is released as soon as it is idle."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle or Micros(0), limit=limit)


@defect(
    "lease manager",
    "18.2 34.1",
    "session_renewal_works_single_thread",
    needs="an activity longer than the session lock",
)
def renewals_wait_for_the_slot() -> Changes:
    """Sessions are renewed when a handler ends, not while one runs."""

    def plan_when_free(plan: Original, keeper: LeaseKeeper) -> None:
        if not keeper._attempts:
            plan(keeper)
        elif keeper._sleeper is not None:
            keeper._sleeper.cancel()
            keeper._sleeper = None

    yield around(LeaseKeeper, "_plan_sleep", plan_when_free)


@defect(
    "worker", "34.1", "blocking_handler_does_not_stop_renewal", needs="an activity that blocks its thread"
)
def plain_functions_run_inline() -> Changes:
    """An activity that is a plain function is called on the event loop instead of in a thread."""

    async def called(function: Original, context: object, input: str) -> object:
        outcome = function(context, input)
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    yield Change(handlers, "_is_async", lambda function: True)
    yield Change(handlers, "_awaited", called)


@defect("worker", "2.2 4.4 13.2 15.10 18.1 34.2", "long_poll_does_not_block_turns", caught_by="34.2")
def fetches_take_turns() -> Changes:
    """The fetches of a runtime go through one lock, so that a long poll for work holds up its turns."""
    locks: dict[Clock, asyncio.Lock] = {}

    async def fetch_in_turn(fetch: Original, fetching: Dispatcher | Worker, *how: object) -> object:
        async with locks.setdefault(fetching._clock, asyncio.Lock()):
            return await fetch(fetching, *how)

    yield around(Dispatcher, "_fetch", fetch_in_turn)
    yield around(Worker, "_fetch", fetch_in_turn)


@defect("codec", "10.5 27.2 31.8", "carried_set_in_json", caught_by="27.2")
def empty_lists_are_written() -> Changes:
    """The list of carried sessions is written into every text, even when it is empty."""

    def with_list(encode: Original, value: object) -> bytes:
        text: bytes = encode(value)
        if getattr(value, "open_sessions", None) == ():
            text = text[:-1] + b',"open_sessions":[]}'
        return text

    yield encoded(with_list)
