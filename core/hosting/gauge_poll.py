"""gauge_poll: what the store holds, asked now and then for the gauges of RT-23.11."""

from __future__ import annotations

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.management import Management
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.metrics import Metrics


async def gauge_poll(
    management: Management, metrics: Metrics, clock: Clock, log: Log, *, interval: Micros
) -> None:
    """At the start and every interval, until cancelled; a store that fails is asked again next time."""
    assert interval > 0, f"gauges are asked for every {interval} us: in a hot loop"
    while True:
        try:
            depths = await management.get_queue_depths()
            counts = await management.get_system_metrics()
        except ProviderError as error:
            log.debug("gauges cannot be read", error=str(error))
        else:
            metrics.depths(
                orchestrator=depths.orchestrator_queue,
                worker=depths.worker_queue,
                active=counts.running_instances,
            )
        await clock.sleep_until(Micros(clock.monotonic_us() + interval))
