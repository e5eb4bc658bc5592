"""Metrics: counters of a runtime, fed by the observation port and `InstrumentedProvider` (SS-22.7, RT-23.7).

Listening is all it does; with no `Metrics` attached nothing is counted, at no cost (RT-23.6). The
session counters count log records, so that they agree with the log by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.core.contract.observe import LeaseEnded, LeaseTaken, LocalEvent, Logged, RenewalAnswered
from holdfast.core.contract.provider import Provider
from holdfast.core.hosting.instrumented import Measured
from holdfast.core.hosting.instruments import Instruments, MetricSink
from holdfast.core.hosting.standard_logging import ACTIVITY_TRACE

PREFIX: Final = "holdfast_"
SESSIONS_ACTIVE: Final = f"{PREFIX}sessions_active"
SESSION_RENEWALS: Final = f"{PREFIX}sessions_renewal_total"

RUNTIME_COUNTERS: Final = (
    "orch_starts",
    "orch_completions",
    "orch_failures",
    "orch_application_errors",
    "orch_infrastructure_errors",
    "orch_configuration_errors",
    "orch_poison",
    "activity_success",
    "activity_app_errors",
    "activity_infra_errors",
    "activity_config_errors",
    "activity_poison",
    "orch_dispatcher_items_fetched",
    "worker_dispatcher_items_fetched",
    "orch_continue_as_new",
    "suborchestration_calls",
    "provider_errors",
)
"""The fields of the in-process snapshot (RT-23.7)."""

_BY_RECORD: Final[dict[str, tuple[str, ...]]] = {
    "session.claimed": (f"{PREFIX}sessions_claimed_total",),
    "session.released": (f"{PREFIX}sessions_released_total",),
    "session.migrated": (f"{PREFIX}sessions_expired_total",),
    "session.renewal_failed": (f"{PREFIX}sessions_renewal_failed_total",),
    "Orchestration completed": ("orch_completions",),
    "Orchestration continued as new": ("orch_continue_as_new",),
    "Orchestration failed (application error)": ("orch_failures", "orch_application_errors"),
    "Orchestration failed (unknown error type)": ("orch_failures", "orch_poison"),
    "Activity completed": ("activity_success",),
    "Activity failed (application error)": ("activity_app_errors",),
    "worker: atomic ack failed, abandoning work item": ("activity_infra_errors",),
    "Activity message exceeded max attempts, marking as poison": ("activity_poison",),
}
_FAILURES: Final[dict[str, str]] = {
    "infrastructure": "orch_infrastructure_errors",
    "configuration": "orch_configuration_errors",
}
_FETCHES: Final[dict[str, str]] = {
    "fetch_orchestration_item": "orch_dispatcher_items_fetched",
    "fetch_work_item": "worker_dispatcher_items_fetched",
    "fetch_session_work_item": "worker_dispatcher_items_fetched",
}

# The tables name records, calls and counters by text: one that nobody knows would count nothing, or unseen.
for _counter in (*(each for names in _BY_RECORD.values() for each in names), *_FETCHES.values()):
    assert _counter.startswith(PREFIX) or _counter in RUNTIME_COUNTERS, f"{_counter!r} is in no snapshot"
for _operation in _FETCHES:
    assert hasattr(Provider, _operation), f"{_operation!r} is counted, and no method of a provider"


class Metrics:
    """An observer and a measure sink that counts. One per runtime: hand it over as `metrics`.

    `sink` gets the metrics of RT-23.2 besides; what it raises is dropped (RT-23.12).
    """

    def __init__(self, sink: MetricSink | None = None) -> None:
        self._instruments = None if sink is None else Instruments(sink)
        names = [name for counted in _BY_RECORD.values() for name in counted]
        self._counts: dict[str, int] = dict.fromkeys(
            (*RUNTIME_COUNTERS, *names, SESSION_RENEWALS, SESSIONS_ACTIVE), 0
        )

    def snapshot(self) -> dict[str, int]:
        """The current value of every counter and gauge."""
        return dict(self._counts)

    def notify(self, event: LocalEvent) -> None:
        match event:
            case LeaseTaken():
                self._add(SESSIONS_ACTIVE)
            case LeaseEnded(cause=cause) if cause != "given_back":
                self._add(SESSIONS_ACTIVE, -1)
            case RenewalAnswered(error=None):
                self._add(SESSION_RENEWALS)
            case Logged() if event.event != ACTIVITY_TRACE:  # those come from any thread
                self._record(event)
            case _:
                pass

    def measured(self, call: Measured) -> None:
        if call.error is not None:
            self._add("provider_errors")
        elif call.found and call.operation in _FETCHES:
            self._add(_FETCHES[call.operation])
        self._tell(lambda instruments: instruments.call(call))

    def depths(self, *, orchestrator: int, worker: int, active: int) -> None:
        """The gauges that the store's management knows (RT-23.11)."""
        self._tell(lambda to: to.depths(orchestrator=orchestrator, worker=worker, active=active))

    def _record(self, record: Logged) -> None:
        for name in _BY_RECORD.get(record.event, ()):
            self._add(name)
        if record.event == "Orchestration failed":
            self._add("orch_failures")
            self._add(_FAILURES[str(record.fields["error_type"])])
        elif record.event == "Turn committed":
            self._add("orch_starts", int(bool(record.fields["started"])))
            children = record.fields["children"]
            assert isinstance(children, int), f"a turn was committed with {children!r} children"
            self._add("suborchestration_calls", children)
        self._tell(lambda instruments: instruments.record(record))

    def _tell(self, tell: Callable[[Instruments], None]) -> None:
        if self._instruments is None:
            return
        try:
            tell(self._instruments)
        except Exception:
            return  # the sink's, or that of what it sends to

    def _add(self, name: str, count: int = 1) -> None:
        assert name in self._counts, f"{name!r} is not one of the counters {sorted(self._counts)}"
        assert count >= 0 or name == SESSIONS_ACTIVE, f"{name} is a counter, and goes down by {-count}"
        self._counts[name] += count
        assert self._counts[name] >= 0, f"{name} stands at {self._counts[name]}: more ended than began"
        if name == SESSIONS_ACTIVE:
            value = self._counts[name]
            self._tell(lambda instruments: instruments.stands(name, value))
        elif name.startswith(PREFIX):
            self._tell(lambda instruments: instruments.counted(name))
