"""The kill matrix: what each planted defect was caught by, where, and after how many schedules, as data.

A separate run makes and stores it, so each matrix carries the fingerprint of the code, properties and
specification it was made with: with any others it is evidence for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

import msgspec


@dataclass(frozen=True, slots=True)
class Catch:
    """One hunt: the number of the schedule that showed it, None if none did, and real seconds spent."""

    schedules: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKill:
    """A row that failed: the rule that said so (the row, one of its invariants, a conformance check)."""

    rule: str
    where: str
    schedules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A planted defect on one provider, and what caught it.

    Attributes:
        defect: its name.
        title: what it changes, in a sentence.
        area: the part of the product it is planted in.
        needs: what must happen for it to show.
        meant: the rule it is meant to be caught by.
        provider: what it was run on.
        scenario: where it was hunted.
        caught_by: the rule that caught it: the one meant if that ever did; None if it escaped.
        collateral: other rules that broke, by name.
        plain: whether the plain run, without any deviation, shows it.
        hunts: by strategy, one catch for each seed.
        rows: the rows it is aimed at; None for one that held anyway.
        fingerprint: of code and specification at the time.
    """

    defect: str
    title: str = ""
    area: str = ""
    needs: str = ""
    meant: str
    provider: str
    scenario: str
    caught_by: str | None = None
    collateral: tuple[str, ...] = ()
    plain: bool = False
    hunts: Mapping[str, tuple[Catch, ...]] = field(default_factory=dict)
    rows: Mapping[str, RowKill | None] = field(default_factory=dict)
    fingerprint: str

    @property
    def as_meant(self) -> bool:
        """Whether the property meant for the defect caught it."""
        return self.caught_by == self.meant

    def broken(self) -> tuple[str, ...]:
        """All rules that it was seen to break."""
        seen = {rule for rule in (self.caught_by, *self.collateral) if rule is not None}
        return tuple(sorted(seen | {row.rule for row in self.rows.values() if row is not None}))

    def held(self) -> tuple[str, ...]:
        """Rows that it is aimed at and that do not fail."""
        return tuple(row for row, made in self.rows.items() if made is None)

    def spread(self, strategy: str) -> tuple[int, float, int] | None:
        """Fewest, median and most schedules to the catch over the seeds; None if a seed did not see it."""
        counts = [catch.schedules for catch in self.hunts.get(strategy, ())]
        seen = [count for count in counts if count is not None]
        return (min(seen), median(seen), max(seen)) if seen and len(seen) == len(counts) else None

    def soonest(self) -> int:
        """Fewest schedules to the catch; one for what is the same in every schedule, and is hunted once."""
        counts = [catch.schedules for catches in self.hunts.values() for catch in catches]
        return min((count for count in counts if count is not None), default=1)

    def hardest(self, missed: int) -> float:
        """The highest median of schedules to the catch of its strategies; a miss counts as `missed`."""
        if self.caught_by is None:
            return missed + 1
        return max(
            (
                median(missed if catch.schedules is None else catch.schedules for catch in catches)
                for catches in self.hunts.values()
            ),
            default=1,
        )

    def seconds(self) -> tuple[float, float, float] | None:
        """Fewest, median and most real seconds of its hunts with any strategy; None without hunts."""
        spent = [catch.seconds for catches in self.hunts.values() for catch in catches]
        return (min(spent), median(spent), max(spent)) if spent else None


def told_seconds(seconds: float) -> str:
    """Seconds to be read: two digits, or whole ones."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillMatrix:
    """All defects that were hunted in one run."""

    fingerprint: str
    profile: str = ""
    kills: tuple[Kill, ...] = ()

    def survivors(self) -> tuple[Kill, ...]:
        """Those that nothing caught."""
        return tuple(kill for kill in self.kills if kill.caught_by is None)


def survivors_first(kills: Iterable[Kill]) -> list[Kill]:
    """Those that escaped, those not caught as meant, those under which a row held, then the rest."""
    return sorted(
        kills,
        key=lambda kill: (
            kill.caught_by is not None,
            kill.as_meant,
            not kill.held(),
            kill.defect,
            kill.provider,
        ),
    )


def encode_kills(matrix: KillMatrix) -> bytes:
    """The matrix as JSON, one kill a line."""
    head = msgspec.json.encode({"fingerprint": matrix.fingerprint, "profile": matrix.profile})
    lines = [msgspec.json.encode(kill, order="deterministic") for kill in matrix.kills]
    return head[:-1] + b',"kills":[\n' + b",\n".join(lines) + b"\n]}\n"


def decode_kills(content: bytes) -> KillMatrix:
    """A matrix from its JSON. Raises ValueError if it is not that."""
    try:
        return msgspec.json.decode(content, type=KillMatrix)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"this is not a kill matrix of this version: {error}") from None
