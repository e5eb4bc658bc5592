"""All checks of the suite, gathered from their modules in the order of their ids."""

from __future__ import annotations

from types import ModuleType

from holdfast.providers.conformance import (
    abandoning,
    atomicity,
    bulk_deletion,
    cancellation,
    capability_filtering,
    custom_status,
    damaged_data,
    deletion,
    deletion_limits,
    error_handling,
    instance_creation,
    instance_locking,
    kv_layers,
    kv_store,
    lock_expiration,
    management_reads,
    multi_execution,
    payloads,
    poison,
    polling,
    prune,
    queue_semantics,
    sessions_ack,
    sessions_churn,
    sessions_closing,
    sessions_fetch,
    sessions_piggyback,
    sessions_races,
    sessions_renewal,
    sessions_store,
    sharing,
    tag_filtering,
)
from holdfast.providers.conformance.registry import REGISTRY, Check

MODULES: tuple[ModuleType, ...] = (
    abandoning,
    atomicity,
    bulk_deletion,
    cancellation,
    capability_filtering,
    custom_status,
    damaged_data,
    deletion,
    deletion_limits,
    error_handling,
    instance_creation,
    instance_locking,
    kv_layers,
    kv_store,
    lock_expiration,
    management_reads,
    multi_execution,
    payloads,
    poison,
    polling,
    prune,
    queue_semantics,
    sessions_ack,
    sessions_churn,
    sessions_closing,
    sessions_fetch,
    sessions_piggyback,
    sessions_races,
    sessions_renewal,
    sessions_store,
    sharing,
    tag_filtering,
)
"""The modules that hold checks, one per guarantee. Importing them has registered their checks."""

CHECKS: dict[str, Check] = dict(sorted(REGISTRY.items()))
"""Every check by id."""
