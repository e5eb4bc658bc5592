"""The store behind a provider, and the hooks that inspect it: the public face of `contract.store`."""

from holdfast.core.contract.store import (
    HookMissing,
    InspectableStore,
    SessionRecord,
    Store,
    TableShape,
    WorkerRow,
    inspectable,
    no_hook,
)

__all__ = [
    "HookMissing",
    "InspectableStore",
    "SessionRecord",
    "Store",
    "TableShape",
    "WorkerRow",
    "inspectable",
    "no_hook",
]
