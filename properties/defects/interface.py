"""Defects of options and identities."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from holdfast.core.contract.ids import Millis
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.hosting import options as option_module
from holdfast.core.hosting.options import RuntimeOptions, Timing
from holdfast.core.program import payload
from holdfast.core.runtime import Runtime
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, original


def _timing(*, derived: bool, factor: int) -> Change:
    """The session lock is a multiple of the item lock: where it is to be derived, or always."""
    of = original(Timing, "of").__func__

    def timing_of(cls: type[Timing], options: RuntimeOptions) -> Timing:
        timing: Timing = of(cls, options)
        if derived and options.session_lock_duration is not None:
            return timing
        return replace(timing, session_lock=Millis(factor * timing.item_lock))

    return Change(Timing, "of", classmethod(timing_of))


@defect("lease manager", "32.1", "option_defaults")
def derived_lock_is_the_item_lock() -> Changes:
    """Without a session lock duration the item lock's own is taken, not twice it."""
    yield _timing(derived=True, factor=1)


@defect("lease manager", "32.2 32.1 32.4", "explicit_lock_duration")
def explicit_lock_is_ignored() -> Changes:
    """The session lock duration is always derived from the item lock."""
    yield _timing(derived=False, factor=2)


@defect("worker", "32.3", "invalid_options_rejected")
def numbers_are_seconds() -> Changes:
    """An option that is a duration may be a plain number."""

    def check_durations(check: Original, option: str, value: object, *, least: timedelta) -> None:
        if not isinstance(value, int | float):
            check(option, value, least=least)

    yield around(option_module, "_duration", check_durations)


@defect("engine", "32.6", "typed_variant_parity")
def typed_inputs_are_quoted() -> Changes:
    """The typed call on a session writes texts with their quotes."""

    def schedule_quoted(
        self: OrchestrationContext,
        name: str,
        value: object,
        session_id: str,
        result_type: type[object],
        *,
        tag: str | None = None,
    ) -> object:
        text = payload.encode_json(value)
        return self._decoded(self._activity(name, text, tag=tag, session_id=session_id), result_type)

    yield Change(OrchestrationContext, "schedule_activity_on_session_typed", schedule_quoted)


@defect("worker", "32.8", "injected_identity")
def injected_identities_are_ignored() -> Changes:
    """A worker makes up its owner identity although one is injected."""

    def init_afresh(
        init: Original,
        this: Runtime,
        provider: object,
        registry: object,
        options: RuntimeOptions | None = None,
        **rest: object,
    ) -> None:
        given = RuntimeOptions() if options is None else options
        init(this, provider, registry, replace(given, worker_node_id=None), **rest)

    yield around(Runtime, "__init__", init_afresh)


@defect("worker", "5.2 32.7 32.8", "worker_id_form", caught_by="32.7")
def worker_ids_are_shortened() -> Changes:
    """The worker id that activities see has only the first half of the owner identity."""

    def start_shortened(start: Original, worker: Worker, slot_count: int) -> None:
        owner, worker._owner = worker._owner, worker._owner[:8]
        try:
            start(worker, slot_count)
        finally:
            worker._owner = owner

    yield around(Worker, "start", start_shortened)
