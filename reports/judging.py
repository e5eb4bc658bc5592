"""Judging: the word that one row or invariant has on one provider, and the reason for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.properties.spec import Check
from holdfast.reports.evidence import (
    EVERY_PROVIDER,
    SCENARIO_RULE,
    CheckEvidence,
    Evidence,
    RunEvidence,
    ScenarioInfo,
)
from holdfast.reports.kills import Kill
from holdfast.reports.words import Status, is_covered, strongest


@dataclass(frozen=True, slots=True)
class Judgement:
    """A word, why it is no better (empty for the best), the distinct schedules that earned it, situations."""

    status: Status
    why: str = ""
    schedules: int = 0
    situations: Mapping[str, int] = field(default_factory=dict)


class EvidenceIndex:
    """The evidence, indexed by what it is about."""

    def __init__(self, evidence: Evidence, checks: Sequence[Check]) -> None:
        self.evidence = evidence
        self._infos = {info.name: info for info in evidence.scenarios}
        self._runs = {(run.scenario, run.provider): run for run in evidence.runs}
        # Most schedules of a scenario show the same, so facts are counted once and asked often.
        self._facts = {key: Counter(run.schedules.values()) for key, run in self._runs.items()}
        self._results = {(result.id, result.provider): result for result in evidence.checks}
        self._scenarios: dict[str, list[ScenarioInfo]] = {}
        for info in evidence.scenarios:
            for name in info.covers:
                self._scenarios.setdefault(name, []).append(info)
        self._all_checks = {check.id: check for check in checks}
        self._checks: dict[str, list[Check]] = {}
        for check in checks:
            if check.matrix is not None:
                self._checks.setdefault(check.matrix, []).append(check)

    def scenarios_for(self, name: str) -> Sequence[ScenarioInfo]:
        """The scenarios that say they cover this row or clause."""
        return self._scenarios.get(name, ())

    def shown(self, row: str) -> str | None:
        """The file of a healthy run of a scenario that covers this row."""
        names = (self.evidence.shown.get(info.name) for info in self.scenarios_for(row))
        return next((name for name in names if name is not None), None)

    def checks_for(self, row: str) -> Sequence[Check]:
        """The conformance checks whose data name this row."""
        return self._checks.get(row, ())

    def failed_checks(self) -> list[tuple[Check, CheckEvidence]]:
        """The conformance checks that must hold and did not."""
        return [
            (check, result)
            for result in self.evidence.checks
            if result.outcome == "failed"
            and (check := self._all_checks.get(result.id)) is not None
            and check.level == "must"
        ]

    def row(self, name: str, provider: str, invariants: Sequence[str]) -> Judgement:
        """A row, or a clause that scenarios name, by all of its checks on one provider."""
        judged = [self._scenario(info, provider, name, invariants) for info in self.scenarios_for(name)]
        judged += [self.check(check, provider) for check in self.checks_for(name)]
        if not judged:
            return Judgement("missing", "no scenario or conformance check covers it")
        status = strongest(made.status for made in judged)
        why = "" if is_covered(status) else _reasons(judged)
        if status == "exercised":
            why = self._unverified(name, provider, invariants)
            status = "exercised" if why else "verified"
        situations: dict[str, int] = {}
        for made in judged:
            for situation, count in made.situations.items():
                situations[situation] = situations.get(situation, 0) + count
        return Judgement(
            status,
            why,
            sum(made.schedules for made in judged),
            {situation: situations[situation] for situation in sorted(situations)},
        )

    def check(self, check: Check, provider: str) -> Judgement:
        """A conformance check on one provider; one that only should hold is never a violation."""
        result = self._results.get((check.id, provider))
        if result is None:
            return Judgement("missing", f"{check.id} has not run")
        return _judged_check(check, result)

    def invariant(self, name: str, provider: str, rows: Sequence[str]) -> Judgement:
        """An invariant by its monitor, and by whether the rows expected to exercise it were exercised.

        A monitor that held where nothing interesting happened is no evidence: it must have held in a schedule
        that counted for one of those rows.
        """
        runs = [run for run in self.evidence.runs if run.provider == provider]
        broken = [run for run in runs if name in run.broken]
        if broken:
            return Judgement("violated", _first_message(broken[0], name))
        facts = [self._facts[run.scenario, provider] for run in runs]
        held = sum(count for counted in facts for fact, count in counted.items() if name in fact.held)
        unknown = sum(count for counted in facts for fact, count in counted.items() if name in fact.unknown)
        telling = sum(self._held_for_rows(run, name, frozenset(rows)) for run in runs)
        if telling:
            killed = any(
                name in kill.broken()
                and kill.provider == provider
                and kill.fingerprint == self.evidence.fingerprint
                for kill in self.evidence.kills
            )
            return Judgement(
                "verified" if killed else "exercised",
                "" if killed else "no planted defect was seen to break it, with this code",
                schedules=telling,
            )
        if held:
            return Judgement("unreached", f"held in {held} schedules, none of which exercised a row for it")
        if unknown:
            return Judgement("unknown", f"its monitor could not tell in {unknown} schedules")
        return Judgement("missing", "no monitor has watched it")

    def kills(self, kill: Kill, row: str, invariants: Sequence[str]) -> bool:
        """Whether a kill is evidence for a row: same code, aimed at it, caught by one of its checks."""
        made = kill.rows.get(row)
        if made is None or kill.fingerprint != self.evidence.fingerprint:
            return False
        return made.rule in (row, *invariants, *(check.id for check in self.checks_for(row)))

    def _unverified(self, row: str, provider: str, invariants: Sequence[str]) -> str:
        """Why an exercised row is not verified; empty if it is."""
        kills = [kill for kill in self.evidence.kills if kill.provider == provider]
        if any(self.kills(kill, row, invariants) for kill in kills):
            return ""
        if self.evidence.defect is not None:
            return f"{self.evidence.defect} was planted for this check, so it verifies nothing"
        if not self.evidence.kills:
            return "no planted defect has been hunted: `holdfast defects` stores what catches them"
        if not kills:
            return "no planted defect was hunted on this provider"
        if all(kill.fingerprint != self.evidence.fingerprint for kill in kills):
            return "the stored kill matrix was made with other code: run `holdfast defects` again"
        aimed = [kill.defect for kill in kills if row in kill.rows]
        return f"it held under {', '.join(aimed)}" if aimed else "no planted defect is aimed at it"

    def concerns(self, run: RunEvidence, rule: str, row: str, rules: set[str]) -> bool:
        """Whether a rule broken in a run of a scenario counts against a row the scenario covers."""
        info = self._infos.get(run.scenario)
        return info is not None and row in info.covers and (rule in rules or rule == SCENARIO_RULE)

    def in_words(self, info: ScenarioInfo, provider: str) -> str:
        """The result of a scenario on a provider, in words."""
        run = self._run(info.name, provider)
        if run is None:
            return "not run"
        words = [f"{len(run.schedules)} distinct of {run.run_count} runs"]
        words += [f"{count} × {kind.replace('_', ' ')}" for kind, count in run.faults.items()]
        if run.broken:
            words.append(f"broke {', '.join(run.broken)}")
        if run.cut_off_count:
            words.append(f"{run.cut_off_count} cut off")
        if run.error_count:
            words.append(f"{run.error_count} failed outside every rule")
        return ", ".join(words)

    def outcome(self, check: Check, provider: str) -> str:
        """The result of a conformance check on a provider, in words."""
        result = self._results.get((check.id, provider))
        if result is None:
            return "not run"
        return f"{result.outcome}: {result.reason}" if result.reason else result.outcome

    def _run(self, scenario: str, provider: str) -> RunEvidence | None:
        return self._runs.get((scenario, provider)) or self._runs.get((scenario, EVERY_PROVIDER))

    def _scenario(self, info: ScenarioInfo, provider: str, name: str, invariants: Sequence[str]) -> Judgement:
        run = self._run(info.name, provider)
        if run is None:
            return Judgement("missing", f"{info.name} covers it but has not run")
        reached = run.situations()
        situations = {situation: reached.get(situation, 0) for situation in info.situations}
        exercised = run.asserted(info.situations).get(name, 0)
        made = Judgement("exercised", "", exercised, situations)
        for rule in (name, SCENARIO_RULE, *invariants):
            if rule in run.broken:
                return replace(made, status="violated", why=_first_message(run, rule))
        if exercised:
            return made
        if not run.schedules:
            return replace(made, status="unknown", why=_doubt(run))
        return replace(made, status="unreached", why=_unreached(run, info, name, situations))

    def _held_for_rows(self, run: RunEvidence, invariant: str, rows: frozenset[str]) -> int:
        info = self._infos.get(run.scenario)
        if info is None:
            return 0
        needed = frozenset(info.situations)
        return sum(
            count
            for facts, count in self._facts[run.scenario, run.provider].items()
            if invariant in facts.held
            and needed.issubset(facts.situations)
            and not rows.isdisjoint(facts.asserted)
        )


def _judged_check(check: Check, result: CheckEvidence) -> Judgement:
    match result.outcome:
        case "held":
            return Judgement("exercised", schedules=1)
        case "failed" if check.level == "must":
            return Judgement("violated", f"{check.id}: {result.reason or check.claim}")
        case "failed":
            return Judgement(
                "unknown", f"{check.id} should hold and does not: {result.reason or check.claim}"
            )
        case "skipped":
            return Judgement("unknown", f"{check.id} was skipped: {result.reason or 'no reason given'}")


def _reasons(judged: Sequence[Judgement]) -> str:
    """The reasons of the checks with the best word, each once."""
    best = strongest(made.status for made in judged)
    return "; ".join({made.why: None for made in judged if made.status == best and made.why})


def _first_message(run: RunEvidence, rule: str) -> str:
    found = next((breach for breach in run.breaches if breach.rule == rule), None)
    return f"{run.scenario}: {found.message}" if found is not None else f"{run.scenario} broke {rule}"


def _doubt(run: RunEvidence) -> str:
    if run.first_error is not None:
        return f"{run.scenario} failed outside every rule: {run.first_error[1]}"
    limit = run.first_cut_off[1] if run.first_cut_off is not None else "no run counts"
    return f"all {run.run_count} runs of {run.scenario} were cut off ({limit})"


def _unreached(run: RunEvidence, info: ScenarioInfo, name: str, situations: Mapping[str, int]) -> str:
    tried = f"in {len(run.schedules)} schedules of {run.scenario}"
    never = [situation for situation in info.situations if not situations[situation]]
    if never:
        return f"{', '.join(never)} never occurred {tried}"
    if name not in run.asserted():
        return f"its oracle was never asserted {tried}"
    return f"its oracle and {', '.join(info.situations)} never occurred together {tried}"
