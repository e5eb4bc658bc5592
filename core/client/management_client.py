"""ManagementClient: the half of a client that inspects, deletes and prunes instances (RT-19.17)."""

from __future__ import annotations

from holdfast.core.client.checked_calls import checked
from holdfast.core.contract.arguments import able
from holdfast.core.contract.codec import encode_event
from holdfast.core.contract.errors import (
    CannotDeleteSubOrchestration,
    InstanceNotFound,
    InstanceStillRunning,
    ManagementNotAvailable,
    ProviderError,
)
from holdfast.core.contract.events import OrchestrationStarted, StoredEvent
from holdfast.core.contract.management import (
    DeleteInstanceResult,
    ExecutionInfo,
    InstanceFilter,
    InstanceInfo,
    InstanceTree,
    Management,
    OrchestrationStats,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
)
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.provider import Provider
from holdfast.core.hosting.log import Log


@checked
class ManagementClient:
    """Passes management calls through. Each raises ManagementNotAvailable if the provider offers none."""

    def __init__(self, provider: Provider, observer: Observer | None = None) -> None:
        able("provider", provider, "enqueue_for_orchestrator", "an opened provider: `store.open()`")
        self._provider = provider
        self._log = Log(observer)

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
        try:
            return await self._management().get_instance_info(instance)
        except ProviderError as error:
            if _is_unknown(error):
                raise ProviderError.permanent(error.operation, str(InstanceNotFound(instance))) from error
            raise

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

    async def get_orchestration_stats(self, instance: str) -> OrchestrationStats | None:
        """How much an instance holds in its current execution; None if it is unknown (RT-19.26)."""
        try:
            info = await self._management().get_instance_info(instance)
        except ProviderError as error:
            if _is_unknown(error):
                return None
            raise
        history = await self._provider.read_with_execution(instance, info.current_execution_id)
        values = await self._provider.get_kv_all_values(instance)
        began_with = next((each for each in history if isinstance(each, OrchestrationStarted)), None)
        carried = () if began_with is None else began_with.carry_forward_events or ()
        return OrchestrationStats(
            history_event_count=len(history),
            history_size_bytes=sum(len(encode_event(event)) for event in history),
            kv_user_key_count=len(values),
            kv_total_value_bytes=sum(len(value.encode()) for value in values.values()),
            queue_pending_count=len(carried),
        )

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store."""
        return await self._management().get_system_metrics()

    async def get_queue_depths(self) -> QueueDepths:
        """Rows not held by a live lock."""
        return await self._management().get_queue_depths()

    async def delete_instance(self, instance: str, *, force: bool = False) -> DeleteInstanceResult:
        """Delete a root with its whole tree in one step (RT-19.27 to RT-19.30, RT-19.37).

        Raises InstanceNotFound, CannotDeleteSubOrchestration for a child, and without `force`
        InstanceStillRunning if any instance of the tree has not ended.
        """
        management = self._management()
        try:
            parent = await management.get_parent_id(instance)
        except ProviderError as error:
            if _is_unknown(error):
                raise InstanceNotFound(instance) from error
            raise
        if parent is not None and await self._exists(management, parent):
            raise CannotDeleteSubOrchestration(instance)
        if not force:
            for member in (await management.get_instance_tree(instance)).all_ids:
                if (await management.get_instance_info(member)).status in ("Running", "ContinuedAsNew"):
                    raise InstanceStillRunning(instance)
        result = await management.delete_instance(instance, force=force)
        self._log.info("Deleted instance", instance_id=instance, force=force, **result._asdict())
        return result

    async def delete_instance_bulk(self, filter: InstanceFilter) -> DeleteInstanceResult:
        """Delete the finished roots the filter picks, with their trees (RT-19.32)."""
        result = await self._management().delete_instance_bulk(filter)
        self._log.info("Bulk deleted instances", **result._asdict())
        return result

    async def prune_executions(self, instance: str, options: PruneOptions) -> PruneResult:
        """Delete old executions of one instance (RT-19.33 to RT-19.35)."""
        result = await self._management().prune_executions(instance, options)
        self._log.info("Pruned executions", instance_id=instance, **result._asdict())
        return result

    async def prune_executions_bulk(self, filter: InstanceFilter, options: PruneOptions) -> PruneResult:
        """Delete old executions of all instances the filter picks (RT-19.36)."""
        result = await self._management().prune_executions_bulk(filter, options)
        self._log.info("Bulk pruned executions", **result._asdict())
        return result

    @staticmethod
    async def _exists(management: Management, instance: str) -> bool:
        """Whether the instance has a record; one whose parent has none counts as a root (PV-20.10)."""
        try:
            await management.get_parent_id(instance)
        except ProviderError as error:
            if _is_unknown(error):
                return False
            raise
        return True


def _is_unknown(error: ProviderError) -> bool:
    """Whether a provider answers that there is no such instance (PV-4.11)."""
    return not error.retryable and "not found" in error.message
