"""Calls: what a commit asked of the provider, one record per operation, with the types of the contract.

A commit keeps its arguments by name, as they crossed the gate; `decoded` reads them once, and whoever judges
the commit then asks the record. Names and types are those of `core.contract.provider` and `.management`, and
so is what they mean. The result of a call is in the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.management import InstanceFilter, PruneOptions
from holdfast.core.contract.provider import (
    DispatcherCapabilityFilter,
    ExecutionMetadata,
    ScheduledActivityIdentifier,
    TagFilter,
)
from holdfast.core.contract.work_items import ActivityExecute, Message


class _Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Made once for each commit that is judged: structs, since those are quickest to make."""


# --- the orchestrator queue ---


class EnqueueForOrchestratorCall(_Asked, frozen=True, kw_only=True):
    item: Message
    delay: Millis | None


class FetchOrchestrationItemCall(_Asked, frozen=True, kw_only=True):
    lock_timeout: Millis
    poll_timeout: Millis
    filter: DispatcherCapabilityFilter | None


class AckOrchestrationItemCall(_Asked, frozen=True, kw_only=True):
    token: LockToken
    execution_id: int
    history_delta: Sequence[StoredEvent]
    worker_items: Sequence[ActivityExecute]
    orchestrator_items: Sequence[Message]
    metadata: ExecutionMetadata
    cancelled_activities: Sequence[ScheduledActivityIdentifier]


class AbandonOrchestrationItemCall(_Asked, frozen=True, kw_only=True):
    token: LockToken
    delay: Millis | None
    ignore_attempt: bool


class RenewOrchestrationItemLockCall(_Asked, frozen=True, kw_only=True):
    token: LockToken
    extend_for: Millis


# --- the worker queue ---


class EnqueueForWorkerCall(_Asked, frozen=True, kw_only=True):
    item: ActivityExecute


class FetchWorkItemCall(_Asked, frozen=True, kw_only=True):
    lock_timeout: Millis
    poll_timeout: Millis
    tag_filter: TagFilter


class FetchSessionWorkItemCall(_Asked, frozen=True, kw_only=True):
    lock_timeout: Millis
    poll_timeout: Millis
    worker_id: str
    session_lock_duration: Millis
    tag_filter: TagFilter
    claim_new: bool


class AckWorkItemCall(_Asked, frozen=True, kw_only=True):
    token: LockToken
    completion: Message | None


class RenewWorkItemLockCall(_Asked, frozen=True, kw_only=True):
    token: LockToken
    extend_for: Millis
    extend_session_for: Millis | None


class AbandonWorkItemCall(_Asked, frozen=True, kw_only=True):
    token: LockToken
    delay: Millis | None
    ignore_attempt: bool


# --- sessions ---


class RenewSessionLockCall(_Asked, frozen=True, kw_only=True):
    instance_id: str
    session_id: str
    worker_id: str
    extend_for: Millis


class ReleaseSessionLockCall(_Asked, frozen=True, kw_only=True):
    instance_id: str
    session_id: str
    worker_id: str


# --- what else changes something ---


class AppendWithExecutionCall(_Asked, frozen=True, kw_only=True):
    instance_id: str
    execution_id: int
    events: Sequence[StoredEvent]


class DeleteInstanceCall(_Asked, frozen=True, kw_only=True):
    instance_id: str
    force: bool


class DeleteInstancesAtomicCall(_Asked, frozen=True, kw_only=True):
    ids: Sequence[str]
    force: bool


class DeleteInstanceBulkCall(_Asked, frozen=True, kw_only=True):
    filter: InstanceFilter


class PruneExecutionsCall(_Asked, frozen=True, kw_only=True):
    instance_id: str
    options: PruneOptions


class PruneExecutionsBulkCall(_Asked, frozen=True, kw_only=True):
    filter: InstanceFilter
    options: PruneOptions


class ReadingCall(_Asked, frozen=True, kw_only=True):
    """Any call that only reads: no rule looks at its arguments."""

    operation: str


ProviderCall = (
    EnqueueForOrchestratorCall
    | FetchOrchestrationItemCall
    | AckOrchestrationItemCall
    | AbandonOrchestrationItemCall
    | RenewOrchestrationItemLockCall
    | EnqueueForWorkerCall
    | FetchWorkItemCall
    | FetchSessionWorkItemCall
    | AckWorkItemCall
    | RenewWorkItemLockCall
    | AbandonWorkItemCall
    | RenewSessionLockCall
    | ReleaseSessionLockCall
    | AppendWithExecutionCall
    | DeleteInstanceCall
    | DeleteInstancesAtomicCall
    | DeleteInstanceBulkCall
    | PruneExecutionsCall
    | PruneExecutionsBulkCall
    | ReadingCall
)

_CHANGING: Final[Mapping[str, type[ProviderCall]]] = {
    "enqueue_for_orchestrator": EnqueueForOrchestratorCall,
    "fetch_orchestration_item": FetchOrchestrationItemCall,
    "ack_orchestration_item": AckOrchestrationItemCall,
    "abandon_orchestration_item": AbandonOrchestrationItemCall,
    "renew_orchestration_item_lock": RenewOrchestrationItemLockCall,
    "enqueue_for_worker": EnqueueForWorkerCall,
    "fetch_work_item": FetchWorkItemCall,
    "fetch_session_work_item": FetchSessionWorkItemCall,
    "ack_work_item": AckWorkItemCall,
    "renew_work_item_lock": RenewWorkItemLockCall,
    "abandon_work_item": AbandonWorkItemCall,
    "renew_session_lock": RenewSessionLockCall,
    "release_session_lock": ReleaseSessionLockCall,
    "append_with_execution": AppendWithExecutionCall,
    "management.delete_instance": DeleteInstanceCall,
    "management.delete_instances_atomic": DeleteInstancesAtomicCall,
    "management.delete_instance_bulk": DeleteInstanceBulkCall,
    "management.prune_executions": PruneExecutionsCall,
    "management.prune_executions_bulk": PruneExecutionsBulkCall,
}

_READING: Final[Mapping[str, ReadingCall]] = {
    name: ReadingCall(operation=name)
    for name in (
        "read",
        "read_with_execution",
        "get_custom_status",
        "get_kv_value",
        "get_kv_all_values",
        "management.list_instances",
        "management.list_instances_by_status",
        "management.list_executions",
        "management.latest_execution_id",
        "management.read_history",
        "management.read_history_with_execution_id",
        "management.get_instance_info",
        "management.get_execution_info",
        "management.get_system_metrics",
        "management.get_queue_depths",
        "management.list_children",
        "management.get_parent_id",
        "management.get_instance_tree",
    )
}


def decoded(operation: str, arguments: Mapping[str, Any]) -> ProviderCall:
    """The call of this operation with these arguments, by parameter name, as the gate records them.

    Raises KeyError for an operation that no provider has, TypeError for arguments that are not its own.
    """
    kind = _CHANGING.get(operation)
    return _READING[operation] if kind is None else kind(**arguments)
