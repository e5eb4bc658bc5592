"""The campaign: chosen scenarios and checks on chosen providers, in blocks, added up as evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.campaign.blocks import Block, BlockResult, ConformanceRun, Retelling, is_row
from holdfast.campaign.fingerprint import evidence_fingerprint
from holdfast.campaign.pool import FinishedJob, Pool
from holdfast.campaign.providers import NamedProvider
from holdfast.campaign.selection import Selection, describe
from holdfast.reports.evidence import (
    Breach,
    CheckEvidence,
    Evidence,
    ScheduleResult,
    Tally,
)
from holdfast.sim import Limits, Scenario
from holdfast.sim.strategies import BLOCK
from holdfast.traces.file import SUFFIX, Trace, safe_file_name, trace_file_name


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignProfile:
    """How much of each scenario is run by default.

    The `first` schedules; then more, up to `most`, while fewer than `wanted` distinct ones have been seen or
    a row of the scenario has not been asserted with all its situations. `sample` says it for the reader.
    """

    first: int
    wanted: int
    most: int
    sample: str


PROFILES: Final = {
    "quick": CampaignProfile(
        first=14, wanted=12, most=200, sample="a sample of 14 schedules each, to be quick"
    ),
    "full": CampaignProfile(first=200, wanted=200, most=400, sample="200 distinct schedules each"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a campaign is asked to do. `schedules`, if given, is the number of runs of each scenario."""

    selection: Selection
    providers: tuple[NamedProvider, ...]
    seed: int = 0
    strategy: str = "random"
    schedules: int | None = None
    profile: CampaignProfile = PROFILES["quick"]
    jobs: int = 1
    defect: str | None = None
    module: str | None = None
    limits: Limits | None = None


@dataclass(slots=True)
class CampaignResult:
    """What a campaign found. `broken` are blocks that could not be run, `nondeterminism` runs that differ.

    `traces` are of broken rules, `shown` of healthy runs, both by the names of their files. `complaints` are
    what asyncio would have logged.
    """

    evidence: Evidence
    traces: dict[str, Trace] = field(default_factory=dict)
    shown: dict[str, Trace] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    nondeterminism: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


Progress = Callable[[str, int, int], bool]
"""Takes what was done, how many units and of how many; returns whether to go on."""


class Campaign:
    """One campaign. `run` may be stopped by KeyboardInterrupt; `outcome` has what was found by then."""

    def __init__(self, order: Order) -> None:
        self._order = order
        names = [provider.name for provider in order.providers]
        self._tally = Tally(evidence_fingerprint(), names)
        self._tally.know(*(describe(each) for each in order.selection.scenarios))
        self._distinct: dict[tuple[str, str], set[str]] = {}
        self._counting: set[tuple[str, str]] = set()
        self._met: dict[tuple[str, str], set[str]] = {}
        self._situations = {one.name: frozenset(one.situations) for one in order.selection.scenarios}
        self._traces: dict[tuple[str, str, str], tuple[int, Trace]] = {}
        self._telling: dict[str, Retelling] = {}
        self._shown: dict[str, Trace] = {}
        self._results: list[ScheduleResult] = []
        self._broken: list[str] = []
        self._nondeterminism: list[str] = []
        self._complaints: dict[tuple[str, str, str], int] = {}
        self._finished = False

    def run(self, progress: Progress) -> None:
        """Conformance checks first, then blocks in waves until every scenario has had its share."""
        with Pool(self._order.jobs) as pool:
            if self._order.defect is None and not self._run_checks(pool, progress):
                return
            self._finished = self._explore(pool, progress)
            if self._finished:
                self._retell(pool, progress)

    def _explore(self, pool: Pool, progress: Progress) -> bool:
        """Waves of blocks; whether all were run."""
        done = 0
        wave = self._first_wave()
        planned = len(wave)
        while wave:
            for one in pool.run(wave, BlockResult):
                self._take(one)
                done += 1
                if not progress(f"{one.job.scenario} on {one.job.provider}", done, planned):
                    return False
            wave = self._next_wave(wave)
            planned += len(wave)
        return True

    def _run_checks(self, pool: Pool, progress: Progress) -> bool:
        """Conformance checks; whether all were run."""
        names = [provider.name for provider in self._order.providers]
        wave = [ConformanceRun(id=id, provider=name) for name in names for id in self._order.selection.checks]
        for count, one in enumerate(pool.run(wave, CheckEvidence), start=1):
            if one.result is not None:
                self._tally.check(one.result)
            else:
                self._broken.append(f"{one.job.id} on {one.job.provider}: {one.broke}")
            if not progress(f"{one.job.id} on {one.job.provider}", count, len(wave)):
                return False
        return True

    def _retell(self, pool: Pool, progress: Progress) -> None:
        """Record healthy runs to be shown, one for each row."""
        wave = [self._telling[name] for name in _one_for_each_row(self._order.selection, self._telling)]
        for count, one in enumerate(pool.run(wave, Trace), start=1):
            scenario = one.job.block.scenario
            if one.result is not None:
                self._shown[scenario] = one.result
            else:
                self._broken.append(f"{scenario}, recording it again: {one.broke}")
            if not progress(f"recording {scenario}", count, len(wave)):
                return

    # --- waves of blocks ----------------------------------------------------------------------------------

    def _first_wave(self) -> list[Block]:
        wanted = self._order.schedules or self._order.profile.first
        return [
            block
            for scenario in self._order.selection.scenarios
            for provider in self._places(scenario)
            for block in self._blocks(scenario, provider, 0, min(wanted, self._most(scenario)))
        ]

    def _most(self, scenario: Scenario) -> int:
        """The most schedules it gets: one block if it is evidence for no row, unless a number was given."""
        if self._order.schedules is not None:
            return self._order.schedules
        return self._order.profile.most if any(map(is_row, scenario.covers)) else BLOCK

    def _places(self, scenario: Scenario) -> Iterable[NamedProvider]:
        """A unit check runs once, everything else on every provider."""
        if scenario.level == "unit":
            return self._order.providers[:1]
        return self._order.providers

    def _blocks(self, scenario: Scenario, provider: NamedProvider, first: int, count: int) -> list[Block]:
        order = self._order
        block = Block(
            scenario=scenario.name,
            provider=provider.name,
            seed=order.seed,
            strategy=order.strategy,
            defect=order.defect,
            module=order.module,
            limits=order.limits,
        )
        if not scenario.explored:
            return [replace(block, count=1)]
        return [
            replace(block, first=start, count=min(BLOCK, first + count - start))
            for start in range(first, first + count, BLOCK)
        ]

    def _next_wave(self, last: list[Block]) -> list[Block]:
        """One more block for each scenario that has shown too few distinct schedules, if any run counts."""
        order = self._order
        if order.schedules is not None:
            return []
        furthest: dict[tuple[str, str], int] = {}
        for block in last:
            key = block.scenario, block.provider
            furthest[key] = max(furthest.get(key, 0), block.first + block.count)
        wave: list[Block] = []
        for scenario in order.selection.scenarios:
            for provider in self._places(scenario):
                key = scenario.name, provider.name
                reached = furthest.get(key, order.profile.most)
                few = len(self._distinct.get(key, ())) < order.profile.wanted or self._unmet(scenario, key)
                futile = key not in self._counting
                if scenario.explored and few and not futile and reached < self._most(scenario):
                    wave += self._blocks(scenario, provider, reached, BLOCK)
        return wave

    def _unmet(self, scenario: Scenario, key: tuple[str, str]) -> bool:
        """Whether a row of the scenario has not been asserted where all its situations had occurred."""
        met = self._met.get(key, set())
        return any(is_row(name) and name not in met for name in scenario.covers)

    # --- results ------------------------------------------------------------------------------------------

    def _take(self, done: FinishedJob[Block, BlockResult]) -> None:
        block, result = done.job, done.result
        key = block.scenario, block.provider
        if result is None:
            first, last = block.first, block.first + block.count - 1
            self._broken.append(
                f"{block.scenario} on {block.provider}, schedules {first} to {last}: {done.broke}"
            )
            return
        if result.nondeterminism is not None:
            self._nondeterminism.append(f"{block.scenario} on {block.provider}: {result.nondeterminism}")
        for complaint, schedule in result.complaints.items():
            where = (*key, complaint)
            self._complaints[where] = min(schedule, self._complaints.get(where, schedule))
        seen = self._distinct.setdefault(key, set())
        for one in result.results:
            seen.add(one.fingerprint)
            if one.cut_off is None and one.error is None:
                self._counting.add(key)
            if self._situations[block.scenario].issubset(one.situations):
                self._met.setdefault(key, set()).update(one.asserted)
        for (rule, schedule), trace in result.traces.items():
            known = self._traces.get((*key, rule))
            if known is None or schedule < known[0]:
                self._traces[(*key, rule)] = schedule, trace
        if result.telling is not None and block.provider == self._order.providers[0].name:
            schedule, tape = result.telling
            known_run = self._telling.get(block.scenario)
            if known_run is None or schedule < known_run.schedule:
                self._telling[block.scenario] = Retelling(block=block, schedule=schedule, tape=tape)
        self._results += result.results

    def outcome(self) -> CampaignResult:
        """Everything found so far."""
        named: dict[tuple[str, str, str, int], str] = {}
        traces: dict[str, Trace] = {}
        for (scenario, provider, rule), (schedule, trace) in self._traces.items():
            name = trace_file_name(trace)
            traces[name] = trace
            named[scenario, provider, rule, schedule] = name
        for result in self._results:
            self._tally.add(_named(result, named))
        self._results = []
        shown = {name: f"{safe_file_name(name)}{SUFFIX}" for name in sorted(self._shown)}
        return CampaignResult(
            evidence=replace(
                self._tally.evidence(),
                shown=shown,
                interrupted=not self._finished,
                defect=self._order.defect,
                module=self._order.module,
            ),
            traces=traces,
            shown={shown[name]: self._shown[name] for name in shown},
            broken=sorted(self._broken),
            nondeterminism=sorted(self._nondeterminism),
            complaints=[
                f"{scenario} on {provider}, schedule {schedule}: {complaint}"
                for (scenario, provider, complaint), schedule in sorted(self._complaints.items())
            ],
        )


def _one_for_each_row(selection: Selection, telling: Mapping[str, Retelling]) -> list[str]:
    """For each row the first scenario by name that has a telling run."""
    chosen: dict[str, str] = {}
    for scenario in sorted(selection.scenarios, key=lambda each: each.name):
        if scenario.name in telling:
            for row in filter(is_row, scenario.covers):
                chosen.setdefault(row, scenario.name)
    return sorted(set(chosen.values()))


def _named(result: ScheduleResult, names: dict[tuple[str, str, str, int], str]) -> ScheduleResult:
    """The result with the names of the trace files of its breaches."""
    provider = result.provider
    if not result.breaches:
        return result
    breaches = tuple(
        Breach(
            rule=one.rule,
            message=one.message,
            schedule=one.schedule,
            trace=names.get((result.scenario, provider, one.rule, one.schedule)),
        )
        for one in result.breaches
    )
    return replace(result, breaches=breaches)
