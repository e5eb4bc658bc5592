"""run_turn: one replay pass of one execution, a pure function of its input (RT-4).

Stage 1 turns the batch's messages into events, stage 2 replays the code over the whole history. Nothing here
touches a clock, a queue, a provider or an event loop.
"""

from __future__ import annotations

from holdfast.core.turn_input import TurnInput
from holdfast.core.turn_result import TurnResult

__all__ = ["TurnInput", "TurnResult", "run_turn"]


def run_turn(turn: TurnInput) -> TurnResult:
    """Replay the execution with its new messages; never raises for what user code or history does."""
    raise NotImplementedError
