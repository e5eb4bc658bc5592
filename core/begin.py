"""begin_execution: what to do with a fetched batch, decided without doing it (RT-5.7 to RT-5.18).

The dispatcher fetches, asks here, and performs the answer: run a turn and settle it, consume the batch, give
it back for a while, or store an end that no code is needed for.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core.ids import Millis
from holdfast.core.limits import TurnLimits
from holdfast.core.observe import Logged
from holdfast.core.provider import DispatcherCapabilityFilter, OrchestrationItem
from holdfast.core.registry import Registry
from holdfast.core.turn_commit import TurnCommit
from holdfast.core.turn_input import TurnInput
from holdfast.core.work_items import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchPolicy:
    """What a dispatcher decides by; constant for a runtime. Delays are milliseconds."""

    registry: Registry
    supported_versions: DispatcherCapabilityFilter
    duroxide_version: str
    limits: TurnLimits
    unregistered_base: Millis
    unregistered_max: Millis
    max_attempts: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTurn:
    """Run this turn, then `settle` it. `name` and `version` are what was resolved (RT-14.11)."""

    turn: TurnInput
    name: str
    version: str
    log: tuple[Logged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Consume:
    """Acknowledge the batch with no change but these messages (RT-5.11, RT-5.15, RT-9.18)."""

    execution_id: int
    orchestrator_items: tuple[Message, ...] = ()
    log: tuple[Logged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonFor:
    """Give the batch back, its attempt counted, not to be seen again before the delay has passed."""

    delay: Millis
    log: tuple[Logged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """Acknowledge this end of the instance (RT-13.5 to RT-13.12)."""

    commit: TurnCommit


Beginning = RunTurn | Consume | AbandonFor | Poisoned


def begin_execution(
    item: OrchestrationItem, attempt_count: int, *, policy: DispatchPolicy, now_ms: int
) -> Beginning:
    """Decide about a batch. `now_ms` is the dispatcher's wall clock, one reading for the whole turn."""
    raise NotImplementedError
