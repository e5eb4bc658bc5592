"""settle: from the result of a turn to what is acknowledged (RT-5.20 to RT-5.32)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Final

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import Event
from holdfast.core.contract.failures import FailureDetails, application, cancelled, infrastructure
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import ExecutionStatus
from holdfast.core.contract.work_items import ActivityExecute, CancelInstance, Message, StartOrchestration
from holdfast.core.dispatching.execution_end import (
    ForcedFailure,
    activity_identifiers,
    cancel_children,
    fail_execution,
    failed_record,
    lifecycle_record,
    metadata,
    session_identifiers,
    write_end,
)
from holdfast.core.dispatching.execution_figures import execution_figures
from holdfast.core.dispatching.history_scan import full_child_id, started_of
from holdfast.core.dispatching.limit_checks import violation
from holdfast.core.dispatching.parent_link import parent_of
from holdfast.core.dispatching.turn_commit import CommitOutcome, TurnCommit
from holdfast.core.engine import actions
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.intake import LATE_COMPLETION_DROPPED
from holdfast.core.engine.matching import KIND_OF
from holdfast.core.engine.turn_values import (
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ExecutionContinues,
    ExecutionFailed,
    TurnInput,
    TurnResult,
)

_event_id = attrgetter("event_id")

PARENT_DROPPED: Final = "parent dropped sub-orchestration future"
"""Reason given to a child whose future was dropped (RT-5.21)."""


def settle(
    turn_input: TurnInput,
    result: TurnResult,
    *,
    supports_sessions: bool,
    parent_execution_id: int | None = None,
) -> TurnCommit:
    """What the dispatcher acknowledges.

    `parent_execution_id` is used only for a child whose own link lacks it: the parent's current execution,
    read from the provider (RT-9.7).
    """
    wrong = violation(
        result.delta[result.arrived_count :],
        limits=turn_input.limits,
        kv_key_count=result.kv_key_count,
        supports_sessions=supports_sessions,
    )
    if wrong is not None:
        return _overruled(turn_input, result, application(wrong), parent_execution_id)
    return _Settlement(turn_input, result, parent_execution_id).commit()


def acknowledgement_failed(
    turn_input: TurnInput, error: ProviderError, *, parent_execution_id: int | None = None
) -> TurnCommit:
    """The record of a permanent error of the turn's own acknowledgement (RT-5.35 to RT-5.37).

    Not for a lost or replaced lock: then nothing is recorded (RT-5.36).
    """
    assert not error.retryable, f"{error} may pass: the execution must not end for it"
    return fail_execution(_failure(turn_input, (), infrastructure(error), parent_execution_id))


def _overruled(
    turn_input: TurnInput, result: TurnResult, details: FailureDetails, parent_execution_id: int | None
) -> TurnCommit:
    """A turn over a limit: it records what arrived and fails; nothing it asked for is done (RT-22)."""
    commit = fail_execution(
        _failure(turn_input, result.delta[: result.arrived_count], details, parent_execution_id)
    )
    return replace(commit, log=_at_once(result), log_committed=(*_of_dropped(result), *commit.log_committed))


def _failure(
    turn_input: TurnInput,
    arrived: tuple[Event, ...],
    details: FailureDetails,
    parent_execution_id: int | None,
) -> ForcedFailure:
    return ForcedFailure(
        instance=turn_input.instance,
        execution_id=turn_input.execution_id,
        persisted=turn_input.history[: turn_input.persisted_length],
        recorded=(*turn_input.history[turn_input.persisted_length :], *arrived),
        details=details,
        now_ms=turn_input.now_ms,
        duroxide_version=turn_input.duroxide_version,
        pin_version=True,
        parent_execution_id=parent_execution_id,
        notices=turn_input.notices,
    )


class _Settlement:
    """One turn being turned into effects."""

    def __init__(self, turn_input: TurnInput, result: TurnResult, parent_execution_id: int | None) -> None:
        self._turn_input = turn_input
        self._result = result
        self._parent_execution_id = parent_execution_id
        self._known = [*turn_input.history, *result.delta]
        self._started = started_of(self._known)
        self._parent = parent_of(self._started)
        self._new_ids = {event.event_id for event in result.delta}
        assert len(self._new_ids) == len(result.delta), f"an id is given twice: {result.delta}"
        self._writer = EventWriter(
            instance=turn_input.instance,
            execution_id=turn_input.execution_id,
            now_ms=turn_input.now_ms,
            duroxide_version=turn_input.duroxide_version,
            baseline=self._known,
        )
        self._items: list[Message] = list(turn_input.notices)
        self._work: list[ActivityExecute] = []
        self._cancelled: list[int] = list(result.cancelled_activities)
        self._log: list[Logged] = []

    def commit(self) -> TurnCommit:
        match self._result.outcome:
            case ExecutionContinues():
                return self._continue()
            case ExecutionCompleted(output):
                return self._completed(output)
            case ExecutionFailed(details, traceback=place):
                return self._failed(details, place)
            case ExecutionCancelled(reason):
                return self._cancelled_by(reason)
            case ExecutionContinuedAsNew():
                return self._continued_as_new(self._result.outcome)

    # --- one method per outcome -------------------------------------------------------------------------
    #
    # The messages of one commit are delivered in this order, and it matters: a child's cancellation must come
    # after its start, or it meets an instance nobody knows, is discarded, and the child runs on. So starts go
    # first, cancellations after them, and the answer to the parent last. Children that an ending turn has
    # just scheduled are never started, and so are not cancelled either (RT-5.27).

    def _continue(self) -> TurnCommit:
        """Everything the turn asked for (RT-5.20), then the cancellations of dropped children (RT-5.21)."""
        for action in self._result.actions:
            self._dispatch(action)
        self._cancel_dropped_children()
        return self._commit("Continue")

    def _completed(self, output: str) -> TurnCommit:
        self._dispatch_detached()
        self._cancel_dropped_children()
        self._items.extend(cancel_children(self._turn_input.instance, self._before_this_turn()))
        self._end(events.OrchestrationCompleted, output=output)
        if self._parent is not None:
            current = self._parent_execution_id
            self._items.append(self._parent.completed(output, current_execution_id=current))
        self._log.append(self._ended_record("Orchestration completed"))
        return self._commit("Completed", output=output)

    def _failed(self, details: FailureDetails, traceback: str) -> TurnCommit:
        self._dispatch_detached()
        self._cancel_dropped_children()
        self._items.extend(cancel_children(self._turn_input.instance, self._before_this_turn()))
        return self._fail(details, "Failed", traceback)

    def _cancelled_by(self, reason: str) -> TurnCommit:
        """Detached starts are not dispatched; outstanding children are cancelled too (RT-5.24)."""
        self._items.extend(cancel_children(self._turn_input.instance, self._before_this_turn()))
        return self._fail(cancelled(reason), "Cancelled")

    def _fail(self, details: FailureDetails, outcome: CommitOutcome, traceback: str = "") -> TurnCommit:
        self._end(events.OrchestrationFailed, details=details)
        if self._parent is not None:
            current = self._parent_execution_id
            self._items.append(self._parent.failed(details, current_execution_id=current))
        where = (self._turn_input.instance, self._turn_input.execution_id)
        self._log.append(failed_record(*where, details, self._whole(), traceback))
        return self._commit(outcome, output=details.display(), failure=details)

    def _continued_as_new(self, outcome: ExecutionContinuedAsNew) -> TurnCommit:
        """The successor gets what is carried; of this turn's new work only detached starts are done."""
        assert self._started is not None, f"{outcome!r} of an execution without a beginning"
        carried = self._result.open_sessions_after
        self._dispatch_detached()
        self._end(events.OrchestrationContinuedAsNew, input=outcome.input, open_sessions=carried)
        self._items.append(
            work_items.ContinueAsNewMessage(
                instance=self._turn_input.instance,
                orchestration=self._started.name,
                input=outcome.input,
                version=outcome.version,
                parent_instance=self._started.parent_instance,
                parent_id=self._started.parent_id,
                parent_execution_id=self._started.parent_execution_id,
                carry_forward_events=self._carried_messages(),
                initial_custom_status=self._result.custom_status,
                open_sessions=carried,
            )
        )
        self._log.append(self._ended_record("Orchestration continued as new"))
        return self._commit("ContinuedAsNew", output=outcome.input)

    # --- the parts --------------------------------------------------------------------------------------

    def _dispatch(self, action: actions.Action) -> None:
        turn_input = self._turn_input
        match action:
            case actions.CallActivity():
                self._dispatch_activity(action)
            case actions.CreateTimer():
                self._items.append(
                    work_items.TimerFiredMessage(
                        instance=turn_input.instance,
                        execution_id=turn_input.execution_id,
                        id=action.scheduling_event_id,
                        fire_at_ms=action.fire_at_ms,
                    )
                )
            case actions.StartSubOrchestration():
                self._items.append(
                    StartOrchestration(
                        instance=full_child_id(turn_input.instance, action.instance),
                        orchestration=action.name,
                        input=action.input,
                        version=action.version,
                        parent_instance=turn_input.instance,
                        parent_id=action.scheduling_event_id,
                        parent_execution_id=turn_input.execution_id,
                        execution_id=1,
                    )
                )
            case actions.StartOrchestrationDetached():
                self._items.append(_detached(action))
            case _:  # recorded, and that is all
                assert not KIND_OF[type(action)].completions, (
                    f"{action!r} is awaited, but no message is sent for it"
                )

    def _dispatch_activity(self, action: actions.CallActivity) -> None:
        if action.scheduling_event_id in self._result.closed_activities:
            return  # its session was closed later in the turn (SS-6.7)
        self._work.append(
            ActivityExecute(
                instance=self._turn_input.instance,
                execution_id=self._turn_input.execution_id,
                id=action.scheduling_event_id,
                name=action.name,
                input=action.input,
                session_id=action.session_id,
                tag=action.tag,
            )
        )

    def _dispatch_detached(self) -> None:
        """A recorded detached start is dispatched unless the turn is cancelled (RT-9.22, RT-9.23)."""
        for action in self._result.actions:
            if isinstance(action, actions.StartOrchestrationDetached):
                self._items.append(_detached(action))

    def _cancel_dropped_children(self) -> None:
        """After all starts; not to a child that an ending turn never starts (RT-5.21, RT-5.27)."""
        ends = not isinstance(self._result.outcome, ExecutionContinues)
        for schedule_id, child in self._result.cancelled_children:
            if not (ends and schedule_id in self._new_ids):
                target = full_child_id(self._turn_input.instance, child)
                self._items.append(CancelInstance(instance=target, reason=PARENT_DROPPED))

    def _before_this_turn(self) -> list[Event]:
        """All but what the turn scheduled: the children in it are never started (RT-5.27)."""
        return [
            event
            for event in self._known
            if not (isinstance(event, events.SubOrchestrationScheduled) and event.event_id in self._new_ids)
        ]

    def _end(self, kind: type[Event], **members: object) -> None:
        self._cancelled.extend(write_end(self._writer, self._known, kind, **members))

    def _carried_messages(self) -> tuple[tuple[str, str], ...]:
        """The oldest unread messages, up to the cap (RT-10.14)."""
        most = self._turn_input.limits.carry_forward_count_max
        for name, _ in self._result.carry_forward[most:]:
            self._log.append(
                Logged(
                    "turn.carry_forward_dropped",
                    "warning",
                    {
                        "instance_id": self._turn_input.instance,
                        "execution_id": self._turn_input.execution_id,
                        "queue": name,
                        "limit": most,
                    },
                )
            )
        return self._result.carry_forward[:most]

    def _commit(
        self, outcome: CommitOutcome, *, output: str | None = None, failure: FailureDetails | None = None
    ) -> TurnCommit:
        turn_input, result = self._turn_input, self._result
        delta = (*turn_input.history[turn_input.persisted_length :], *result.delta, *self._writer.delta)
        self._check_ids(delta)
        self._check_answers(outcome)
        ended = outcome in ("Completed", "Failed", "Cancelled")
        closed = (*result.cancelled_sessions, *(result.open_sessions_after if ended else ()))
        return TurnCommit(
            execution_id=turn_input.execution_id,
            history_delta=delta,
            worker_items=tuple(self._work),
            orchestrator_items=tuple(self._items),
            metadata=metadata(
                self._started if turn_input.persisted_length == 0 else None,
                status=_STATUS[outcome],
                output=output,
                opened_sessions=()
                if ended
                else session_identifiers(turn_input.instance, result.opened_sessions),
                cancelled_sessions=session_identifiers(turn_input.instance, closed),
            ),
            cancelled_activities=activity_identifiers(
                turn_input.instance, turn_input.execution_id, self._cancelled
            ),
            outcome=outcome,
            failure=failure,
            open_sessions=result.open_sessions_before,
            log=_at_once(result),
            log_committed=(*_of_dropped(result), *self._session_records(), *self._log),
        )

    def _check_ids(self, delta: Sequence[Event]) -> None:
        """Event ids continue the stored history; only those of continue-as-new are skipped (RT-4.45)."""
        if not delta:
            return
        turn_input, first = self._turn_input, delta[0].event_id
        stored_id = max(map(_event_id, turn_input.history[: turn_input.persisted_length]), default=0)
        assert stored_id < first, f"event {first} is new, the stored ones go up to {stored_id}"
        passed_over = sum(isinstance(action, actions.ContinueAsNew) for action in self._result.actions)
        left_out = delta[-1].event_id - stored_id - len(delta)
        assert left_out <= passed_over, (
            f"events {stored_id + 1} to {delta[-1].event_id} are {len(delta)}; {passed_over} may be left out"
        )

    def _check_answers(self, outcome: CommitOutcome) -> None:
        """The parent is answered once, when the child has ended for good; `notices` do not count."""
        if self._parent is not None:
            answers = [
                item
                for item in self._items[len(self._turn_input.notices) :]
                if isinstance(item, work_items.SubOrchCompleted | work_items.SubOrchFailed)
                and (item.parent_instance, item.parent_id)
                == (self._parent.instance, self._parent.schedule_id)
            ]
            due = outcome in ("Completed", "Failed", "Cancelled")
            assert len(answers) == due, f"outcome {outcome}, and the parent is told {answers}"

    def _session_records(self) -> list[Logged]:
        """Each effective open and each close, logged once (SS-22.1, SS-22.2)."""
        records = []
        for event in self._result.delta:
            if isinstance(event, events.SessionOpened | events.SessionClosed):
                name = "session.opened" if isinstance(event, events.SessionOpened) else "session.closed"
                fields: dict[str, object] = {
                    "instance_id": self._turn_input.instance,
                    "execution_id": self._turn_input.execution_id,
                    "session_id": event.session_id,
                }
                records.append(Logged(name, "info", fields))
        return records

    def _ended_record(self, what: str) -> Logged:
        where = (self._turn_input.instance, self._turn_input.execution_id)
        record = lifecycle_record(what, *where, self._whole())
        return replace(record, fields={**record.fields, **execution_figures(self._whole())})

    def _whole(self) -> list[Event]:
        """All that is known of the execution, its end included."""
        return [*self._known, *self._writer.delta]


def _at_once(result: TurnResult) -> tuple[Logged, ...]:
    return tuple(record for record in result.log if record.event != LATE_COMPLETION_DROPPED)


def _of_dropped(result: TurnResult) -> tuple[Logged, ...]:
    """Late completions are gone once the turn is stored; until then they may come again (SS-22.8)."""
    return tuple(record for record in result.log if record.event == LATE_COMPLETION_DROPPED)


_STATUS: Final[dict[CommitOutcome, ExecutionStatus | None]] = {
    "Continue": None,
    "Completed": "Completed",
    "Failed": "Failed",
    "Cancelled": "Failed",
    "ContinuedAsNew": "ContinuedAsNew",
}


def _detached(action: actions.StartOrchestrationDetached) -> StartOrchestration:
    return StartOrchestration(
        instance=action.instance,
        orchestration=action.name,
        input=action.input,
        version=action.version,
        execution_id=1,
    )
