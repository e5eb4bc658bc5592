"""The words of coverage and of verdicts; never just "passed".

A row, clause or invariant has one of six words on each provider, and over all providers the weakest of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

Status = Literal["violated", "missing", "unknown", "unreached", "exercised", "verified"]
"""Weakest first; `violated` outweighs everything."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)

MEANINGS: Final[dict[Status, str]] = {
    "violated": "a run broke it",
    "missing": "no check has run",
    "unknown": "every run was cut off, failed, or could not tell",
    "unreached": "it ran, but the interesting situation never occurred",
    "exercised": "the situation occurred, the oracle was asserted and held",
    "verified": "exercised, and a planted defect makes it fail",
}


REQUIREMENTS: Final[dict[Status, str]] = {
    "verified": (
        "All that exercised asks for, and a kill as well: a defect aimed at this row was planted in "
        "the same code, and the row, one of its invariants or one of its conformance checks failed "
        "because of it. A kill counts only while the fingerprint of code, properties and specification is "
        "the one it was made with."
    ),
    "exercised": (
        "In at least one distinct schedule all situations that the scenario declares occurred, recognised "
        "by monitors and not by the scenario itself, and the oracle of the row was asserted in that same "
        "schedule and held. No run broke the row, an invariant it names, or an assertion of the scenario."
    ),
    "unreached": (
        "Runs ended normally, but in none of them did all declared situations and the assertion come "
        "together. An oracle that holds where nothing happened is no evidence."
    ),
    "unknown": (
        "No run counts: each was cut off by a limit or failed outside every rule, or the provider lacks "
        "what a check needs to see."
    ),
    "missing": ("There is no scenario and no conformance check for it, or none was run."),
    "violated": (
        "At least one run broke it. One is enough, however many others held; its trace replays the violation."
    ),
}
"""What exactly each word requires."""


def weakest(statuses: Iterable[Status]) -> Status:
    """The word over several providers; `missing` if there are none."""
    return min(statuses, key=STATUSES.index, default="missing")


def strongest(statuses: Iterable[Status]) -> Status:
    """The word of several checks of one thing on one provider: the best, unless one is violated."""
    given = tuple(statuses)
    return "violated" if "violated" in given else max(given, key=STATUSES.index, default="missing")


def is_covered(status: Status) -> bool:
    """Whether there is evidence that it held."""
    return status in ("exercised", "verified")


def residual_risk(schedules: int) -> float:
    """The share of schedules that may still break a rule, at 95 % confidence, by the rule of three.

    It supposes that schedules are drawn independently, as the random strategies do; Hanley and Lippman-Hand,
    "If nothing goes wrong, is everything all right?", 1983.
    """
    return min(1.0, 3 / schedules) if schedules else 1.0


def verdict(*, violations: int, schedules: int, unknown: int = 0) -> str:
    """A campaign in words: how many rules are broken, how many schedules were tried, how many were cut off.

    `schedules` are the distinct ones that count, `unknown` the runs that are evidence for nothing.
    """
    if violations:
        return f"violated ({violations} {'rule' if violations == 1 else 'rules'})"
    cut = f", {unknown} {'run' if unknown == 1 else 'runs'} unknown" if unknown else ""
    if not schedules:
        return f"unknown (no schedule counts{cut})"
    schedule_word = "schedule" if schedules == 1 else "schedules"
    return f"not found ({schedules} {schedule_word}, residual risk {_percent(residual_risk(schedules))}{cut})"


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 1 else "100 %"
