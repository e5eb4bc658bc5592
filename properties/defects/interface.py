"""Defects of options and identities."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from holdfast.core.contract.ids import Millis
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.hosting import options as option_module
from holdfast.core.hosting.options import RuntimeOptions, Timing
from holdfast.core.program import payload
from holdfast.core.runtime import Runtime
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced


def _timing(*, derived: bool, factor: int) -> Planting:
    """The session lock is a multiple of the item lock: where it is to be derived, or always."""
    of = original(Timing, "of").__func__

    def timing_of(cls: type[Timing], options: RuntimeOptions) -> Timing:
        timing: Timing = of(cls, options)
        if derived and options.session_lock_duration is not None:
            return timing
        return replace(timing, session_lock=Millis(factor * timing.item_lock))

    return replaced(Change(Timing, "of", classmethod(timing_of)))


def _numbers_are_seconds() -> Planting:
    """A number stands for so many seconds; only what is a duration is looked at further."""
    check = original(option_module, "_duration")

    def check_durations(option: str, value: object, *, least: timedelta) -> None:
        if not isinstance(value, int | float):
            check(option, value, least=least)

    return replaced(Change(option_module, "_duration", check_durations))


def _typed_inputs_are_quoted() -> Planting:
    """The typed call on a session writes plain JSON."""

    def schedule_quoted(
        self: OrchestrationContext,
        name: str,
        value: object,
        session_id: str,
        result_type: Any,
        *,
        tag: str | None = None,
    ) -> Any:
        text = payload.encode_json(value)
        return self._decoded(self._activity(name, text, tag=tag, session_id=session_id), result_type)

    return replaced(Change(OrchestrationContext, "schedule_activity_on_session_typed", schedule_quoted))


def _injected_identities_are_ignored() -> Planting:
    """The owner identity is made afresh, whoever injects one."""
    init = original(Runtime, "__init__")

    def init_afresh(self: Runtime, provider: Any, registry: Any, options: Any = None, **rest: Any) -> None:
        given = RuntimeOptions() if options is None else options
        init(self, provider, registry, replace(given, worker_node_id=None), **rest)

    return replaced(Change(Runtime, "__init__", init_afresh))


def _worker_ids_are_shortened() -> Planting:
    """Slots are named by the first part of the owner identity."""
    start = original(Worker, "start")

    def start_shortened(self: Worker, slot_count: int) -> None:
        owner, self._owner = self._owner, self._owner[:8]
        try:
            start(self, slot_count)
        finally:
            self._owner = owner

    return replaced(Change(Worker, "start", start_shortened))


DEFECTS: Final = (
    Defect(
        name="derived_lock_is_the_item_lock",
        title="Without a session lock duration the item lock's own is taken, not twice it",
        where="lease manager",
        caught_by="32.1",
        rows=("32.1",),
        scenario="option_defaults",
        needs="nothing",
        planted=lambda: _timing(derived=True, factor=1),
    ),
    Defect(
        name="explicit_lock_is_ignored",
        title="The session lock duration is always derived from the item lock",
        where="lease manager",
        caught_by="32.2",
        rows=("32.2", "32.1", "32.4"),
        scenario="explicit_lock_duration",
        needs="nothing",
        planted=lambda: _timing(derived=False, factor=2),
    ),
    Defect(
        name="numbers_are_seconds",
        title="An option that is a duration may be a plain number",
        where="worker",
        caught_by="32.3",
        rows=("32.3",),
        scenario="invalid_options_rejected",
        needs="nothing",
        planted=_numbers_are_seconds,
    ),
    Defect(
        name="typed_inputs_are_quoted",
        title="The typed call on a session writes texts with their quotes",
        where="engine",
        caught_by="32.6",
        rows=("32.6",),
        scenario="typed_variant_parity",
        needs="nothing",
        planted=_typed_inputs_are_quoted,
    ),
    Defect(
        name="injected_identities_are_ignored",
        title="A worker makes up its owner identity although one is injected",
        where="worker",
        caught_by="32.8",
        rows=("32.8",),
        scenario="injected_identity",
        needs="nothing",
        planted=_injected_identities_are_ignored,
    ),
    Defect(
        name="worker_ids_are_shortened",
        title="The worker id that activities see has only the first half of the owner identity",
        where="worker",
        caught_by="32.7",
        rows=("5.2", "32.7", "32.8"),
        scenario="worker_id_form",
        needs="nothing",
        planted=_worker_ids_are_shortened,
    ),
)
