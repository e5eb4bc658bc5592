"""Operation: one emitted action on its way from the code to its answer."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.core.actions import Action


class Answer(NamedTuple):
    """What came back: a text, or the display text of a failure (RT-4.38)."""

    text: str
    is_error: bool


class Operation:
    """An action with its operation token, and what became of it (RT-1.10, RT-4.31).

    Once `dropped`, the code can no longer observe it; once `cancelled`, it takes no part in matching.
    """

    __slots__ = ("action", "answer", "cancelled", "dropped", "observed", "schedule_id", "token")

    def __init__(self, token: int, action: Action) -> None:
        self.token = token
        self.action = action
        self.schedule_id: int | None = None  # None: not bound to an event yet
        self.answer: Answer | None = None
        self.observed = False
        self.dropped = False
        self.cancelled = False

    def resolve(self, text: str, *, is_error: bool = False) -> None:
        """Deliver the answer; legal also when the future was dropped (RT-4.39)."""
        self.answer = Answer(text, is_error)
