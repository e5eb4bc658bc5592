"""The context's calls that store data with the instance: custom status and key-values (RT-16, RT-17)."""

from __future__ import annotations

from typing import TypeVar

from holdfast.core.contract import arguments
from holdfast.core.contract.ids import INT63_MAX
from holdfast.core.engine.actions import ClearKeyValue, ClearKeyValues, SetKeyValue, UpdateCustomStatus
from holdfast.core.engine.turn_state import TurnState
from holdfast.core.program import payload

_T = TypeVar("_T")


class KeyValueCalls:
    """Part of `OrchestrationContext`. Writes take effect at once and are recorded; reads are free."""

    def __init__(self, state: TurnState) -> None:
        self._state = state

    # --- custom status ----------------------------------------------------------------------------------

    def set_custom_status(self, status: str) -> None:
        """Publish a status text to clients (RT-17.1)."""
        status = arguments.text("status", status)
        self._state.emit(UpdateCustomStatus(status=status))
        if not self._state.is_over:
            self._state.custom_status = status

    def reset_custom_status(self) -> None:
        """Clear the custom status."""
        self._state.emit(UpdateCustomStatus(status=None))
        if not self._state.is_over:
            self._state.custom_status = None

    def get_custom_status(self) -> str | None:
        """The custom status as this code set it, or as the previous execution left it (RT-17.6)."""
        return self._state.custom_status

    # --- key-values -------------------------------------------------------------------------------------

    def set_kv_value(self, key: str, value: str) -> None:
        """Set a key of this instance (RT-16.2)."""
        key, value = arguments.text("key", key), arguments.text("value", value)
        now_ms = self._state.turn_input.now_ms
        operation = self._state.emit(SetKeyValue(key=key, value=value, last_updated_at_ms=now_ms))
        if not self._state.is_over:
            self._state.key_values.set(key, value, token=operation.token)

    def set_kv_value_typed(self, key: str, value: object) -> None:
        """Set a key to the plain JSON of a value (RT-1.24)."""
        self.set_kv_value(key, payload.encode_json(value, "the value of key", key))

    def get_kv_value(self, key: str) -> str | None:
        """The value of a key, None if not set; all writes so far are seen (RT-16.3)."""
        return self._state.key_values.get(arguments.text("key", key))

    def get_kv_value_typed(self, key: str, value_type: type[_T]) -> _T | None:
        """The value of a key from plain JSON. Raises CodecError if it is of another type."""
        payload.check_type(value_type)
        text = self._state.key_values.get(arguments.text("key", key))
        return None if text is None else payload.decode_json(text, value_type)

    def get_kv_all_values(self) -> dict[str, str]:
        """All values, by ascending key (RT-16.5)."""
        return self._state.key_values.all()

    def get_kv_all_keys(self) -> list[str]:
        """All keys, ascending."""
        return list(self._state.key_values.all())

    def get_kv_length(self) -> int:
        """Number of keys."""
        return len(self._state.key_values.all())

    def clear_kv_value(self, key: str) -> None:
        """Remove a key; recorded also if it is not set."""
        key = arguments.text("key", key)
        self._state.emit(ClearKeyValue(key=key))
        if not self._state.is_over:
            self._state.key_values.clear(key)

    def clear_kv_values(self) -> None:
        """Remove all keys."""
        self._state.emit(ClearKeyValues())
        if not self._state.is_over:
            self._state.key_values.clear_all()

    def prune_kv_values_updated_before(self, updated_before_ms: int) -> int:
        """Clear every key last set before this time, epoch milliseconds; returns how many (RT-16.6)."""
        before = arguments.number("updated_before_ms", updated_before_ms, least=-INT63_MAX)
        keys = self._state.key_values.updated_before(before)
        assert len(set(keys)) == len(keys), f"a key would be cleared twice: {keys}"
        for key in keys:
            self.clear_kv_value(key)
        return len(keys)
