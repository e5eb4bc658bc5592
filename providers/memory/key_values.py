"""The key-value store in its two layers: settled values and changes of the running execution (PV-17)."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.contract.events import KeyValueCleared, KeyValuesCleared, KeyValueSet, StoredEvent
from holdfast.core.contract.provider import KvEntry
from holdfast.providers.memory.tables import Tables


def apply(tables: Tables, instance: str, events: Sequence[StoredEvent]) -> None:
    """Record the changes in list order; a clear always leaves a tombstone (PV-17.2 to PV-17.6)."""
    for event in events:
        match event:
            case KeyValueSet():
                entry = KvEntry(event.value, event.last_updated_at_ms)
                _change(tables, instance, event.key, entry)
            case KeyValueCleared():
                _change(tables, instance, event.key, None)
            case KeyValuesCleared():
                for key in (*tables.changes.get(instance, ()), *tables.settled.get(instance, ())):
                    _change(tables, instance, key, None)
            case _:
                pass


def _change(tables: Tables, instance: str, key: str, entry: KvEntry | None) -> None:
    tables.journal.put(tables.of_instance(tables.changes, instance), key, entry)


def settle(tables: Tables, instance: str) -> None:
    """An execution ended: its changes become the settled values (PV-17.7)."""
    changes = tables.changes.get(instance)
    if changes is None:
        return
    tables.journal.remove(tables.changes, instance)
    merged: dict[str, KvEntry | None] = {**tables.settled.get(instance, {}), **changes}
    kept = {key: entry for key, entry in merged.items() if entry is not None}
    tables.journal.put(tables.settled, instance, kept)


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
