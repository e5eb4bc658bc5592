"""Coverage: evidence set against the specification, row by row, clause by clause; a pure function.

The weakest provider decides. A row is exercised on a provider only if some check for it asserted its oracle
in a schedule in which all the situations it declares had occurred, and verified only if a defect aimed at
it, planted in the same code, was caught by one of its checks. Nothing here depends on time, machine or paths,
and the order of every list is that of the specification or of names, so equal evidence gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from holdfast.properties.spec import Check, Clause, Row, Section, spec_fingerprint
from holdfast.properties.spec import checks as spec_checks
from holdfast.properties.spec import clauses as spec_clauses
from holdfast.properties.spec import rows as spec_rows
from holdfast.properties.spec import sections as spec_sections
from holdfast.reports.evidence import Breach, Evidence
from holdfast.reports.judging import EvidenceIndex, Judgement
from holdfast.reports.summary import BreachLine, Summary, summarized
from holdfast.reports.words import Status, strongest, weakest


@dataclass(frozen=True, slots=True)
class Spec:
    """The specification as data; by default ours."""

    sections: tuple[Section, ...] = field(default_factory=spec_sections)
    rows: tuple[Row, ...] = field(default_factory=spec_rows)
    clauses: tuple[Clause, ...] = field(default_factory=spec_clauses)
    checks: tuple[Check, ...] = field(default_factory=spec_checks)
    fingerprint: str = field(default_factory=spec_fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLine:
    """A scenario or conformance check of a row. `providers` describes its result on each."""

    name: str
    kind: str
    title: str
    level: str
    workers: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    situations: tuple[str, ...] = ()
    providers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectLine:
    """A planted defect aimed at a row or seen to break an invariant.

    `counts` is whether its kill is evidence; `schedules` is how many the kill took, 0 for a rule that broke
    besides the one that caught it.
    """

    name: str
    title: str
    provider: str
    caught_by: str | None
    schedules: int
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCoverage:
    """One row of the matrix. `schedules` and `situations` are counts on the weakest provider.

    A check without schedules counts as one. `why` says why the word is no better. `run` is the file of a
    healthy run of it, to step through, if one was kept.
    """

    id: str
    title: str
    status: Status
    why: str
    section: int
    level: str
    claim: str
    providers: Mapping[str, Judgement]
    schedules: int
    situations: Mapping[str, int]
    defects: tuple[DefectLine, ...]
    checks: tuple[CheckLine, ...]
    violations: tuple[BreachLine, ...]
    run: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseCoverage:
    """One clause, by the rows and conformance checks that cite it."""

    id: str
    section: str
    sentence: str
    status: Status
    providers: Mapping[str, Status]
    rows: tuple[str, ...]
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvariantCoverage:
    """One invariant, by its monitor and the rows expected to exercise it."""

    id: str
    title: str
    sentence: str
    status: Status
    why: str
    providers: Mapping[str, Judgement]
    schedules: int
    rows: tuple[str, ...]
    defects: tuple[DefectLine, ...]
    violations: tuple[BreachLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What `coverage.json` holds."""

    rows: tuple[RowCoverage, ...]
    clauses: tuple[ClauseCoverage, ...]
    invariants: tuple[InvariantCoverage, ...]
    summary: Summary


def coverage(evidence: Evidence, spec: Spec | None = None) -> Coverage:
    """Judge every row, clause and invariant of the specification by this evidence."""
    spec = spec or Spec()
    bench = EvidenceIndex(evidence, spec.checks)
    lines = _Lines(bench, spec)
    rows = tuple(lines.row(row) for row in spec.rows)
    statuses = {row.id: row.providers for row in rows}
    clauses = tuple(
        lines.clause(clause, statuses) for clause in spec.clauses if not clause.id.startswith("INV-")
    )
    invariants = tuple(lines.invariant(clause) for clause in spec.clauses if clause.id.startswith("INV-"))
    return Coverage(
        rows=rows,
        clauses=clauses,
        invariants=invariants,
        summary=summarized(
            evidence,
            breaches=lines.breaches(),
            sections=spec.sections,
            spec=spec.fingerprint,
            rows=[(row.section, row.status) for row in rows],
            clauses=[clause.status for clause in clauses],
            invariants=[invariant.status for invariant in invariants],
        ),
    )


def encode_coverage(made: Coverage) -> bytes:
    """The bytes of `coverage.json`."""
    return msgspec.json.format(msgspec.json.encode(made, order="deterministic"), indent=1) + b"\n"


def decode_coverage(content: bytes) -> Coverage:
    """Coverage from its JSON. Raises ValueError if it is not that."""
    try:
        return msgspec.json.decode(content, type=Coverage)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"this is not a coverage.json of this version: {error}") from None


class _Lines:
    """Makes the lines of the report out of judgements."""

    def __init__(self, bench: EvidenceIndex, spec: Spec) -> None:
        self._bench = bench
        self._spec = spec
        self._providers = bench.evidence.providers
        self._titles = {row.id: row.title for row in spec.rows}
        self._titles.update((clause.id, clause.title or clause.sentence) for clause in spec.clauses)

    def row(self, row: Row) -> RowCoverage:
        judged = {name: self._bench.row(row.id, name, row.invariants) for name in self._providers}
        status, why = _overall(judged)
        return RowCoverage(
            id=row.id,
            title=row.title,
            status=status,
            why=why,
            section=row.section,
            level=row.level,
            claim=row.claim,
            providers=judged,
            schedules=min((made.schedules for made in judged.values()), default=0),
            situations=_lowest(judged),
            defects=self._defects(row.id, row.invariants),
            checks=self._checks(row.id),
            violations=self.breaches(rules={row.id, *row.invariants}, covering=row.id),
            run=self._bench.shown(row.id),
        )

    def clause(self, clause: Clause, rows: Mapping[str, Mapping[str, Judgement]]) -> ClauseCoverage:
        citing = tuple(row.id for row in self._spec.rows if clause.id in row.clauses)
        checks = tuple(check for check in self._spec.checks if clause.id in check.clauses)
        providers: dict[str, Status] = {}
        for name in self._providers:
            statuses = [rows[row][name].status for row in citing]
            statuses += [self._bench.check(check, name).status for check in checks]
            statuses.append(self._bench.row(clause.id, name, ()).status)
            providers[name] = strongest(statuses)
        return ClauseCoverage(
            id=clause.id,
            section=clause.section,
            sentence=clause.sentence,
            status=weakest(providers.values()),
            providers=providers,
            rows=citing,
            checks=tuple(check.id for check in checks),
        )

    def invariant(self, clause: Clause) -> InvariantCoverage:
        citing = tuple(row.id for row in self._spec.rows if clause.id in row.invariants)
        judged = {name: self._bench.invariant(clause.id, name, citing) for name in self._providers}
        status, why = _overall(judged)
        return InvariantCoverage(
            id=clause.id,
            title=clause.title,
            sentence=clause.sentence,
            status=status,
            why=why,
            providers=judged,
            schedules=min((made.schedules for made in judged.values()), default=0),
            rows=citing,
            defects=self._defects_caught_by(clause.id),
            violations=self.breaches(rules={clause.id}),
        )

    def breaches(self, rules: set[str] | None = None, covering: str | None = None) -> tuple[BreachLine, ...]:
        """Broken rules: all, those named, or those that a scenario covering a row broke for it."""
        return tuple(
            self._breach(run.scenario, run.provider, breach, run.broken[breach.rule])
            for run in self._bench.evidence.runs
            for breach in run.breaches
            if rules is None
            or (covering is None and breach.rule in rules)
            or (covering is not None and self._bench.concerns(run, breach.rule, covering, rules))
        ) + tuple(
            BreachLine(
                rule=check.id,
                title=check.claim,
                scenario="conformance",
                provider=result.provider,
                message=result.reason or "the check failed",
                schedule=0,
                runs=1,
                trace=None,
            )
            for check, result in self._bench.failed_checks()
            if rules is None or (covering is not None and check.matrix == covering)
        )

    def _breach(self, scenario: str, provider: str, breach: Breach, runs: int) -> BreachLine:
        return BreachLine(
            rule=breach.rule,
            title=self._titles.get(breach.rule, ""),
            scenario=scenario,
            provider=provider,
            message=breach.message,
            schedule=breach.schedule,
            runs=runs,
            trace=breach.trace,
        )

    def _checks(self, row: str) -> tuple[CheckLine, ...]:
        scenarios = [
            CheckLine(
                name=info.name,
                kind="scenario",
                title=info.title,
                level=info.level,
                workers=info.workers,
                faults=info.faults,
                situations=info.situations,
                providers={name: self._bench.in_words(info, name) for name in self._providers},
            )
            for info in self._bench.scenarios_for(row)
        ]
        conformance = [
            CheckLine(
                name=check.id,
                kind="conformance",
                title=check.claim,
                level="provider",
                providers={name: self._bench.outcome(check, name) for name in self._providers},
            )
            for check in self._bench.checks_for(row)
        ]
        return (*scenarios, *conformance)

    def _defects(self, row: str, invariants: tuple[str, ...]) -> tuple[DefectLine, ...]:
        return tuple(
            DefectLine(
                name=kill.defect,
                title=kill.title,
                provider=kill.provider,
                caught_by=made.rule if made is not None else None,
                schedules=made.schedules if made is not None else 0,
                counts=self._bench.kills(kill, row, invariants) and kill.provider in self._providers,
            )
            for kill in self._bench.evidence.kills
            if row in kill.rows
            for made in (kill.rows[row],)
        )

    def _defects_caught_by(self, rule: str) -> tuple[DefectLine, ...]:
        return tuple(
            DefectLine(
                name=kill.defect,
                title=kill.title,
                provider=kill.provider,
                caught_by=rule,
                schedules=kill.soonest() if rule == kill.caught_by else 0,
                counts=kill.fingerprint == self._bench.evidence.fingerprint
                and kill.provider in self._providers,
            )
            for kill in self._bench.evidence.kills
            if rule in kill.broken()
        )


def _overall(judged: Mapping[str, Judgement]) -> tuple[Status, str]:
    """The weakest provider's word, and its reason, with the provider named if they differ."""
    if not judged:
        return "missing", "no provider was checked"
    status = weakest(made.status for made in judged.values())
    weak = [name for name, made in judged.items() if made.status == status]
    reasons = {judged[name].why: None for name in weak}
    where = "" if len(weak) == len(judged) else f" ({', '.join(weak)})"
    return status, "; ".join(f"{reason}{where}" for reason in reasons if reason)


def _lowest(judged: Mapping[str, Judgement]) -> dict[str, int]:
    names = sorted({name for made in judged.values() for name in made.situations})
    return {name: min(made.situations.get(name, 0) for made in judged.values()) for name in names}
