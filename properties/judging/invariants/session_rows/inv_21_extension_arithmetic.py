"""INV-21 Extension arithmetic.

Every `CLAIM`, `EXT`, `RENEW` and session part of `IRENEW` by w at p writes exactly max(old expiry if it
was w's, τ(p) + D_w), D_w being the session duration passed in that call (`extend_session_for` for
`IRENEW`).
"""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import Delivered, ItemRenewed, Renewed
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.properties.judging.ledger.state import deadline


class ExtensionArithmetic(Monitor):
    id = "INV-21"
    title = "Extension arithmetic"
    hooks = ("session_records",)

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """CLAIM and EXT."""
        if fact.item.key is not None and fact.mode != "plain":
            self._check(fact.item.key, fact.owner, fact.duration, fact.row_before, fact.row_after)

    @on(Renewed)
    def renewed(self, fact: Renewed) -> None:
        """RENEW."""
        if fact.ok:
            self._check(fact.key, fact.owner, fact.duration, fact.row_before, fact.row_after)

    @on(ItemRenewed)
    def item_renewed(self, fact: ItemRenewed) -> None:
        """The session part of IRENEW."""
        item = fact.item
        if fact.ok and item is not None and item.key is not None and item.claimed_by is not None:
            self._check(item.key, item.claimed_by, fact.duration, fact.row_before, fact.row_after)

    def _check(
        self,
        key: SessionKey,
        owner: str,
        duration: int,
        before: SessionRecord | None,
        after: SessionRecord | None,
    ) -> None:
        expected = deadline(self.ledger.now, duration)
        if before is not None and before.worker_id == owner and before.locked_until is not None:
            expected = max(expected, before.locked_until)
        if after is None or after.worker_id != owner or after.locked_until != expected:
            self.violate(
                session=session(key),
                worker=owner,
                duration=duration,
                row_before=row(before),
                row_after=row(after),
                locked_until_expected=expected,
            )
