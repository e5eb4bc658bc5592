"""KeyValues: the in-memory map that orchestration code reads and writes (RT-16).

Writes take effect at once, reads are free. The time of a set counts only once the set is matched to its event
or has become one, and then it is the event's, so that pruning decides alike on every replay (RT-16.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.core.contract.provider import KvEntry


@dataclass(slots=True)
class _Entry:
    value: str
    token: int  # of the set action; 0 for an entry of the snapshot
    updated_at_ms: int | None  # None: the set is neither matched nor converted


class KeyValues:
    """The values of the instance as this execution's code sees them."""

    def __init__(self, snapshot: Mapping[str, KvEntry]) -> None:
        self._entries = {
            key: _Entry(entry.value, 0, entry.last_updated_at_ms) for key, entry in snapshot.items()
        }

    def set(self, key: str, value: str, *, token: int) -> None:
        """Set by the action of this token."""
        assert token > 0, f"key {key!r} is set by token {token}, which marks what the snapshot holds"
        self._entries[key] = _Entry(value, token, None)

    def recorded(self, key: str, *, token: int, updated_at_ms: int) -> None:
        """The set action of this token now has its event; unless it has been overwritten, its time counts."""
        entry = self._entries.get(key)
        if entry is not None and entry.token == token:
            assert entry.updated_at_ms is None, f"token {token} set {key!r} at {entry.updated_at_ms}, again"
            entry.updated_at_ms = updated_at_ms

    def clear(self, key: str) -> None:
        """Remove a key, there or not."""
        self._entries.pop(key, None)

    def clear_all(self) -> None:
        self._entries.clear()

    def get(self, key: str) -> str | None:
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def all(self) -> dict[str, str]:
        """All values, by ascending key."""
        return {key: self._entries[key].value for key in sorted(self._entries)}

    def updated_before(self, cutoff_ms: int) -> list[str]:
        """Keys last set strictly before the cutoff, ascending (RT-16.5, RT-16.6)."""
        return [
            key
            for key in sorted(self._entries)
            if (updated_at_ms := self._entries[key].updated_at_ms) is not None and updated_at_ms < cutoff_ms
        ]
