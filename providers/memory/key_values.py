"""The key-value store in its two layers: settled values and changes of the running execution (PV-17)."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.events import KeyValueCleared, KeyValuesCleared, KeyValueSet, StoredEvent
from holdfast.core.provider import KvEntry
from holdfast.providers.memory.tables import Tables


def apply(tables: Tables, instance: str, events: Sequence[StoredEvent]) -> None:
    """Note the changes in list order; a clear leaves a tombstone, of whatever key (PV-17.2 to PV-17.6)."""
    for event in events:
        match event:
            case KeyValueSet():
                entry = KvEntry(event.value, event.last_updated_at_ms)
                tables.changes.setdefault(instance, {})[event.key] = entry
            case KeyValueCleared():
                tables.changes.setdefault(instance, {})[event.key] = None
            case KeyValuesCleared():
                changes = tables.changes.setdefault(instance, {})
                for key in (*changes, *tables.settled.get(instance, {})):
                    changes[key] = None
            case _:
                pass


def settle(tables: Tables, instance: str) -> None:
    """An execution ended: its changes become the settled values (PV-17.7)."""
    changes = tables.changes.pop(instance, None)
    if not changes:
        return
    settled = tables.settled.setdefault(instance, {})
    for key, entry in changes.items():
        if entry is None:
            settled.pop(key, None)
        else:
            settled[key] = entry


def value(tables: Tables, instance: str, key: str) -> str | None:
    """One value as clients see it (PV-17.10)."""
    changes = tables.changes.get(instance, {})
    entry = changes[key] if key in changes else tables.settled.get(instance, {}).get(key)
    return None if entry is None else entry.value


def all_values(tables: Tables, instance: str) -> dict[str, str]:
    """All values as clients see them (PV-17.10)."""
    entries: dict[str, KvEntry | None] = {
        **tables.settled.get(instance, {}),
        **tables.changes.get(instance, {}),
    }
    return {key: entry.value for key, entry in entries.items() if entry is not None}
