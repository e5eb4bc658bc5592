"""A hunt: one planted defect, schedule after schedule, until the property meant for it sees it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from holdfast.campaign.single import Subject, run_once
from holdfast.sim import make_strategy
from holdfast.sim.strategies import PlainFirst


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """How it went. `caught_by` is the rule meant for the defect if that ever saw it, else the first other."""

    defect: str
    provider: str
    scenario: str
    meant: str
    caught_by: str | None
    also: tuple[str, ...]
    schedules: int

    @property
    def as_meant(self) -> bool:
        """Whether the property meant for the defect caught it."""
        return self.caught_by == self.meant

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "as_meant": self.as_meant}


def hunt(subject: Subject, defect: str, meant: str, schedules: int, strategy: str, seed: int) -> Hunt:
    """Run until the rule meant for the defect is broken, at most so many schedules."""
    chosen = PlainFirst(make_strategy(strategy, seed))
    others: dict[str, int] = {}
    for schedule in range(schedules):
        chosen.begin(schedule)
        broken = [failure.rule for failure in run_once(subject, chosen).failures]
        if meant in broken:
            return _told(subject, defect, meant, meant, others, schedule + 1)
        for rule in broken:
            others.setdefault(rule, schedule + 1)
        if not subject.scenario.explored:
            break
    first = next(iter(others), None)
    return _told(subject, defect, meant, first, others, others[first] if first else schedules)


def _told(
    subject: Subject, defect: str, meant: str, caught_by: str | None, others: dict[str, int], schedules: int
) -> Hunt:
    return Hunt(
        defect=defect,
        provider=subject.provider.name,
        scenario=subject.scenario.name,
        meant=meant,
        caught_by=caught_by,
        also=tuple(rule for rule in others if rule != caught_by),
        schedules=schedules,
    )
