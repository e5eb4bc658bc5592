"""The optional second half of a provider: inspecting, deleting and pruning instances (PV-19 to PV-22)."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from holdfast.core.contract.arguments import OF_OPTIONS, text
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.user_texts import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceInfo:
    """An instance record with its current execution (PV-19.5). Times are epoch milliseconds."""

    instance_id: str
    orchestration_name: str
    orchestration_version: str
    current_execution_id: int
    status: str
    output: str | None
    created_at: int
    updated_at: int
    parent_instance_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionInfo:
    """An execution record (PV-19.7). Times are epoch milliseconds."""

    execution_id: int
    status: str
    output: str | None
    started_at: int
    completed_at: int | None
    event_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMetrics:
    """Counts over the whole store (PV-19.8)."""

    total_instances: int
    total_executions: int
    running_instances: int
    completed_instances: int
    failed_instances: int
    total_events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationStats:
    """How much an instance holds in its current execution (RT-19.26).

    Sizes are in bytes of the stored texts. `queue_pending_count` are the queue messages that the execution
    began with; it does not change as messages are read or arrive.
    """

    history_event_count: int
    history_size_bytes: int
    kv_user_key_count: int
    kv_total_value_bytes: int
    queue_pending_count: int


class QueueDepths(NamedTuple):
    """Rows not held by a live lock (PV-19.9)."""

    orchestrator_queue: int
    worker_queue: int
    timer_queue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """Which instances a bulk call picks: those that meet all given criteria (PV-21)."""

    instance_ids: Sequence[str] | None = None
    completed_before: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a value of another type; what is out of range a provider refuses."""
        if self.instance_ids is not None:
            kind = type(self.instance_ids)
            if issubclass(kind, (str, bytes)) or not issubclass(kind, (Sequence, Set)):
                raise ConfigurationError(
                    f"instance_ids must be a sequence of instance ids, it is {shown(self.instance_ids)}"
                )
            ids = tuple(text("an id in instance_ids", each, OF_OPTIONS) for each in self.instance_ids)
            object.__setattr__(self, "instance_ids", ids)
        _check_whole("completed_before", self.completed_before)
        _check_whole("limit", self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """Which executions are deleted: those that meet all given criteria (PV-22)."""

    keep_last: int | None = None
    completed_before: int | None = None

    def __post_init__(self) -> None:
        """As for `InstanceFilter`."""
        _check_whole("keep_last", self.keep_last)
        _check_whole("completed_before", self.completed_before)


def _check_whole(name: str, value: object) -> None:
    if value is not None and (type(value) is bool or not issubclass(type(value), int)):
        raise ConfigurationError(f"{name} must be a whole number or None, it is {shown(value)}")


class DeleteInstanceResult(NamedTuple):
    """What a deletion removed (PV-20.8)."""

    instances_deleted: int
    executions_deleted: int
    events_deleted: int
    queue_messages_deleted: int


class PruneResult(NamedTuple):
    """What pruning removed (PV-22.5)."""

    instances_processed: int
    executions_deleted: int
    events_deleted: int


@dataclass(frozen=True, slots=True)
class InstanceTree:
    """An instance and all its descendants (PV-20.3)."""

    root_id: str
    all_ids: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of instances, the root included."""
        return len(self.all_ids)

    @property
    def is_root_only(self) -> bool:
        """Whether there are no descendants."""
        return len(self.all_ids) == 1


class Management(Protocol):
    """Management of a store. These calls delay fetches and acknowledgements only briefly (PV-19.10)."""

    async def list_instances(self) -> list[str]:
        """Ids of all instance records, newest creation first (PV-19.1)."""
        ...

    async def list_instances_by_status(self, status: str) -> list[str]:
        """Ids whose current execution has this status, newest first (PV-19.2)."""
        ...

    async def list_executions(self, instance_id: str) -> list[int]:
        """Recorded execution numbers, ascending; empty if unknown (PV-19.3)."""
        ...

    async def latest_execution_id(self, instance_id: str) -> int:
        """The highest recorded execution number, 1 if none (PV-19.4)."""
        ...

    async def read_history(self, instance_id: str) -> list[StoredEvent]:
        """The history of the latest execution (PV-19.4)."""
        ...

    async def read_history_with_execution_id(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        """The history of one execution (PV-19.4)."""
        ...

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """Raises ProviderError, permanent, "not found", for an unknown id (PV-19.5)."""
        ...

    async def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """Raises ProviderError, permanent, "not found", for an unknown execution (PV-19.7)."""
        ...

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store (PV-19.8)."""
        ...

    async def get_queue_depths(self) -> QueueDepths:
        """Waiting rows per queue (PV-19.9)."""
        ...

    async def list_children(self, instance_id: str) -> list[str]:
        """Direct children; empty if none or unknown (PV-20.1)."""
        ...

    async def get_parent_id(self, instance_id: str) -> str | None:
        """The parent id; raises ProviderError, permanent, for an unknown id (PV-20.2)."""
        ...

    async def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """The id and all its descendants; circular links do no harm (PV-20.3)."""
        ...

    async def delete_instance(self, instance_id: str, *, force: bool) -> DeleteInstanceResult:
        """Delete a root with its tree in one step (PV-20.9)."""
        ...

    async def delete_instances_atomic(self, ids: Sequence[str], *, force: bool) -> DeleteInstanceResult:
        """Delete exactly these in one step, or refuse (PV-20.4 to PV-20.8)."""
        ...

    async def delete_instance_bulk(self, filter: InstanceFilter) -> DeleteInstanceResult:
        """Delete finished roots that the filter picks (PV-21)."""
        ...

    async def prune_executions(self, instance_id: str, options: PruneOptions) -> PruneResult:
        """Delete old executions of one instance (PV-22.1 to PV-22.7)."""
        ...

    async def prune_executions_bulk(self, filter: InstanceFilter, options: PruneOptions) -> PruneResult:
        """Delete old executions of every instance the filter picks (PV-22.8)."""
        ...
