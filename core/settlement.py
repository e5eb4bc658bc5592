"""settle: from the result of a turn to what is acknowledged (RT-5.20 to RT-5.32)."""

from __future__ import annotations

from holdfast.core.errors import ProviderError
from holdfast.core.turn_commit import TurnCommit
from holdfast.core.turn_input import TurnInput
from holdfast.core.turn_result import TurnResult


def settle(
    turn: TurnInput, result: TurnResult, *, supports_sessions: bool, parent_execution_id: int | None = None
) -> TurnCommit:
    """What the dispatcher acknowledges.

    `parent_execution_id` is used only for a child whose own link lacks it: the parent's current execution,
    read from the provider (RT-9.7).
    """
    raise NotImplementedError


def acknowledgement_failed(
    turn: TurnInput, error: ProviderError, *, parent_execution_id: int | None = None
) -> TurnCommit:
    """The record of a permanent error of the turn's own acknowledgement (RT-5.35 to RT-5.37).

    Not for a lost or replaced lease: then nothing is recorded (RT-5.36).
    """
    raise NotImplementedError
