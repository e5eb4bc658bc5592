"""How much a turn may ask for (RT-22, SS-20, SS-21). Sizes are UTF-8 bytes; exactly the limit passes."""

from dataclasses import dataclass, fields
from typing import Final

from holdfast.core.contract.errors import ConfigurationError

SESSION_ID_BYTES_MAX: Final = 1024
"""Longest session id (SS-3.8)."""

UNREADABLE_HISTORY_EVENT_ID: Final = 999_999_999
"""Number of the one event written after an unreadable history: above every existing one (RT-13.12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLimits:
    """The limits in force for a turn. Raises ConfigurationError for a negative one, naming it (SS-20.6)."""

    custom_status_bytes_max: int = 262_144
    tag_bytes_max: int = 256
    kv_value_bytes_max: int = 65_536
    kv_key_count_max: int = 150
    carry_forward_count_max: int = 100
    sessions_per_orchestration_max: int = 10

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ConfigurationError(f"{limit.name} must be a whole number, 0 or more; it is {value!r}")


DEFAULT_LIMITS: Final = TurnLimits()
"""The limits of RT-22 and the session default of SS-20.5."""


def utf8_length(text: str) -> int:
    """Length in UTF-8 bytes, the measure of every limit. Lone surrogates count as three bytes."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
