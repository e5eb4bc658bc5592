"""Every planted defect is caught by the property meant for it, and leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from tests.properties.matrix.trial import watchers

import holdfast.properties.matrix  # noqa: F401 - registers them
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.engine import turn
from holdfast.core.engine.open_sessions import SessionScan
from holdfast.properties.defects import Defect, defects, plant
from holdfast.properties.defects import defect as defect_module
from holdfast.properties.defects.defect import Change, Changes, around, defect, replaced, statements
from holdfast.properties.judging.registry import selected
from holdfast.properties.spec import rows
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store, turns
from holdfast.sim.exploring.checks import run_check
from holdfast.sim.exploring.explorer import Run, run_schedule
from holdfast.sim.strategies import Fifo, RandomWalk
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.limits import Limits
from holdfast.sim.toolkit.scenario import scenarios

BOUND = 20
"""Schedules within which a defect is caught, the plain one first."""

LIMITS = Limits(max_steps_in_all=5_000)
"""As in a hunt: with a defect some runs have no end."""

STORES = {"memory": memory_store, "sqlite": sqlite_store}


def schedules(scenario: str, factory: StoreFactory) -> Iterator[Run]:
    """The plain schedule and then random ones; one that needs no world is run once."""
    if not scenarios()[scenario].explored:
        yield run_check(scenarios()[scenario], factory)
        return
    walk = RandomWalk(1)
    for number in range(BOUND):
        strategy = walk if number else Fifo()
        strategy.begin(max(number - 1, 0))
        yield run_schedule(scenarios()[scenario], factory, strategy, watchers=watchers, limits=LIMITS)


def attributes() -> dict[tuple[str, str], object]:
    """All that a defect may replace: what stands in the product's modules, and in their classes."""
    product = [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith(("holdfast.core.", "holdfast.providers."))
    ]
    owners: list[object] = [*product]
    for module in product:
        owners += [
            each
            for each in vars(module).values()
            if isinstance(each, type) and each.__module__ == module.__name__
        ]
    return {(repr(owner), name): value for owner in owners for name, value in vars(owner).items()}


def different(one: dict[tuple[str, str], object], other: dict[tuple[str, str], object]) -> list[object]:
    return [place for place, value in one.items() if other.get(place) is not value]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("defect", defects().values(), ids=lambda defect: defect.name)
def test_a_defect_is_caught_by_the_property_meant_for_it(defect: Defect, store: str) -> None:
    """Issue 2, done when 4: within the bound; and once it is out, all is as it was before."""
    before = attributes()
    with plant(defect.name):
        assert different(before, attributes())
        caught = any(
            failure.rule == defect.caught_by
            for run in schedules(defect.scenario, STORES[store])
            for failure in run.failures
        )
    assert caught, f"{defect.caught_by} says nothing in {BOUND} schedules of {defect.scenario}"
    assert not different(before, attributes())


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("scenario", sorted({defect.scenario for defect in defects().values()}))
def test_without_a_defect_the_same_schedules_break_nothing(scenario: str, store: str) -> None:
    """The property says something of the defect, not of the scenario."""
    for run in schedules(scenario, STORES[store]):
        assert run.error is None and run.cut_off is None, run
        assert not run.failures


def test_there_are_enough_of_each_kind() -> None:
    """Issue 2: fifteen, of which five in providers, four in worker or lease manager, three and three."""
    areas = [defect.where for defect in defects().values()]
    assert len(areas) >= 15
    assert areas.count("provider") >= 5
    assert areas.count("worker") + areas.count("lease manager") >= 4
    assert areas.count("orchestration dispatcher") >= 3
    assert areas.count("engine") + areas.count("codec") >= 3
    demanding = [one for one in defects().values() if "two workers" in one.needs or "fault" in one.needs]
    assert len(demanding) >= 5
    assert {"items_without_session", "claims_of_taken_sessions"} <= defects().keys()


def test_defects_name_rows_and_rules_that_exist() -> None:
    """A defect without its property would go unnoticed."""
    known = {row.id for row in rows()}
    for one in defects().values():
        assert one.title and one.rows and known.issuperset(one.rows), one
        assert one.scenario in scenarios(), one
        assert one.elsewhere is None or scenarios()[one.elsewhere].explored, one
        assert one.caught_by in known or [kind.id for kind in selected([one.caught_by])], one


def test_a_defect_nobody_knows_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'items_without_session'"):
        plant("item_without_session")
    with pytest.raises(ConfigurationError, match=r"there are .*closes_are_kept_back, "):
        plant("x")


def test_a_defect_that_the_product_has_outgrown_says_so() -> None:
    with pytest.raises(LookupError, match="no 'gone' any more"), replaced(Change(turn, "gone", None)):
        pass
    with pytest.raises(LookupError, match="no 'gone' any more"):
        around(turn, "gone", lambda gone: gone())
    with pytest.raises(LookupError, match="'lock_instance' has no 'gone' any more"):
        statements(turns, ("lock_instance", "gone", ""))


def test_a_defect_has_its_name_and_title_from_what_it_stands_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class is named as a function would be; what more its docstring says is no title."""
    monkeypatch.setattr(defect_module, "REGISTERED", {})

    @defect("engine", "7.3 7.4", "session_closed_under_its_handler", needs="a close")
    class ClosesDoNothing(SessionScan):
        """A close
        does nothing.

        None at all.
        """

    made = defect_module.REGISTERED["closes_do_nothing"]
    assert (made.name, made.title) == ("closes_do_nothing", "A close does nothing")
    assert (made.caught_by, made.rows, made.needs) == ("7.3", ("7.3", "7.4"), "a close")
    with made.planted():
        assert turn.SessionScan is ClosesDoNothing


def test_a_name_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defect_module, "REGISTERED", defects())

    def items_without_session() -> Changes:
        yield Change(turn, "SessionScan", None)

    with pytest.raises(ValueError, match="two planted defects are called 'items_without_session'"):
        defect("engine", "7.3", "session_closed_under_its_handler")(items_without_session)


def test_a_class_that_stands_in_for_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defect_module, "REGISTERED", {})

    @defect("engine", "7.3", "session_closed_under_its_handler")
    class Stray:
        """It changes nothing."""

    with pytest.raises(LookupError, match="Stray'> stands in for nothing"):
        defect_module.REGISTERED["stray"].planted()
