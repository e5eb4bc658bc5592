"""A hunt: one planted defect on one provider, until the property and the rows it is aimed at fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from holdfast.campaign.blocks import planted, subject_of
from holdfast.campaign.providers import NamedProvider, find_provider
from holdfast.campaign.selection import all_scenarios
from holdfast.campaign.single import Subject, run_once
from holdfast.properties import spec
from holdfast.properties.judging.registry import MONITORS
from holdfast.providers.conformance import CHECKS, run_check
from holdfast.reports.kills import Catch, Kill, RowKill
from holdfast.sim import Limits, Run, Strategy, make_strategy
from holdfast.sim.strategies import Fifo, PlainFirst

_LIMITS: Final = Limits(max_steps_in_all=5_000)
"""Under a defect a scenario may wait for what never comes; that is not a catch, and must not take long."""

_TO_THE_END: Final = 5
"""This many runs of each defect go on after a rule is broken, to see what else breaks."""

_CUT_OFF_MOST: Final = 3
"""Give up a hunt after this many cut-off runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HuntProfile:
    """How much is tried.

    Attributes:
        strategies: each is tried separately, after the plain run.
        seeds: how many hunts with each strategy.
        most: schedules of one hunt.
        row_most: schedules of each scenario that covers a row the defect is aimed at.
    """

    strategies: tuple[str, ...] = ("random",)
    seeds: int
    most: int
    row_most: int


HUNT_PROFILES: Final[Mapping[str, HuntProfile]] = {
    "quick": HuntProfile(seeds=1, most=200, row_most=50),
    "full": HuntProfile(strategies=("random", "pct:3"), seeds=10, most=400, row_most=100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """What one process is asked to do: a defect on a provider. Plain data, so that it can be sent."""

    defect: str
    provider: str
    profile: HuntProfile
    seed: int = 0
    fingerprint: str

    def run(self) -> Kill:
        """Hunt it, and try the rows it is aimed at."""
        from holdfast.properties.defects import defects

        defect = defects()[self.defect]
        provider = find_provider(self.provider)
        subject = subject_of(defect.scenario, provider, defect.name)
        seen = _Seen(defect.caught_by)
        plain = any(seen.look(run) for run in _runs(subject, Fifo(), 1))
        hunts = {
            strategy: tuple(
                _catch(subject, make_strategy(strategy, self.seed + number), self.profile.most, seen)
                for number in range(self.profile.seeds)
            )
            for strategy in (self.profile.strategies if subject.scenario.explored else ())
        }
        return Kill(
            defect=defect.name,
            title=defect.title,
            area=defect.where,
            needs=defect.needs,
            meant=defect.caught_by,
            provider=self.provider,
            scenario=defect.scenario,
            caught_by=seen.caught_by,
            collateral=tuple(rule for rule in self._broken(seen) if rule != seen.caught_by),
            plain=plain,
            hunts=hunts,
            rows={row: _row_kill(row, self, provider) for row in defect.rows},
            fingerprint=self.fingerprint,
        )

    def _broken(self, seen: _Seen) -> list[str]:
        """What else it breaks when runs go on after the catch; a check stops there, so that is no catch."""
        from holdfast.properties.defects import defects

        defect = defects()[self.defect]
        beyond = _Seen("")
        for scenario in filter(None, (defect.scenario, defect.elsewhere)):
            subject = subject_of(scenario, find_provider(self.provider), defect.name)
            strategy = PlainFirst(make_strategy("random", self.seed))
            for run in _runs(subject, strategy, _TO_THE_END, to_the_end=True):
                beyond.look(run)
        return [*dict.fromkeys([*seen.rules, *beyond.rules])]


class _Seen:
    """Which rules broke, in order of first appearance, and whether the one that was meant did."""

    def __init__(self, meant: str) -> None:
        self._meant = meant
        self.rules: list[str] = []

    def look(self, run: Run) -> bool:
        """Add what broke in a run; returns whether the rule meant for the defect is among it."""
        for failure in run.failures:
            if failure.rule not in self.rules:
                self.rules.append(failure.rule)
        return any(failure.rule == self._meant for failure in run.failures)

    @property
    def caught_by(self) -> str | None:
        return self._meant if self._meant in self.rules else next(iter(self.rules), None)


def _runs(
    subject: Subject,
    strategy: Strategy,
    most: int,
    rules: Sequence[str] | None = None,
    *,
    to_the_end: bool = False,
) -> Iterator[Run]:
    """Schedules of a strategy, one by one, until too many were cut off."""
    cut_off = 0
    for schedule in range(most if subject.scenario.explored else 1):
        strategy.begin(schedule)
        run = run_once(subject, strategy, rules=rules, limits=_LIMITS, to_the_end=to_the_end)
        yield run
        cut_off += run.cut_off is not None
        if cut_off == _CUT_OFF_MOST:
            return


def _catch(subject: Subject, strategy: Strategy, most: int, seen: _Seen) -> Catch:
    """One hunt for the rule meant for the defect."""
    started = time.perf_counter()
    counted = enumerate(_runs(subject, strategy, most), start=1)
    found = next((count for count, run in counted if seen.look(run)), None)
    return Catch(found, round(time.perf_counter() - started, 4))


def _row_kill(row: str, hunt: Hunt, provider: NamedProvider) -> RowKill | None:
    """The first failure of a row in one of its checks, by its oracle or by an invariant it names.

    Only those are watched: another rule that broke first would end the run before the row could fail.
    """
    invariants = next(one.invariants for one in spec.rows() if one.id == row)
    rules = {row, *invariants}
    watched = [rule for rule in invariants if rule in MONITORS]
    for scenario in all_scenarios().values():
        if row in scenario.covers:
            subject = Subject(scenario, provider, lambda: planted(hunt.defect))
            strategy = PlainFirst(make_strategy("random", hunt.seed))
            runs = _runs(subject, strategy, hunt.profile.row_most, watched)
            for count, run in enumerate(runs, start=1):
                broken = next((one.rule for one in run.failures if one.rule in rules), None)
                if broken is not None:
                    return RowKill(rule=broken, where=scenario.name, schedules=count)
    return _check_kill(row, hunt.defect, provider)


def _check_kill(row: str, defect: str, provider: NamedProvider) -> RowKill | None:
    """The first conformance check for a row that fails."""
    suite = replace(provider.conformance, rounds=5)
    checks = [one.id for one in spec.checks() if one.matrix == row and one.id in CHECKS]
    for id in checks:
        with planted(defect):
            made = asyncio.run(run_check(suite, CHECKS[id]))
        if made.outcome == "failed":
            return RowKill(rule=id, where="conformance", schedules=1)
    return None
