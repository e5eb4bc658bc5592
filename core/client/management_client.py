"""ManagementClient: the half of a client that inspects, deletes and prunes instances (RT-19.17)."""

from __future__ import annotations

from holdfast.core.client.checked_calls import checked
from holdfast.core.contract.arguments import able
from holdfast.core.contract.errors import (
    CannotDeleteSubOrchestration,
    InstanceNotFound,
    InstanceStillRunning,
    ManagementNotAvailable,
    ProviderError,
)
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
from holdfast.core.contract.provider import Provider


@checked
class ManagementClient:
    """Passes management calls through. Each raises ManagementNotAvailable if the provider offers none."""

    def __init__(self, provider: Provider) -> None:
        able("provider", provider, "enqueue_for_orchestrator", "an opened provider: `store.open()`")
        self._provider = provider

    def _management(self) -> Management:
        management = self._provider.as_management()
        if management is None:
            raise ManagementNotAvailable
        return management

    async def list_all_instances(self) -> list[str]:
        """Ids of all instances, newest first."""
        return await self._management().list_instances()

    async def list_instances_by_status(self, status: str) -> list[str]:
        """Ids whose current execution has this status."""
        return await self._management().list_instances_by_status(status)

    async def get_instance_info(self, instance: str) -> InstanceInfo:
        """The instance with its current execution; a permanent provider error if unknown (RT-19.19)."""
        return await self._management().get_instance_info(instance)

    async def get_execution_info(self, instance: str, execution_id: int) -> ExecutionInfo:
        return await self._management().get_execution_info(instance, execution_id)

    async def list_executions(self, instance: str) -> list[int]:
        """Execution numbers, ascending."""
        return await self._management().list_executions(instance)

    async def read_execution_history(self, instance: str, execution_id: int) -> list[StoredEvent]:
        """The events of one execution, ascending."""
        return await self._management().read_history_with_execution_id(instance, execution_id)

    async def get_instance_tree(self, instance: str) -> InstanceTree:
        """The instance and all its descendants."""
        return await self._management().get_instance_tree(instance)

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store."""
        return await self._management().get_system_metrics()

    async def get_queue_depths(self) -> QueueDepths:
        """Rows not held by a live lock."""
        return await self._management().get_queue_depths()

    async def delete_instance(self, instance: str, *, force: bool = False) -> DeleteInstanceResult:
        """Delete a root with its whole tree in one step (RT-19.27 to RT-19.30).

        Raises InstanceNotFound, CannotDeleteSubOrchestration for a child, and without `force`
        InstanceStillRunning if any instance of the tree has not ended.
        """
        management = self._management()
        try:
            parent = await management.get_parent_id(instance)
        except ProviderError as error:
            if error.retryable:
                raise
            raise InstanceNotFound(instance) from error
        if parent is not None and await self._exists(management, parent):
            raise CannotDeleteSubOrchestration(instance)
        if not force:
            for member in (await management.get_instance_tree(instance)).all_ids:
                if (await management.get_instance_info(member)).status in ("Running", "ContinuedAsNew"):
                    raise InstanceStillRunning(instance)
        return await management.delete_instance(instance, force=force)

    async def delete_instance_bulk(self, filter: InstanceFilter) -> DeleteInstanceResult:
        """Delete the finished roots the filter picks, with their trees (RT-19.32)."""
        return await self._management().delete_instance_bulk(filter)

    async def prune_executions(self, instance: str, options: PruneOptions) -> PruneResult:
        """Delete old executions of one instance (RT-19.33 to RT-19.35)."""
        return await self._management().prune_executions(instance, options)

    async def prune_executions_bulk(self, filter: InstanceFilter, options: PruneOptions) -> PruneResult:
        """Delete old executions of all instances the filter picks (RT-19.36)."""
        return await self._management().prune_executions_bulk(filter, options)

    @staticmethod
    async def _exists(management: Management, instance: str) -> bool:
        """Whether the instance has a record; one whose parent has none counts as a root (PV-20.10)."""
        try:
            await management.get_parent_id(instance)
        except ProviderError as error:
            if error.retryable:
                raise
            return False
        return True
