"""The campaign as a whole: counts of words, the broken rules, and what was spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.properties.spec import Section
from holdfast.reports.evidence import Evidence, RunEvidence
from holdfast.reports.words import STATUSES, Status, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachLine:
    """A broken rule, where, and the name of its trace."""

    rule: str
    title: str
    scenario: str
    provider: str
    message: str
    schedule: int
    runs: int
    trace: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionCount:
    """A section of the matrix and how many of its rows have each status."""

    id: int
    title: str
    rows: Mapping[Status, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One provider's share of a campaign. `unknown` are runs that were cut off or failed outside a rule."""

    schedules: int
    runs: int
    unknown: int
    steps: int
    virtual_us: int
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The campaign as a whole. `defect` was planted for it, `module` registers scenarios outside Holdfast."""

    verdict: str
    interrupted: bool
    defect: str | None
    module: str | None
    code: str
    spec: str
    providers: Mapping[str, Totals]
    scenarios: int
    checks: Mapping[str, int]
    rows: Mapping[Status, int]
    clauses: Mapping[Status, int]
    invariants: Mapping[Status, int]
    sections: tuple[SectionCount, ...]
    violations: tuple[BreachLine, ...]
    unknown: tuple[str, ...]


def summarized(
    evidence: Evidence,
    *,
    breaches: tuple[BreachLine, ...],
    sections: Sequence[Section],
    spec: str,
    rows: Sequence[tuple[int, Status]],
    clauses: Sequence[Status],
    invariants: Sequence[Status],
) -> Summary:
    """The summary; `rows` are pairs of section and status, `spec` is the fingerprint of the specification."""
    totals = {
        name: _totals([run for run in evidence.runs if run.provider == name])
        for name in sorted({*evidence.providers, *(run.provider for run in evidence.runs)})
    }
    return Summary(
        verdict=verdict(
            violations=len({line.rule for line in breaches}),
            schedules=sum(total.schedules for total in totals.values()),
            unknown=sum(total.unknown for total in totals.values()),
        ),
        interrupted=evidence.interrupted,
        defect=evidence.defect,
        module=evidence.module,
        code=evidence.fingerprint,
        spec=spec,
        providers=totals,
        scenarios=len(evidence.scenarios),
        checks={
            outcome: sum(check.outcome == outcome for check in evidence.checks)
            for outcome in ("held", "failed", "skipped")
        },
        rows=_counts([status for _, status in rows]),
        clauses=_counts(clauses),
        invariants=_counts(invariants),
        sections=tuple(
            SectionCount(
                id=section.id,
                title=section.title,
                rows=_counts([status for number, status in rows if number == section.id]),
            )
            for section in sections
        ),
        violations=breaches,
        unknown=tuple(
            f"{run.scenario} on {run.provider}: schedule {found[0]}: {found[1]}"
            for run in evidence.runs
            for found in (run.first_error, run.first_cut_off)
            if found is not None
        ),
    )


def _totals(runs: Sequence[RunEvidence]) -> Totals:
    faults: dict[str, int] = {}
    for run in runs:
        for kind, count in run.faults.items():
            faults[kind] = faults.get(kind, 0) + count
    return Totals(
        schedules=sum(len(run.schedules) for run in runs),
        runs=sum(run.run_count for run in runs),
        unknown=sum(run.cut_off_count + run.error_count for run in runs),
        steps=sum(run.step_count for run in runs),
        virtual_us=sum(run.virtual_us for run in runs),
        faults={kind: faults[kind] for kind in sorted(faults)},
    )


def _counts(statuses: Sequence[Status]) -> dict[Status, int]:
    """Best word first."""
    return {status: list(statuses).count(status) for status in reversed(STATUSES)}
