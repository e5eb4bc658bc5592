"""Instruments: the metrics of RT-23.2, from log records and measured calls, for whatever sink is plugged in.

The names are the specification's. Durations are in seconds. A record that lacks what a label needs (that of
an unreadable history) has the label `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from holdfast.core.contract.observe import Logged
from holdfast.core.hosting.instrumented import Measured

PREFIX: Final = "duroxide_"
Labels = Mapping[str, str | int]


class MetricSink(Protocol):
    """Where metrics go (RT-23.6), for instance OpenTelemetry (`holdfast.opentelemetry`).

    Called on the runtime's loop; what it raises is dropped (RT-23.12).
    """

    def count(self, name: str, by: int, labels: Labels) -> None:
        """A counter goes up."""
        ...

    def observe(self, name: str, value: float, labels: Labels) -> None:
        """One more value for a histogram."""
        ...

    def gauge(self, name: str, value: int) -> None:
        """A gauge stands at a value."""
        ...


_ERROR_TYPES: Final = {
    "application": "app_error",
    "infrastructure": "infrastructure_error",
    "configuration": "config_error",
}
_OUTCOMES: Final = {
    "Activity completed": "success",
    "Activity failed (application error)": "app_error",
    "Activity cancelled": "cancelled",
    "worker: atomic ack failed, abandoning work item": "infra_error",
}
_ENDS: Final = {
    "Orchestration completed": "success",
    "Orchestration continued as new": "continuedAsNew",
    "Orchestration failed": "failed",
    "Orchestration failed (application error)": "failed",
    "Orchestration failed (unknown error type)": "failed",
}

_STATUSES: Final = {"success", "failed", "continuedAsNew"}
assert set(_ENDS.values()) == _STATUSES, f"an execution ends as one of {_STATUSES} (RT-23.2): {_ENDS}"


class Instruments:
    """Feeds a sink. One per runtime."""

    def __init__(self, sink: MetricSink) -> None:
        self._sink = sink
        self._active = 0

    def record(self, record: Logged) -> None:
        """What a log record counts for."""
        if record.event in _ENDS:
            self._execution_ended(record.event, record.fields)
        elif record.event in _OUTCOMES:
            self._activity_ended(record.event, record.fields)
        elif record.event == "Turn committed":
            self._turn(record.fields)
        elif record.event == "Activity message exceeded max attempts, marking as poison":
            self._count("activity_poison_total")

    def call(self, call: Measured) -> None:
        """One call of the provider."""
        assert call.duration >= 0, f"{call.operation} has taken {call.duration} us"
        status = "success" if call.error is None else "error"
        labels: Labels = {"operation": call.operation, "status": status}
        self._sink.observe(f"{PREFIX}provider_operation_duration_seconds", call.duration / 1e6, labels)
        if call.error is not None:
            self._count("provider_errors_total", operation=call.operation, error_type=call.error)

    def stands(self, name: str, value: int) -> None:
        """A gauge that is kept elsewhere."""
        self._sink.gauge(name, value)

    def counted(self, name: str) -> None:
        """A counter that is kept elsewhere went up by one."""
        self._sink.count(name, 1, {})

    def depths(self, *, orchestrator: int, worker: int, active: int) -> None:
        """What the store's management says (RT-23.11)."""
        assert min(orchestrator, worker, active) >= 0, (
            f"queues hold {orchestrator} and {worker}, {active} run"
        )
        self._active = active
        self._sink.gauge(f"{PREFIX}orchestrator_queue_depth", orchestrator)
        self._sink.gauge(f"{PREFIX}worker_queue_depth", worker)
        self._sink.gauge(f"{PREFIX}active_orchestrations", active)

    # --- one method per kind of record ------------------------------------------------------------------

    def _turn(self, fields: Mapping[str, Any]) -> None:
        if fields["started"]:
            first = fields["execution_id"] == 1
            by = "client" if first else "continueAsNew"
            self._count("orchestration_starts_total", **_versioned(fields), initiated_by=by)
            if first:
                self._move_active(1)
        self._children(fields["ended_children"], _name(fields))

    def _children(self, ended: Iterable[tuple[str, str, int]], parent: str) -> None:
        for child, outcome, duration_ms in ended:
            labels: dict[str, str | int] = {
                "parent_orchestration": parent,
                "child_orchestration": child,
                "outcome": outcome,
            }
            self._count("suborchestration_calls_total", **labels)
            self._observe("suborchestration_duration_seconds", duration_ms / 1000, **labels)

    def _execution_ended(self, event: str, fields: Mapping[str, Any]) -> None:
        name, status = _name(fields), _ENDS[event]
        versioned = _versioned(fields)
        turns = fields.get("turns", 0)
        self._count(
            "orchestration_completions_total", **versioned, status=status, final_turn_count=_few(turns)
        )
        assert turns <= fields["history_events"], f"{name} has written {fields} in {turns} turns"
        if turns:
            seconds = fields["duration_ms"] / 1000
            self._observe("orchestration_duration_seconds", seconds, **versioned, status=status)
            self._observe("orchestration_turns", turns, orchestration_name=name)
            self._observe("orchestration_history_size", fields["history_events"], orchestration_name=name)
        if status == "continuedAsNew":
            labels: Labels = {"orchestration_name": name, "execution_id": fields["execution_id"]}
            self._count("orchestration_continue_as_new_total", **labels)
            return
        self._move_active(-1)
        if status == "failed":
            self._execution_failed(fields, versioned)

    def _execution_failed(self, fields: Mapping[str, Any], versioned: dict[str, str | int]) -> None:
        category = fields["error_category"]
        error_type = _ERROR_TYPES.get(fields["error_type"], "unknown")
        assert error_type != "unknown" or fields["error_type"] == "poison", f"a failure of type {fields}"
        self._count(
            "orchestration_failures_total", **versioned, error_type=error_type, error_category=category
        )
        if fields["error_type"] in ("infrastructure", "configuration"):
            metric = f"orchestration_{fields['error_type']}_errors_total"
            self._count(metric, orchestration_name=_name(fields), error_category=category)
        elif fields["error_type"] == "poison":
            self._count("orchestration_poison_total")

    def _activity_ended(self, event: str, fields: Mapping[str, Any]) -> None:
        if "duration_ms" not in fields:
            return  # no handler has run: the item was poison, and its acknowledgement failed
        outcome = _OUTCOMES[event]
        activity, tag = fields["activity_name"], fields["activity_tag"] or "default"
        retry = fields["attempt_count"] - 1
        assert retry >= 0, f"{activity} has run in attempt {retry + 1}; attempts count from 1"
        self._count(
            "activity_executions_total",
            activity_name=activity,
            outcome=outcome,
            retry_attempt=str(retry) if retry < 3 else "3+",
            tag=tag,
        )
        seconds = fields["duration_ms"] / 1000
        self._observe("activity_duration_seconds", seconds, activity_name=activity, outcome=outcome, tag=tag)
        if outcome == "infra_error":
            self._count("activity_infrastructure_errors_total", activity_name=activity)

    def _move_active(self, by: int) -> None:
        assert by in (-1, 1), f"{by} orchestrations begin or end with one record"
        self._active = max(self._active + by, 0)  # another runtime may have started what ends here
        self._sink.gauge(f"{PREFIX}active_orchestrations", self._active)

    def _count(self, name: str, **labels: str | int) -> None:
        self._sink.count(PREFIX + name, 1, labels)

    def _observe(self, name: str, value: float, **labels: str | int) -> None:
        self._sink.observe(PREFIX + name, value, labels)


def _name(fields: Mapping[str, Any]) -> str:
    return fields.get("orchestration_name") or "unknown"


def _versioned(fields: Mapping[str, Any]) -> dict[str, str | int]:
    version = fields.get("orchestration_version") or "unknown"
    return {"orchestration_name": _name(fields), "version": version}


def _few(turns: int) -> str:
    assert turns >= 0, f"an execution of {turns} turns"
    if turns > 50:
        return "50+"
    return "1-5" if turns <= 5 else "6-10" if turns <= 10 else "11-50"
