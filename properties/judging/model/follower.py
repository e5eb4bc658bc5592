"""Follower: all states still possible along a run, call by call."""

from __future__ import annotations

from holdfast.properties.judging.model.observation import (
    RowDifference,
    StoredItems,
    StoredSessions,
    observe,
    refusal,
)
from holdfast.properties.judging.model.operations import Call, Unheard
from holdfast.properties.judging.model.refusal import Refusal
from holdfast.properties.judging.model.state import EMPTY, StoreState, with_queue
from holdfast.properties.judging.model.step import Allowed, step


class Follower:
    """Follows a run from a fresh store until a call is refused; from then on it says nothing more.

    Attributes:
        states: those still possible; one, unless an answer was lost and nothing has shown yet what it was.
        accepted: how many calls were accepted, from the first: the longest accepted prefix.
        reached: the clauses carried out, each with how often.
    """

    def __init__(self) -> None:
        self.states: tuple[StoreState, ...] = (EMPTY,)
        self.accepted = 0
        self.reached: dict[str, int] = {}
        self._agreed: tuple[object, object, object, object] = (None, None, None, None)

    def fork(self) -> Follower:
        """A copy that has followed the same run so far."""
        other = Follower()
        other.states, other.accepted, other.reached = self.states, self.accepted, dict(self.reached)
        return other

    def take(
        self, call: Call, sessions: StoredSessions | None = None, items: StoredItems | None = None
    ) -> Refusal | None:
        """Take in a call and, where the store shows them, its rows after it; why it is refused, or None."""
        made = self._taken(self.states, call, sessions, items)
        if isinstance(made, Refusal) and items is not None and any(row[1] is None for row in items):
            damaged = {row[0] for row in items if row[1] is None}
            states = tuple(_set_aside(state, damaged) for state in self.states)
            made = self._taken(states, call, sessions, items)
        if isinstance(made, Refusal):
            return made
        self.states = made
        self.accepted += 1
        return None

    def _taken(
        self,
        states: tuple[StoreState, ...],
        call: Call,
        sessions: StoredSessions | None,
        items: StoredItems | None,
    ) -> tuple[StoreState, ...] | Refusal:
        """The states possible after the call, or why the first of those before refuses it."""
        possible: list[StoreState] = []
        refused: Refusal | None = None
        accepting: Allowed | None = None
        for state in states:
            made = step(state, call)
            if isinstance(made, Refusal):
                refused = refused or made
                continue
            for after in made.states:
                seen = self._observed(after, sessions, items)
                if isinstance(seen, RowDifference):
                    refused = refused or refusal(seen, made.rule, made.rules)
                elif not possible or seen not in possible:
                    possible.append(seen)
                    accepting = accepting or made
        if accepting is None:
            assert refused is not None, "no state is possible, so each was refused"
            return refused
        if type(call.answer) is not Unheard:
            reached = self.reached
            for _, clause in accepting.rules:
                reached[clause] = reached.get(clause, 0) + 1
        return tuple(possible)

    def _observed(
        self, state: StoreState, sessions: StoredSessions | None, items: StoredItems | None
    ) -> StoreState | RowDifference:
        if sessions is None or items is None:
            return state
        agreed = self._agreed
        if (
            state.sessions is agreed[0]
            and state.queue is agreed[1]
            and sessions is agreed[2]
            and items is agreed[3]
        ):
            return state  # nothing has changed on either side since they were compared
        seen = observe(state, sessions, items)
        if isinstance(seen, StoreState):
            self._agreed = (seen.sessions, seen.queue, sessions, items)
        return seen


def _set_aside(state: StoreState, damaged: set[int]) -> StoreState:
    """The store can no longer decode these items: they stay, and are delivered to nobody (PV-14.9)."""
    return with_queue(
        state,
        tuple(item._replace(work=None) if item.seq in damaged else item for item in state.queue),
    )
