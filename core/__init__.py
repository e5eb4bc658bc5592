"""The durable runtime: what durable execution is.

    contract/      what a store must do, and the types that cross to it
    program/       what authors hand in: code by name, limits, retry policies
    engine/        run_turn, a pure function            hosting/   settings, tasks, pace, logs
    client/        start, talk to, watch
    dispatching/   the shell around the engine          working/   the shell around activities
    runtime.py     one process, put together

May import nothing of ours. It knows no store, reads no clock and draws no randomness: all three are passed
in, so the same code runs in production and in the simulator. The public names below are resolved on first
use. `provider`, `store` and `errors` re-export the contract.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.core.client import Client
    from holdfast.core.contract.errors import ActivityError, SessionIdError
    from holdfast.core.engine.context import OrchestrationContext
    from holdfast.core.engine.futures import Durable, DurableFuture
    from holdfast.core.hosting.metrics import Metrics
    from holdfast.core.hosting.options import ObservabilityOptions, RuntimeOptions
    from holdfast.core.program.registry import Exact, Latest, Registry
    from holdfast.core.program.retry import (
        ExponentialBackoff,
        FixedBackoff,
        LinearBackoff,
        NoBackoff,
        RetryPolicy,
    )
    from holdfast.core.runtime import Runtime
    from holdfast.core.working.activity_context import ActivityContext

_HOMES = {
    "ActivityContext": "holdfast.core.working.activity_context",
    "ActivityError": "holdfast.core.contract.errors",
    "Client": "holdfast.core.client",
    "Durable": "holdfast.core.engine.futures",
    "DurableFuture": "holdfast.core.engine.futures",
    "Exact": "holdfast.core.program.registry",
    "ExponentialBackoff": "holdfast.core.program.retry",
    "FixedBackoff": "holdfast.core.program.retry",
    "Latest": "holdfast.core.program.registry",
    "LinearBackoff": "holdfast.core.program.retry",
    "Metrics": "holdfast.core.hosting.metrics",
    "NoBackoff": "holdfast.core.program.retry",
    "ObservabilityOptions": "holdfast.core.hosting.options",
    "OrchestrationContext": "holdfast.core.engine.context",
    "Registry": "holdfast.core.program.registry",
    "RetryPolicy": "holdfast.core.program.retry",
    "Runtime": "holdfast.core.runtime",
    "RuntimeOptions": "holdfast.core.hosting.options",
    "SessionIdError": "holdfast.core.contract.errors",
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
    "Metrics",
    "NoBackoff",
    "ObservabilityOptions",
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
