"""INV-06 FIFO per eligibility class: the eligible item of smallest number, or nothing if there is none.

`DELIVER(q,w,·,·,m)` at p implies q ∈ elig(w,m,p) and no q' ∈ elig(w,m,p) has smaller `seq`;
`NOTHING(w,m)` at p implies elig(w,m,p) = ∅.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row
from holdfast.properties.judging.ledger.eligibility import first_eligible, session_is_open_to
from holdfast.properties.judging.ledger.facts import Delivered, Nothing


class FifoPerEligibility(Monitor):
    """INV-06. Ranks follow the order of enqueuing, whatever numbers the store gives."""

    id = "INV-06"
    title = "FIFO per eligibility class"
    hooks = ("session_records",)

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """The item was eligible, and none before it was."""
        item, now = fact.item, self.ledger.now
        eligible = (
            fact.was_queued
            and fact.was_visible_from <= now
            and (fact.was_token is None or fact.was_until <= now)
            and fact.filter.matches(item.tag)
            and (item.key is None or session_is_open_to(fact.row_before, fact.owner, fact.mode, now))
        )
        if not eligible:
            self.violate(
                item=item.name(),
                delivered_to=fact.owner,
                mode=fact.mode,
                queued=fact.was_queued,
                visible_from=fact.was_visible_from,
                held_until=fact.was_until,
                row_before=row(fact.row_before),
            )
            return
        passed = first_eligible(self.ledger, fact.owner, fact.mode, fact.filter, below=item.number)
        if passed is not None:
            self.violate(item=item.name(), passed_over=passed.name(), delivered_to=fact.owner, mode=fact.mode)

    @on(Nothing)
    def nothing(self, fact: Nothing) -> None:
        """No item was eligible."""
        passed = first_eligible(self.ledger, fact.owner, fact.mode, fact.filter)
        if passed is not None:
            self.violate(passed_over=passed.name(), fetched_by=fact.owner, mode=fact.mode)
