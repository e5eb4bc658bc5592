"""Scene: what recognisers of situations look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from holdfast.properties.judging.ledger.facts import Delivered
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.ledger.rows import is_live


class Scene:
    """The ledger, and what it does not keep: the latest claims, and what was taken over from whom."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.claim: Delivered | None = None
        self.claim_us = 0
        self.claimed_at: dict[SessionKey, int] = {}  # position of the latest claim of a session
        self.taken_over_from: dict[str, set[SessionKey]] = {}

    def note(self, fact: Delivered) -> None:
        """Remember a claim, once the recognisers have seen it."""
        if fact.item.key is not None and self.is_claim(fact):
            self.claim, self.claim_us = fact, self.ledger.time_us
            self.claimed_at[fact.item.key] = self.ledger.position

    def is_claim(self, fact: Delivered) -> bool:
        """Whether the session became the fetcher's with this delivery."""
        after = fact.row_after
        return after is not None and after.worker_id == fact.owner and not self.is_extension(fact)

    def is_extension(self, fact: Delivered) -> bool:
        """Whether the session was the fetcher's already, and live."""
        before = fact.row_before
        return before is not None and before.worker_id == fact.owner and is_live(before, self.ledger.now)


class Situation(NamedTuple):
    """A line of the table: what it means, what it listens to, when it holds, and whether that needs rows.

    Without the inspection hook for session rows, one that needs them cannot be recognised.
    """

    means: str
    kinds: tuple[type, ...]
    there: Callable[[Scene, Any], bool]
    needs_rows: bool = False
