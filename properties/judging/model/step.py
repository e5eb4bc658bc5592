"""step: one state and one call to the states allowed next, or the rule that refuses. All of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from holdfast.properties.judging.model import delivery, sessions, turns
from holdfast.properties.judging.model.explanation import explained, shown
from holdfast.properties.judging.model.move import Move, RuleSubject, unchanged
from holdfast.properties.judging.model.operations import (
    Acknowledge,
    Call,
    Delete,
    DeleteFinished,
    Enqueue,
    Fetch,
    FetchTurn,
    Finish,
    GiveBack,
    GiveBackTurn,
    ItemDelivered,
    Other,
    PermanentlyRefused,
    Release,
    RenewItem,
    RenewSession,
    RenewTurn,
    Succeeded,
    TransientlyFailed,
    Unheard,
)
from holdfast.properties.judging.model.refusal import Refusal
from holdfast.properties.judging.model.state import StoreState, held_by


class Allowed(NamedTuple):
    """The states allowed next, the clause that says so, and those carried out, for their sessions."""

    states: tuple[StoreState, ...]
    rule: str
    rules: tuple[tuple[RuleSubject, str], ...]


def step(state: StoreState, call: Call) -> Allowed | Refusal:
    """The states allowed after a call, given its answer."""
    passed: tuple[tuple[RuleSubject, str], ...] = ()
    if call.now != state.now:
        state, passed = pass_time(state, call.now)
    move = _MOVES[type(call.operation)](state, call.operation, call)
    answer = call.answer
    if type(answer) is Succeeded:
        refusal = _not_as_done(state, move, call, answer)
        states = (move.after, *move.others) if move.others else (move.after,)
    elif type(answer) is Unheard:
        refusal = None
        states = _done_or_not(state, move)
    else:
        refusal = _not_as_refused(move, call, answer) if type(answer) is PermanentlyRefused else None
        states = (state,)
    if refusal is not None:
        return refusal
    rules = move.rules if type(answer) is not TransientlyFailed else ()
    return Allowed(states, move.rule, passed + rules if passed else rules)


def pass_time(state: StoreState, now: int) -> tuple[StoreState, tuple[tuple[RuleSubject, str], ...]]:
    """The store's clock shows another time: rows expire and come to life, and stay as they are."""
    before = state.now
    rules: list[tuple[RuleSubject, str]] = []
    for key, row in state.sessions.items():
        until = row.locked_until
        if until is not None and (before < until) != (now < until):
            rules.append((key, "SS-25.19" if before < now else "SS-25.20"))
    return StoreState(now, state.sessions, state.queue, state.instance_locks, state.instances), tuple(rules)


def _done_or_not(state: StoreState, move: Move) -> tuple[StoreState, ...]:
    """Both stay possible (SS-24.6)."""
    if move.error is not None:
        return (state,)
    done = () if move.after is state else (move.after,)
    return (state, *done, *move.others)


def _not_as_done(state: StoreState, move: Move, call: Call, answer: Succeeded) -> Refusal | None:
    """Why a call cannot have been answered with success, or not with this."""
    if move.error is not None:
        told = move.error or "a permanent error"
        return Refusal(move.rule, _named(call), {"error": told}, shown(answer.found))
    found = answer.found
    if type(call.operation) is Fetch:
        expected = move.found
        if found is None and expected is None:
            return None
        if (
            type(found) is ItemDelivered
            and type(expected) is ItemDelivered
            and found.attempt_count == expected.attempt_count
            and found.work == expected.work
            and held_by(state, found.token) is None
        ):
            return None
        return explained(state, call.operation, expected, found)
    return None


_EXCUSED: Final = (Delete, DeleteFinished, Other)
"""Operations that may be refused for reasons that are not the model's matter."""


def _not_as_refused(move: Move, call: Call, answer: PermanentlyRefused) -> Refusal | None:
    """Why a call cannot have been answered with a permanent error, or not with this one."""
    if call.malformed or isinstance(call.operation, _EXCUSED):
        return None
    if move.error is None:
        if type(call.operation) is Acknowledge and call.operation.excuse:
            return None
        return Refusal(move.rule, _named(call), shown(move.found), {"error": answer.message})
    if move.error and move.error != answer.message:
        return Refusal("SS-12.7", _named(call), {"error": move.error}, {"error": answer.message})
    return None


def _named(call: Call) -> str:
    return f"the answer to {type(call.operation).__name__}"


def _nothing(state: StoreState, operation: Other, call: Call) -> Move:
    return unchanged(state, "SS-25.22")


_MOVES: Final[dict[type, Callable[[StoreState, Any, Call], Move]]] = {
    Fetch: delivery.fetch,
    Enqueue: delivery.enqueue,
    Finish: delivery.finish,
    GiveBack: delivery.give_back,
    RenewItem: delivery.renew_item,
    RenewSession: sessions.renew,
    Release: sessions.release,
    FetchTurn: turns.fetch_turn,
    RenewTurn: turns.renew_turn,
    GiveBackTurn: turns.give_back_turn,
    Acknowledge: turns.acknowledge,
    Delete: turns.delete,
    DeleteFinished: turns.delete_finished,
    Other: _nothing,
}
