"""MODEL: every commit is one that the reference model allows.

The model (properties/judging/model) is given what the caller of each commit asked and saw, and after
each the rows that the store shows. A store without the inspection hooks is judged by its answers alone.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.model_reading import read
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.model.follower import Follower
from holdfast.properties.judging.model.refusal import Refusal, side_by_side
from holdfast.properties.judging.timing import Timings
from holdfast.properties.judging.verdict import Violated
from holdfast.traces.record import Commit


class ReferenceModel(Monitor):
    """MODEL. A refusal does not end a run: an invariant may still say in its own terms what went wrong."""

    id = "MODEL"
    title = "The reference model"
    reads_ledger = False
    ends_run = False

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self.follower = Follower()
        self._last: Commit | None = None
        rows = ledger.rows
        self._sees_rows = not rows.missing

    @on(Commit)
    def committed(self, commit: Commit) -> None:
        """Give the commit to the model; its first refusal is the breach, and nothing is judged after that."""
        if self.violation is not None:
            return
        if self._sees_rows:
            rows = self.ledger.rows
            refusal = self.follower.take(read(commit), rows.sessions, rows.work)
        else:
            refusal = self.follower.take(read(commit))
        if refusal is not None:
            self._refuse(commit, refusal)
        self._last = commit

    def _refuse(self, commit: Commit, refusal: Refusal) -> None:
        self.violate(
            accepted=self.follower.accepted,
            last_accepted="none" if self._last is None else _named(self._last),
            refused=_named(commit),
            rule=refusal.rule,
            subject=refusal.subject,
            model=dict(refusal.model),
            store=dict(refusal.store),
        )

    def told(self, violated: Violated) -> str:
        """The longest accepted prefix, the rule that refused, and both rows side by side."""
        told = violated.witness
        model, store = told["model"], told["store"]
        assert isinstance(model, dict)
        assert isinstance(store, dict)
        return (
            f"{told['accepted']} commits accepted, the last {told['last_accepted']}; "
            f"{told['refused']} is refused by {told['rule']}: {told['subject']}\n"
            + side_by_side(model, store)  # type: ignore[arg-type]
        )


def _named(commit: Commit) -> str:
    return f"{commit.position} {commit.process}/{commit.boot} {commit.operation} at {commit.provider_ms} ms"
