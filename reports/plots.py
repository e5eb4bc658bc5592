"""Plots of the pages, as data: curves and ticks in pixels, which a template draws as SVG.

Numbers of schedules run over a logarithmic axis: the first few matter most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Final

from holdfast.reports.evidence import RunEvidence
from holdfast.reports.kills import Kill

WIDTH: Final = 560
HEIGHT: Final = 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 30


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid and its number."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A rising staircase. `path` is in pixels, `end` the last value in words."""

    name: str
    path: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Curves in one frame, whose corners are `left`, `right`, `top` and `bottom`."""

    title: str
    x_label: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def situations_plot(runs: Iterable[RunEvidence]) -> Plot | None:
    """Situations reached over schedules, one curve for each provider; None if nothing was reached.

    A situation counts once for each scenario that reached it. A curve that has long been flat says that more
    schedules of this kind are unlikely to show anything new.
    """
    found: dict[str, list[int]] = {}
    schedules = 1
    for run in runs:
        found.setdefault(run.provider, []).extend(number + 1 for number in run.first_seen.values())
        schedules = max(schedules, run.run_count, *(number + 1 for number in run.first_seen.values()))
    counted = {name: sorted(numbers) for name, numbers in sorted(found.items()) if numbers}
    if not counted:
        return None
    most = max(len(numbers) for numbers in counted.values())
    return _plot(
        "Situations reached, by scenario",
        "schedules of each scenario",
        {
            name: [(number, count) for count, number in enumerate(numbers, 1)]
            for name, numbers in counted.items()
        },
        x_most=schedules,
        y_ticks=_round_ticks(most),
        ends={name: f"{len(numbers)}" for name, numbers in counted.items()},
    )


def catches_plot(kills: Iterable[Kill]) -> Plot | None:
    """The share of hunts that had caught their defect, over schedules, one curve for each strategy."""
    hunts: dict[str, list[int | None]] = {}
    for kill in kills:
        for strategy, catches in kill.hunts.items():
            hunts.setdefault(strategy, []).extend(catch.schedules for catch in catches)
    if not hunts:
        return None
    caught = {
        name: sorted(number for number in numbers if number is not None)
        for name, numbers in sorted(hunts.items())
    }
    shares = {
        name: [(number, 100 * count / len(hunts[name])) for count, number in enumerate(numbers, 1)]
        for name, numbers in caught.items()
    }
    return _plot(
        "Hunts whose defect was caught as meant, per cent",
        "schedules",
        shares,
        x_most=max((numbers[-1] for numbers in caught.values() if numbers), default=1),
        y_ticks=(0, 25, 50, 75, 100),
        ends={name: f"{len(numbers)} of {len(hunts[name])}" for name, numbers in caught.items()},
    )


@dataclass(frozen=True, slots=True)
class Range:
    """Fewest, median and most schedules as places on a logarithmic axis from 0 to 100."""

    low: float
    middle: float
    high: float


def log_range(spread: tuple[int, float, int], most: int) -> Range:
    """Where a spread lies on an axis that ends at `most`."""
    low, middle, high = (round(100 * _log_share(value, most), 1) for value in spread)
    return Range(low, middle, high)


def _plot(
    title: str,
    x_label: str,
    curves: Mapping[str, Sequence[tuple[int, float]]],
    *,
    x_most: int,
    y_ticks: Sequence[int],
    ends: Mapping[str, str],
) -> Plot:
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x(value: float) -> float:
        return round(_LEFT + width * _log_share(value, x_most), 1)

    def y(value: float) -> float:
        return round(_TOP + height * (1 - value / y_ticks[-1]), 1)

    return Plot(
        title=title,
        x_label=x_label,
        curves=tuple(
            Curve(
                name,
                _staircase([(x(at), y(value)) for at, value in points], x(1), y(0), x(x_most)),
                ends[name],
            )
            for name, points in curves.items()
        ),
        x_ticks=tuple(Tick(x(value), f"{value}") for value in _decades(x_most)),
        y_ticks=tuple(Tick(y(value), f"{value}") for value in y_ticks),
    )


def _staircase(points: Sequence[tuple[float, float]], left: float, floor: float, right: float) -> str:
    """Along, then up: the highest point of each place, and on to the right end."""
    highest = dict(points)
    steps = "".join(f"H{at:g}V{value:g}" for at, value in highest.items())
    return f"M{left:g} {floor:g}{steps}H{right:g}"


def _log_share(value: float, most: int) -> float:
    return log10(value) / log10(most) if most > 1 else 0.0


def _decades(most: int) -> list[int]:
    """1, 2, 5, 10 and so on, up to the most, which always ends the axis."""
    ticks = [step * 10**power for power in range(ceil(log10(most)) + 1) for step in (1, 2, 5)]
    return [tick for tick in ticks if tick < 0.8 * most] + [most] if most > 1 else [1]


def _round_ticks(most: int) -> tuple[int, ...]:
    """Four to six round numbers, from 0 to at least `most`."""
    step = next(size * 10**power for power in range(12) for size in (1, 2, 5) if 5 * size * 10**power >= most)
    return tuple(range(0, step * max(ceil(most / step), 1) + 1, step))
