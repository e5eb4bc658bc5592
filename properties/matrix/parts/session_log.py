"""Session records: what a run logged, per name and per boot of a process, and what its metrics counted."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.core.contract.observe import Logged
from holdfast.core.hosting.metrics import Metrics
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.world import World


class LogRecord(NamedTuple):
    """One log record with the process that wrote it."""

    process: str
    boot: int
    time_us: int
    level: str
    fields: dict[str, object]


def logged(world: World, name: str) -> list[LogRecord]:
    """The records of this name, in order."""
    return [
        LogRecord(local.process, local.boot, local.time_us, local.event.level, local.event.fields)
        for local in world.locals
        if isinstance(local.event, Logged) and local.event.event == name
    ]


def only(world: World, name: str) -> LogRecord:
    """The one record of this name. Asserts that there is one and no other."""
    records = logged(world, name)
    assert len(records) == 1, f"{len(records)} records of {name}: {records}"
    return records[0]


def fields_of(world: World, name: str) -> list[dict[str, object]]:
    """Their fields."""
    return [record.fields for record in logged(world, name)]


def measured(world: World, handle: Handle) -> dict[str, int]:
    """The metrics of the latest boot of a process, which had been listening to it from the first moment."""
    metrics = Metrics()
    for local in world.locals:
        if (local.process, local.boot) == (handle.name, handle.boot):
            metrics.notify(local.event)
    return metrics.snapshot()
