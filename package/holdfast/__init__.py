"""Holdfast: durable execution, and a simulator that checks it.

The public names are resolved on first use (PEP 562): importing one room must not pull in the others, and
`holdfast --help` must stay quick. The rooms are `holdfast.core` (the runtime), `holdfast.providers`
(storage), `holdfast.sim` (the world), `holdfast.traces`, `holdfast.properties` and `holdfast.reports`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.core import (
        ActivityContext,
        Client,
        OrchestrationContext,
        Registry,
        Runtime,
        RuntimeOptions,
    )

__version__ = "0.1.0"

_HOMES = {
    "ActivityContext": "holdfast.core",
    "Client": "holdfast.core",
    "OrchestrationContext": "holdfast.core",
    "Registry": "holdfast.core",
    "Runtime": "holdfast.core",
    "RuntimeOptions": "holdfast.core",
}

__all__ = [
    "ActivityContext",
    "Client",
    "OrchestrationContext",
    "Registry",
    "Runtime",
    "RuntimeOptions",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
