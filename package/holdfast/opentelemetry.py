"""Metrics for OpenTelemetry: `pip install holdfast[opentelemetry]`.

The meter is that of the program, or the global one; which exporter it feeds, and the service it is of, are
the program's settings. With the API alone, without an SDK, nothing is measured and nothing fails (RT-23.6).
"""

from __future__ import annotations

from typing import Any

from opentelemetry.metrics import Meter, get_meter

from holdfast.core.hosting.instruments import Labels
from holdfast.core.hosting.metrics import Metrics

__all__ = ["OpenTelemetrySink", "opentelemetry_metrics"]


class OpenTelemetrySink:
    """A sink of metrics that makes an instrument of a meter for each name it meets."""

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = get_meter("holdfast") if meter is None else meter
        self._instruments: dict[str, Any] = {}

    def count(self, name: str, by: int, labels: Labels) -> None:
        """A counter goes up."""
        self._made(name, self._meter.create_counter).add(by, dict(labels))

    def observe(self, name: str, value: float, labels: Labels) -> None:
        """One more value for a histogram; the unit is in its name."""
        self._made(name, self._meter.create_histogram).record(value, dict(labels))

    def gauge(self, name: str, value: int) -> None:
        """A gauge stands at a value."""
        self._made(name, self._meter.create_gauge).set(value)

    def _made(self, name: str, create: Any) -> Any:
        instrument = self._instruments.get(name)
        if instrument is None:
            unit = "s" if name.endswith("_seconds") else "1"
            instrument = self._instruments[name] = create(name, unit=unit)
        return instrument


def opentelemetry_metrics(meter: Meter | None = None) -> Metrics:
    """The metrics of one runtime, on a meter: `Runtime(..., metrics=opentelemetry_metrics())`."""
    return Metrics(OpenTelemetrySink(meter))
