"""The kill matrix for readers: one line for each defect, with its result on each provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from holdfast.reports.kills import Kill, survivors_first
from holdfast.reports.plots import Range, log_range

CatchKind = Literal["as meant", "collateral", "survived"]

CATCHES: Final[dict[CatchKind, str]] = {
    "as meant": "the property it is meant for caught it",
    "collateral": "only another property caught it",
    "survived": "nothing caught it",
}
"""What the words of a hunt mean, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunts:
    """The hunts with one strategy: spread of schedules to the catch, None if a seed did not see it."""

    strategy: str
    spread: tuple[int, float, int] | None
    drawn: Range | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnProvider:
    """The result for a defect on one provider."""

    provider: str
    word: CatchKind
    caught_by: str | None
    collateral: tuple[str, ...]
    hunts: tuple[Hunts, ...]
    seconds: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HuntedDefect:
    """A defect: what it changes and needs, where it was hunted, the rows aimed at, those that held, results.

    `slowest` is the highest median of schedules to the catch over providers and strategies; what a seed
    missed ranks above all that was caught, and survivors above that.
    """

    name: str
    title: str
    area: str
    needs: str
    meant: str
    scenario: str
    word: CatchKind
    rows: tuple[str, ...]
    held: tuple[str, ...]
    providers: tuple[OnProvider, ...]
    slowest: float


def by_defect(kills: Iterable[Kill]) -> tuple[HuntedDefect, ...]:
    """One line for each defect, survivors first; the word is the worst of its providers'."""
    grouped: dict[str, list[Kill]] = {}
    for kill in survivors_first(kills):
        grouped.setdefault(kill.defect, []).append(kill)
    most = max(
        (each[2] for group in grouped.values() for kill in group for each in _spreads(kill).values()),
        default=1,
    )
    return tuple(_line(group, most) for group in grouped.values())


def _line(group: list[Kill], most: int) -> HuntedDefect:
    first = group[0]
    providers = tuple(_on_provider(kill, most) for kill in sorted(group, key=lambda kill: kill.provider))
    return HuntedDefect(
        name=first.defect,
        title=first.title,
        area=first.area,
        needs=first.needs,
        meant=first.meant,
        scenario=first.scenario,
        word=max((one.word for one in providers), key=list(CATCHES).index),
        rows=tuple(first.rows),
        held=tuple(sorted({row for kill in group for row in kill.held()})),
        providers=providers,
        slowest=max(kill.hardest(most + 1) for kill in group),
    )


def _on_provider(kill: Kill, most: int) -> OnProvider:
    spreads = _spreads(kill)
    return OnProvider(
        provider=kill.provider,
        word="survived" if kill.caught_by is None else "as meant" if kill.as_meant else "collateral",
        caught_by=kill.caught_by,
        collateral=kill.collateral,
        hunts=tuple(
            Hunts(
                strategy=strategy,
                spread=spreads.get(strategy),
                drawn=log_range(spreads[strategy], most) if strategy in spreads else None,
            )
            for strategy in sorted(kill.hunts)
        ),
        seconds=kill.seconds(),
    )


def _spreads(kill: Kill) -> Mapping[str, tuple[int, float, int]]:
    found = {strategy: kill.spread(strategy) for strategy in kill.hunts}
    return {strategy: spread for strategy, spread in found.items() if spread is not None}
