"""Evidence: what a campaign has seen, as data that can be written down and merged.

Everything here adds up the same way in any order, so the evidence of a campaign does not depend on how its
schedules were dealt out to processes: schedules are kept by the fingerprint of their commits, and two runs
that made the same commits are one schedule. What a run may be evidence *for* is decided in `coverage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from holdfast.reports.kills import Kill

EVERY_PROVIDER: Final = "*"
"""The provider of what does not depend on one: a unit scenario."""

SCENARIO_RULE: Final = "scenario"
"""The rule broken by an assertion outside every oracle of a scenario."""

CheckOutcome = Literal["held", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioInfo:
    """What a scenario says about itself. `covers` names rows and clauses, `faults` kinds and budgets."""

    name: str
    title: str
    covers: tuple[str, ...]
    workers: int
    faults: Mapping[str, int] = field(default_factory=dict)
    situations: tuple[str, ...] = ()
    level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A broken rule (an invariant or a row): why, in which schedule, and the file of its trace, if any."""

    rule: str
    message: str
    schedule: int
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleResult:
    """One run of a scenario on a provider, as the campaign reports it.

    Attributes:
        schedule: its number in the campaign.
        fingerprint: names its sequence of commits.
        situations: those that monitors recognised in it.
        asserted: the rows whose oracle was asserted and held.
        held, unknown: the rules whose monitor ended with that verdict.
        breaches: the rules that were broken.
        faults: how many struck, by kind.
        cut_off: the limit that ended it early; error: what went wrong outside every rule. With either, the
            run is evidence only of what it broke.
        virtual_us: virtual time, microseconds.
    """

    scenario: str
    provider: str
    schedule: int
    fingerprint: str
    situations: tuple[str, ...] = ()
    asserted: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    breaches: tuple[Breach, ...] = ()
    faults: Mapping[str, int] = field(default_factory=dict)
    steps: int = 0
    virtual_us: int = 0
    cut_off: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """What one distinct schedule showed: sorted names, each once."""

    situations: tuple[str, ...] = ()
    asserted: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def united(self, other: ScheduleFacts) -> ScheduleFacts:
        """What either of two runs with the same commits showed; unknown in one is unknown."""
        if self == other:
            return self
        unknown = _united(self.unknown, other.unknown)
        return ScheduleFacts(
            situations=_united(self.situations, other.situations),
            asserted=_united(self.asserted, other.asserted),
            held=tuple(rule for rule in _united(self.held, other.held) if rule not in unknown),
            unknown=unknown,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """All runs of one scenario on one provider.

    `schedules` maps fingerprints to facts, of the runs that count; `broken` counts the runs that broke a
    rule, `breaches` keeps for each rule the one with the lowest number, `errors` likewise the first error.
    `first_seen` has for each situation the lowest number of a run that counts and reached it.
    """

    scenario: str
    provider: str
    run_count: int = 0
    cut_off_count: int = 0
    schedules: Mapping[str, ScheduleFacts] = field(default_factory=dict)
    first_seen: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)
    breaches: tuple[Breach, ...] = ()
    error_count: int = 0
    first_error: tuple[int, str] | None = None
    first_cut_off: tuple[int, str] | None = None
    faults: Mapping[str, int] = field(default_factory=dict)
    step_count: int = 0
    virtual_us: int = 0

    def situations(self) -> dict[str, int]:
        """In how many distinct schedules each situation was reached."""
        return _counted(facts.situations for facts in self.schedules.values())

    def asserted(self, situations: Iterable[str] = ()) -> dict[str, int]:
        """In how many distinct schedules each row was asserted while all these situations had occurred."""
        needed = frozenset(situations)
        return _counted(
            facts.asserted for facts in self.schedules.values() if needed.issubset(facts.situations)
        )

    def held(self) -> dict[str, int]:
        """In how many distinct schedules each monitor found its rule to hold."""
        return _counted(facts.held for facts in self.schedules.values())

    def unknown(self) -> dict[str, int]:
        """In how many distinct schedules each monitor could not tell."""
        return _counted(facts.unknown for facts in self.schedules.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEvidence:
    """A conformance check of the provider contract on one provider. `reason` says why not `held`."""

    id: str
    provider: str
    outcome: CheckOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything a campaign has seen, ordered by name. Merge with `merged`."""

    fingerprint: str
    providers: tuple[str, ...] = ()
    scenarios: tuple[ScenarioInfo, ...] = ()
    runs: tuple[RunEvidence, ...] = ()
    checks: tuple[CheckEvidence, ...] = ()
    kills: tuple[Kill, ...] = ()
    """From the stored kill matrix, whatever code it was made with."""
    shown: Mapping[str, str] = field(default_factory=dict)
    """By scenario, the file of a healthy run that asserted all of its rows with all of its situations."""
    interrupted: bool = False
    defect: str | None = None
    """The defect planted for this campaign, which then says nothing about the unchanged product."""
    module: str | None = None
    """The module outside Holdfast that registers scenarios of this campaign."""


class Tally:
    """Adds up runs as they come; `evidence` at any time."""

    def __init__(self, fingerprint: str, providers: Iterable[str]) -> None:
        self._start = Evidence(fingerprint=fingerprint, providers=tuple(sorted(set(providers))))
        self._scenarios: list[ScenarioInfo] = []
        self._checks: list[CheckEvidence] = []
        self._runs: dict[tuple[str, str], _RunTally] = {}

    def know(self, *scenarios: ScenarioInfo) -> None:
        """These scenarios exist, run or not."""
        self._scenarios.extend(scenarios)

    def add(self, *results: ScheduleResult) -> None:
        """These runs were made; each run of a campaign is added once."""
        for result in results:
            key = (result.scenario, result.provider)
            tally = self._runs.get(key)
            if tally is None:
                tally = self._runs[key] = _RunTally(*key)
            tally.add(result)

    def check(self, *results: CheckEvidence) -> None:
        """These conformance checks were made."""
        self._checks.extend(results)

    def evidence(self) -> Evidence:
        """The evidence so far."""
        return merged(
            replace(
                self._start,
                scenarios=tuple(self._scenarios),
                checks=tuple(self._checks),
                runs=tuple(tally.evidence() for tally in self._runs.values()),
            )
        )


class _RunTally:
    """The sums of one scenario on one provider while they grow."""

    def __init__(self, scenario: str, provider: str) -> None:
        self._sum = RunEvidence(scenario=scenario, provider=provider)
        self._schedules: dict[str, ScheduleFacts] = {}
        self._facts: dict[ScheduleFacts, ScheduleFacts] = {}  # most schedules show the same: keep one object

    def add(self, result: ScheduleResult) -> None:
        counts = result.cut_off is None and result.error is None
        if counts:
            facts = ScheduleFacts(
                situations=_united(result.situations),
                asserted=_united(result.asserted),
                held=_united(result.held),
                unknown=_united(result.unknown),
            )
            before = self._schedules.get(result.fingerprint, facts)
            united = before.united(facts)
            self._schedules[result.fingerprint] = self._facts.setdefault(united, united)
        one = RunEvidence(
            scenario=result.scenario,
            provider=result.provider,
            run_count=1,
            first_seen=dict.fromkeys(result.situations, result.schedule) if counts else {},
            cut_off_count=int(result.cut_off is not None),
            first_cut_off=None if result.cut_off is None else (result.schedule, result.cut_off),
            error_count=int(result.error is not None),
            first_error=None if result.error is None else (result.schedule, result.error),
            broken=dict.fromkeys((breach.rule for breach in result.breaches), 1),
            breaches=result.breaches,
            faults=result.faults,
            step_count=result.steps,
            virtual_us=result.virtual_us,
        )
        self._sum = _merged_runs(self._sum, one)

    def evidence(self) -> RunEvidence:
        return replace(self._sum, schedules=dict(self._schedules))


def merged(*parts: Evidence) -> Evidence:
    """The evidence of several parts of one campaign; the same in whatever order they come.

    Raises ValueError if there are none, or if they were made with different code or specification.
    """
    if not parts:
        raise ValueError("there is no evidence to merge; give at least one part")
    fingerprints = sorted({part.fingerprint for part in parts})
    if len(fingerprints) > 1:
        raise ValueError(f"evidence of different code cannot be merged: {', '.join(fingerprints)}")
    runs: dict[tuple[str, str], RunEvidence] = {}
    for part in parts:
        for run in part.runs:
            key = (run.scenario, run.provider)
            runs[key] = _merged_runs(runs[key], run) if key in runs else run
    scenarios = {info.name: info for part in parts for info in part.scenarios}
    return Evidence(
        fingerprint=fingerprints[0],
        providers=_united(*(part.providers for part in parts)),
        scenarios=tuple(scenarios[name] for name in sorted(scenarios)),
        runs=tuple(_ordered(runs[key]) for key in sorted(runs)),
        checks=_worst_checks(check for part in parts for check in part.checks),
        kills=_hunted(kill for part in parts for kill in part.kills),
        shown=dict(sorted({pair for part in parts for pair in part.shown.items()})),
        interrupted=any(part.interrupted for part in parts),
        defect=parts[0].defect,
        module=parts[0].module,
    )


def _merged_runs(one: RunEvidence, other: RunEvidence) -> RunEvidence:
    schedules = dict(one.schedules)
    for fingerprint, facts in other.schedules.items():
        schedules[fingerprint] = schedules.get(fingerprint, facts).united(facts)
    return RunEvidence(
        scenario=one.scenario,
        provider=one.provider,
        run_count=one.run_count + other.run_count,
        cut_off_count=one.cut_off_count + other.cut_off_count,
        first_cut_off=_first(one.first_cut_off, other.first_cut_off),
        schedules=schedules,
        first_seen=_lowest(one.first_seen, other.first_seen),
        broken=_summed(one.broken, other.broken),
        breaches=_first_breaches(*one.breaches, *other.breaches),
        error_count=one.error_count + other.error_count,
        first_error=_first(one.first_error, other.first_error),
        faults=_summed(one.faults, other.faults),
        step_count=one.step_count + other.step_count,
        virtual_us=one.virtual_us + other.virtual_us,
    )


def _ordered(run: RunEvidence) -> RunEvidence:
    return replace(
        run,
        schedules={key: run.schedules[key] for key in sorted(run.schedules)},
        first_seen={key: run.first_seen[key] for key in sorted(run.first_seen)},
        broken={key: run.broken[key] for key in sorted(run.broken)},
        faults={key: run.faults[key] for key in sorted(run.faults)},
    )


def _first_breaches(*breaches: Breach) -> tuple[Breach, ...]:
    """For each rule the breach with the lowest schedule number; messages break ties, not arrival."""
    first: dict[str, Breach] = {}
    for breach in sorted(breaches, key=lambda found: (found.rule, found.schedule, found.message)):
        known = first.setdefault(breach.rule, breach)
        if known.trace is None and (known.schedule, known.message) == (breach.schedule, breach.message):
            first[breach.rule] = breach
    return tuple(first.values())


_SEVERITY: Final[Mapping[CheckOutcome, int]] = {"failed": 0, "held": 1, "skipped": 2}


def _worst_checks(results: Iterable[CheckEvidence]) -> tuple[CheckEvidence, ...]:
    worst: dict[tuple[str, str], CheckEvidence] = {}
    for result in sorted(
        results, key=lambda made: (made.id, made.provider, _SEVERITY[made.outcome], made.reason)
    ):
        worst.setdefault((result.id, result.provider), result)
    return tuple(worst.values())


def _hunted(kills: Iterable[Kill]) -> tuple[Kill, ...]:
    """One for each defect and provider, by their names."""
    found = {(kill.defect, kill.provider): kill for kill in sorted(kills, key=str)}
    return tuple(found[key] for key in sorted(found))


def _united(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for group in groups for name in group}))


def _counted(groups: Iterable[tuple[str, ...]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for group in groups:
        for name in group:
            counts[name] = counts.get(name, 0) + 1
    return {name: counts[name] for name in sorted(counts)}


def _summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def _lowest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    lowest = dict(one)
    for name, number in other.items():
        lowest[name] = min(number, lowest.get(name, number))
    return lowest


def _first(one: tuple[int, str] | None, other: tuple[int, str] | None) -> tuple[int, str] | None:
    return min((found for found in (one, other) if found is not None), default=None)
