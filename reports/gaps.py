"""Gaps: what a campaign has not shown, and why; the other half of the coverage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.reports.coverage import ClauseCoverage, Coverage, InvariantCoverage, RowCoverage
from holdfast.reports.evidence import CheckEvidence, Evidence
from holdfast.reports.kills import Kill, survivors_first
from holdfast.reports.words import STATUSES, Status, is_covered


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Everything without full evidence.

    Attributes:
        rows: those that are not verified, by word, the weakest word first.
        invariants: those that are not verified.
        clauses: those without evidence, by the text they stand in.
        checks: conformance checks that did not hold: failed or skipped.
        unknown: runs that are evidence for nothing.
        escaped: defects that were not caught as meant, or under which a row they are aimed at held.
        stale: how many kills were made with other code, and so count for nothing.
    """

    rows: tuple[tuple[Status, tuple[RowCoverage, ...]], ...]
    invariants: tuple[InvariantCoverage, ...]
    clauses: tuple[tuple[str, tuple[ClauseCoverage, ...]], ...]
    checks: tuple[CheckEvidence, ...]
    unknown: tuple[str, ...]
    escaped: tuple[Kill, ...]
    stale: int

    def count(self) -> int:
        """How many entries there are."""
        return (
            sum(len(rows) for _, rows in self.rows)
            + len(self.invariants)
            + sum(len(clauses) for _, clauses in self.clauses)
            + len(self.checks)
            + len(self.unknown)
            + len(self.escaped)
        )


TEXTS = {"SS": "Sessions", "PV": "Providers", "RT": "Runtime"}
"""The texts of the specification by the prefix of their clauses."""


def gaps(made: Coverage, evidence: Evidence) -> Gaps:
    """The gaps of a campaign."""
    return Gaps(
        rows=tuple(
            (word, found)
            for word in STATUSES
            if word != "verified" and (found := tuple(row for row in made.rows if row.status == word))
        ),
        invariants=tuple(line for line in made.invariants if line.status != "verified"),
        clauses=_by_text(line for line in made.clauses if not is_covered(line.status)),
        checks=tuple(result for result in evidence.checks if result.outcome != "held"),
        unknown=made.summary.unknown,
        escaped=tuple(kill for kill in survivors_first(evidence.kills) if not kill.as_meant or kill.held()),
        stale=sum(kill.fingerprint != evidence.fingerprint for kill in evidence.kills),
    )


def _by_text(lines: Iterable[ClauseCoverage]) -> tuple[tuple[str, tuple[ClauseCoverage, ...]], ...]:
    texts: dict[str, list[ClauseCoverage]] = {}
    for line in lines:
        prefix = line.id.partition("-")[0]
        texts.setdefault(TEXTS.get(prefix, prefix), []).append(line)
    return tuple((text, tuple(found)) for text, found in texts.items())
