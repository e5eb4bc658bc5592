"""TurnInput: all that a turn depends on (RT-4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.core.events import Event
from holdfast.core.limits import DEFAULT_LIMITS, TurnLimits
from holdfast.core.provider import KvEntry
from holdfast.core.registry import OrchestrationHandler
from holdfast.core.work_items import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnInput:
    """One execution of one instance as fetched, and the code to run over it.

    `history` is the baseline: the stored events and, on a first turn, the OrchestrationStarted just created;
    `persisted_length` says how many of them are really stored. `now_ms` is the one clock reading of the turn,
    `duroxide_version` the version stamped into its events.
    """

    instance: str
    execution_id: int
    history: Sequence[Event]
    persisted_length: int
    messages: Sequence[Message]
    handler: OrchestrationHandler
    now_ms: int
    duroxide_version: str
    kv_snapshot: Mapping[str, KvEntry] = field(default_factory=dict)
    limits: TurnLimits = DEFAULT_LIMITS
    notices: Sequence[Message] = ()
    """Messages to others that the batch itself calls for, whatever the turn concludes (RT-9.19)."""
