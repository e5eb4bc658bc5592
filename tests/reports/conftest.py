"""What the tests of reports share: a specification of a few rows, and evidence spelled out."""

from __future__ import annotations

import pytest

from holdfast.properties.spec import Check, Clause, Row, Section
from holdfast.reports.coverage import Spec

PROVIDERS = ("memory", "sqlite")


def a_row(id: str, *, section: int = 5, invariants: tuple[str, ...] = ()) -> Row:
    return Row(
        id=id,
        section=section,
        title=f"Title of {id}",
        claim=f"Claim of {id}.",
        clauses=("SS-9.1",),
        invariants=invariants,
        level="multi-runtime",
        workers=2,
        faults=("crash",),
        oracle=f"Oracle of {id}.",
    )


@pytest.fixture
def spec() -> Spec:
    """Two sections, three rows, two clauses, one invariant, two checks for row 5.2."""

    def check(id: str, level: str, matrix: str | None) -> Check:
        return Check(
            id=id,
            category="sessions",
            name=id,
            claim=f"Claim of {id}.",
            clauses=("PV-1.1",),
            profile="explicit",
            origin="matrix",
            concurrent=False,
            level="must" if level == "must" else "should",
            matrix=matrix,
        )

    return Spec(
        sections=(Section(id=5, title="Migration"), Section(id=7, title="Nothing yet")),
        rows=(a_row("5.1", invariants=("INV-03",)), a_row("5.2"), a_row("7.1", section=7)),
        clauses=(
            Clause(id="SS-9.1", section="9. Shutdown", sentence="A crashed owner is replaced."),
            Clause(id="INV-03", section="27b. Safety", title="Delivery to the owner", sentence="DELIVER."),
            Clause(id="PV-1.1", section="1. Words", sentence="A provider stores."),
        ),
        checks=(check("PVC-1", "must", "5.2"), check("PVC-2", "should", None)),
        fingerprint="spec",
    )
