"""The durable runtime: what durable execution is.

Orchestrations replayed from history, activities, timers, events, children, continue-as-new and explicit
activity sessions; the provider contract (`holdfast.core.provider`); the ports for clock, ids and observation.

May import nothing of ours. It knows no store, reads no clock and draws no randomness: all three are handed
in, and so the same code runs in production and in the simulator. The public names below are resolved on first
use, so that importing one module does not pull in the shells.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.core.activity_context import ActivityContext
    from holdfast.core.client import Client
    from holdfast.core.context import OrchestrationContext
    from holdfast.core.errors import ActivityError, SessionIdError
    from holdfast.core.futures import Durable, DurableFuture
    from holdfast.core.options import RuntimeOptions
    from holdfast.core.registry import Exact, Latest, Registry
    from holdfast.core.retry import (
        ExponentialBackoff,
        FixedBackoff,
        LinearBackoff,
        NoBackoff,
        RetryPolicy,
    )
    from holdfast.core.runtime import Runtime

_HOMES = {
    "ActivityContext": "holdfast.core.activity_context",
    "ActivityError": "holdfast.core.errors",
    "Client": "holdfast.core.client",
    "Durable": "holdfast.core.futures",
    "DurableFuture": "holdfast.core.futures",
    "Exact": "holdfast.core.registry",
    "ExponentialBackoff": "holdfast.core.retry",
    "FixedBackoff": "holdfast.core.retry",
    "Latest": "holdfast.core.registry",
    "LinearBackoff": "holdfast.core.retry",
    "NoBackoff": "holdfast.core.retry",
    "OrchestrationContext": "holdfast.core.context",
    "Registry": "holdfast.core.registry",
    "RetryPolicy": "holdfast.core.retry",
    "Runtime": "holdfast.core.runtime",
    "RuntimeOptions": "holdfast.core.options",
    "SessionIdError": "holdfast.core.errors",
}

__all__ = [
    "ActivityContext",
    "ActivityError",
    "Client",
    "Durable",
    "DurableFuture",
    "Exact",
    "ExponentialBackoff",
    "FixedBackoff",
    "Latest",
    "LinearBackoff",
    "NoBackoff",
    "OrchestrationContext",
    "Registry",
    "RetryPolicy",
    "Runtime",
    "RuntimeOptions",
    "SessionIdError",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'holdfast.core' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
