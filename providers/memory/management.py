"""The management object: inspecting instances, deleting and pruning them (PV-19 to PV-22)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.management import (
    DeleteInstanceResult,
    ExecutionInfo,
    InstanceFilter,
    InstanceInfo,
    InstanceTree,
    Management,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
)
from holdfast.providers.memory import deletion, reading
from holdfast.providers.memory.calls import MemoryCalls
from holdfast.providers.memory.tables import Tables


class MemoryManagement(Management):
    """Management of a store. Made by the provider, and closed with it (PV-28.12)."""

    def __init__(self, calls: MemoryCalls, check_call: Callable[..., None]) -> None:
        """`check_call` is given the operation and its texts, and raises if the provider is closed."""
        self._calls = calls
        self._check_call = check_call

    async def list_instances(self) -> list[str]:
        """Ids of all instance records, newest creation first (PV-19.1)."""
        self._check_call("list_instances")
        return self._calls.read("list_instances", reading.instances, None)

    async def list_instances_by_status(self, status: str) -> list[str]:
        """Ids whose current execution has this status, newest first (PV-19.2)."""
        self._check_call("list_instances_by_status", status)
        return self._calls.read("list_instances_by_status", reading.instances, status)

    async def list_executions(self, instance_id: str) -> list[int]:
        """Recorded execution numbers, ascending (PV-19.3)."""
        self._check_call("list_executions", instance_id)
        return self._calls.read("list_executions", lambda t: sorted(t.executions.get(instance_id, {})))

    async def latest_execution_id(self, instance_id: str) -> int:
        """The highest recorded execution number, 1 if none (PV-19.4)."""
        self._check_call("latest_execution_id", instance_id)
        return self._calls.read("latest_execution_id", Tables.latest_execution, instance_id)

    async def read_history(self, instance_id: str) -> list[StoredEvent]:
        """The history of the latest execution (PV-19.4)."""
        self._check_call("read_history", instance_id)
        return self._calls.read("read_history", reading.latest_history, "read_history", instance_id)

    async def read_history_with_execution_id(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        """The history of one execution (PV-19.4)."""
        self._check_call("read_history_with_execution_id", instance_id)
        operation = "read_history_with_execution_id"
        return self._calls.read(operation, reading.history, operation, instance_id, execution_id)

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """An instance record. Raises ProviderError, permanent, for an unknown id (PV-19.5)."""
        self._check_call("get_instance_info", instance_id)
        operation = "get_instance_info"
        return self._calls.read(operation, reading.instance_info, operation, instance_id)

    async def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """An execution record. Raises ProviderError, permanent, for an unknown one (PV-19.7)."""
        self._check_call("get_execution_info", instance_id)
        operation = "get_execution_info"
        return self._calls.read(operation, reading.execution_info, operation, instance_id, execution_id)

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store (PV-19.8)."""
        self._check_call("get_system_metrics")
        return self._calls.read("get_system_metrics", reading.metrics)

    async def get_queue_depths(self) -> QueueDepths:
        """Waiting rows per queue (PV-19.9)."""
        self._check_call("get_queue_depths")
        return self._calls.look("get_queue_depths", reading.queue_depths)

    async def list_children(self, instance_id: str) -> list[str]:
        """Direct children (PV-20.1)."""
        self._check_call("list_children", instance_id)
        return self._calls.read("list_children", deletion.children, instance_id)

    async def get_parent_id(self, instance_id: str) -> str | None:
        """The parent id. Raises ProviderError, permanent, for an unknown id (PV-20.2)."""
        self._check_call("get_parent_id", instance_id)
        return self._calls.read("get_parent_id", reading.record_of, "get_parent_id", instance_id).parent

    async def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """The id and all its descendants (PV-20.3)."""
        self._check_call("get_instance_tree", instance_id)
        members = self._calls.read("get_instance_tree", deletion.tree, instance_id)
        return InstanceTree(root_id=instance_id, all_ids=tuple(members))

    async def delete_instance(self, instance_id: str, *, force: bool) -> DeleteInstanceResult:
        """Delete a root with its tree in one step (PV-20.9)."""
        self._check_call("delete_instance", instance_id)
        return self._calls.change("delete_instance", deletion.delete_tree, instance_id, force)

    async def delete_instances_atomic(self, ids: Sequence[str], *, force: bool) -> DeleteInstanceResult:
        """Delete exactly these in one step, or refuse (PV-20.4 to PV-20.8)."""
        self._check_call("delete_instances_atomic", *ids)
        operation = "delete_instances_atomic"
        return self._calls.change(operation, deletion.delete, operation, ids, force)

    async def delete_instance_bulk(self, filter: InstanceFilter) -> DeleteInstanceResult:
        """Delete finished roots that the filter picks (PV-21)."""
        self._check_call("delete_instance_bulk")
        return self._calls.change("delete_instance_bulk", deletion.delete_finished, filter)

    async def prune_executions(self, instance_id: str, options: PruneOptions) -> PruneResult:
        """Delete old executions of one instance (PV-22.1 to PV-22.7)."""
        self._check_call("prune_executions", instance_id)
        operation = "prune_executions"
        return self._calls.change(operation, deletion.prune, operation, instance_id, options)

    async def prune_executions_bulk(self, filter: InstanceFilter, options: PruneOptions) -> PruneResult:
        """Delete old executions of every instance the filter picks (PV-22.8)."""
        self._check_call("prune_executions_bulk")
        return self._calls.change("prune_executions_bulk", deletion.prune_picked, filter, options)
