"""What to run: scenarios and conformance checks by row, section, clause, invariant, or their own name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from holdfast.core.contract.errors import ConfigurationError
from holdfast.properties import spec
from holdfast.providers.conformance import CHECKS
from holdfast.reports.evidence import ScenarioInfo
from holdfast.sim import Scenario, scenarios


@dataclass(frozen=True, slots=True)
class Selection:
    """Scenarios in order of registration, conformance checks in order of their ids."""

    scenarios: tuple[Scenario, ...]
    checks: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.scenarios or self.checks)


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario of the matrix, by name."""
    import holdfast.properties.matrix  # noqa: F401 - registers them

    return scenarios()


def select(names: Sequence[str]) -> Selection:
    """What the names select; everything if there are none. Raises ConfigurationError for an unknown name."""
    known = all_scenarios()
    if not names:
        return Selection(tuple(known.values()), tuple(CHECKS))
    chosen: dict[str, Scenario] = {}
    checks: dict[str, None] = {}
    for name in names:
        rows = _rows(name)
        found = [one for one in known.values() if one.name == name or rows.intersection(one.covers)]
        held = [one.id for one in spec.checks() if one.id in CHECKS and _concerns(one, name, rows)]
        if not found and not held and not rows:
            _refuse(name, [*known, *(row.id for row in spec.rows()), *CHECKS])
        chosen.update((one.name, one) for one in found)
        checks.update(dict.fromkeys(held))
    ordered = tuple(one for one in known.values() if one.name in chosen)
    return Selection(ordered, tuple(id for id in CHECKS if id in checks))


def _rows(name: str) -> frozenset[str]:
    """The rows, or the clause itself, that a name stands for."""
    rows = spec.rows()
    if any(str(section.id) == name for section in spec.sections()):
        return frozenset(row.id for row in rows if str(row.section) == name)
    cited = {row.id for row in rows if name == row.id or name in row.clauses or name in row.invariants}
    if any(clause.id == name for clause in spec.clauses()):
        cited.add(name)
    return frozenset(cited)


def _concerns(check: spec.Check, name: str, rows: frozenset[str]) -> bool:
    return check.id == name or check.category == name or name in check.clauses or check.matrix in rows


def _refuse(name: str, known: Iterable[str]) -> None:
    near = get_close_matches(name, list(known), n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else "; see `holdfast list scenarios|rows|invariants`"
    raise ConfigurationError(f"{name!r} is not a row, section, clause, invariant, scenario or check{hint}")


def describe(scenario: Scenario) -> ScenarioInfo:
    """A scenario as reports know it."""
    return ScenarioInfo(
        name=scenario.name,
        title=scenario.title,
        covers=scenario.covers,
        workers=scenario.workers,
        faults={str(kind): count for kind, count in scenario.faults.counts().items()},
        situations=scenario.situations,
        level=scenario.level,
    )
