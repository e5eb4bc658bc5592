"""How an instance ends whose batch was tried too often (RT-13.5 to RT-13.13)."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.contract.codec import encode_work_item
from holdfast.core.contract.events import Event, OpaqueEvent, OrchestrationFailed
from holdfast.core.contract.failures import (
    FailedDeserialization,
    FailureDetails,
    Poison,
    PoisonedMessage,
    PoisonOrchestration,
)
from holdfast.core.contract.provider import OrchestrationItem
from holdfast.core.contract.work_items import ContinueAsNewMessage, Message
from holdfast.core.dispatching.execution_end import ForcedFailure, fail_execution, failed_record, metadata
from holdfast.core.dispatching.history_scan import started_of
from holdfast.core.dispatching.parent_link import ParentLink, parent_from_id, parent_of
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.core.program.limits import UNREADABLE_HISTORY_EVENT_ID


def poisoned_batch(
    item: OrchestrationItem,
    *,
    execution_id: int,
    persisted: Sequence[Event],
    recorded: Sequence[Event],
    attempt_count: int,
    max_attempts: int,
    now_ms: int,
    duroxide_version: str,
    notices: Sequence[Message],
) -> TurnCommit:
    """The end of an execution whose batch is poison.

    `recorded` holds the OrchestrationStarted of an execution that has no history yet (RT-13.6); no version is
    pinned then (RT-13.7).
    """
    assert attempt_count > max_attempts, f"attempt {attempt_count} of {max_attempts} is no poison yet"
    assert not (persisted and recorded), f"{recorded!r} begins an execution that has events: {persisted!r}"
    batch = b"[" + b",".join(encode_work_item(message) for message in item.messages) + b"]"
    details = FailureDetails(
        poison=Poison(
            attempt_count=attempt_count,
            max_attempts=max_attempts,
            message_type=PoisonedMessage(
                orchestration=PoisonOrchestration(instance=item.instance, execution_id=execution_id)
            ),
            message=batch.decode(),
        )
    )
    return fail_execution(
        ForcedFailure(
            instance=item.instance,
            execution_id=execution_id,
            persisted=persisted,
            recorded=recorded,
            details=details,
            now_ms=now_ms,
            duroxide_version=duroxide_version,
            pin_version=False,
            notices=notices,
        )
    )


def unreadable_history(
    item: OrchestrationItem,
    error: str,
    *,
    attempt_count: int,
    max_attempts: int,
    now_ms: int,
    duroxide_version: str,
) -> TurnCommit:
    """The end of an instance with an unreadable history: one event above all others (RT-13.10 to 13.13)."""
    assert attempt_count > max_attempts, f"attempt {attempt_count} of {max_attempts} is no poison yet"
    details = FailureDetails(
        poison=Poison(
            attempt_count=attempt_count,
            max_attempts=max_attempts,
            message_type=PoisonedMessage(
                failed_deserialization=FailedDeserialization(
                    instance=item.instance, execution_id=item.execution_id, error=error
                )
            ),
            message=error,
        )
    )
    highest = max((event.event_id for event in item.history), default=0)
    end = OrchestrationFailed(
        event_id=max(UNREADABLE_HISTORY_EVENT_ID, highest + 1),
        instance_id=item.instance,
        execution_id=item.execution_id,
        timestamp_ms=now_ms,
        duroxide_version=duroxide_version,
        details=details,
    )
    parent = _parent_of_unreadable(item)
    return TurnCommit(
        execution_id=item.execution_id,
        history_delta=(end,),
        worker_items=(),
        orchestrator_items=() if parent is None else (parent.failed(details, current_execution_id=None),),
        metadata=metadata(None, status="Failed", output=details.display()),
        cancelled_activities=(),
        outcome="Failed",
        failure=details,
        open_sessions=(),
        log_committed=(failed_record(item.instance, item.execution_id, details, ()),),
    )


def _parent_of_unreadable(item: OrchestrationItem) -> ParentLink | None:
    """The parent by whatever can still be read: the history's beginning, a ContinueAsNew, or the id."""
    readable = [event for event in item.history if not isinstance(event, OpaqueEvent)]
    started = started_of(readable)
    if started is not None:
        return parent_of(started)
    for message in item.messages:
        if isinstance(message, ContinueAsNewMessage):
            return parent_of(message)
    return parent_from_id(item.instance)
