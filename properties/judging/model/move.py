"""Move: what the contract says an operation does to one state, and what it answers."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.properties.judging.model.operations import ItemDelivered, TurnDelivered
from holdfast.properties.judging.model.state import RowKey, StoreState

ANY_TEXT = ""
"""A permanent error whose words are the provider's own."""

RuleSubject = RowKey | None
"""The session a clause was carried out for; None: it is about no session."""


class Move(NamedTuple):
    """The state after, and the answer that goes with it.

    Attributes:
        after: the state before, the same object, if nothing changes.
        error: the message of the permanent error it must be answered with; ANY_TEXT: any; None: no error.
        rule: the clause that says so.
        rules: the clauses carried out, for the sessions they are about.
        found: what a fetch must hand out; its token is the store's choice.
        others: further states that are allowed if the answer is not heard.
    """

    after: StoreState
    error: str | None
    rule: str
    rules: tuple[tuple[RuleSubject, str], ...] = ()
    found: ItemDelivered | TurnDelivered | None = None
    others: tuple[StoreState, ...] = ()


def refused(state: StoreState, rule: str, key: RuleSubject, message: str = ANY_TEXT) -> Move:
    """A permanent error, and nothing changes."""
    return Move(state, message, rule, ((key, rule),))


def unchanged(state: StoreState, rule: str, key: RuleSubject = None) -> Move:
    """It succeeds, and nothing changes."""
    return Move(state, None, rule, ((key, rule),))
