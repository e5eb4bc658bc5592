"""Verdict: what a rule says of one run. What was not judged is unknown, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Datum = str | int | bool | None | list["Datum"] | dict[str, "Datum"]
"""Plain data, as JSON has it."""

Witness = Mapping[str, Datum]
"""The smallest data that shows a violation: names of items, rows and workers, and times."""


@dataclass(frozen=True, slots=True)
class Holds:
    """The rule was watched over the whole run and was not broken."""

    rule: str


@dataclass(frozen=True, slots=True)
class Violated:
    """The rule was broken by the commit at `position` (or before it, for a local event), at `time_us`."""

    rule: str
    witness: Witness
    position: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing can be said: a hook is missing, the run was cut off, or the monitor itself failed."""

    rule: str
    reason: str


Verdict = Holds | Violated | Unknown
