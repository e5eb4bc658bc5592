"""The suite itself: complete against the specification's data, honest about skips, usable anywhere."""

import asyncio
import dataclasses
import inspect
from typing import Any

import pytest

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.spec.load import SpecCheck as CheckData
from holdfast.properties.spec.load import checks
from holdfast.providers.conformance import CHECKS, CheckResult, Factory, run_check, run_suite
from holdfast.providers.conformance.catalogue import MODULES
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.sqlite import sqlite_store

DATA: dict[str, CheckData] = {each.id: each for each in checks()}
SQLITE = Factory(create=sqlite_store, long_polling=True)

LEFT_OUT = {
    "PVC-349": "kills a process",
    "PVC-350": "starts six processes",
    "PVC-355": "runs the runtime",
    "PVC-356": "runs the runtime",
    "PVC-392": "holds the file of one provider",
    "PVC-394": "starts two processes",
}
NEED_THE_FACTORY = {"PVC-283", "PVC-354", "PVC-389", "PVC-405"}


def test_every_registered_check_agrees_with_the_data() -> None:
    """PV-33.3: ids, names, profiles and kinds of polling are those of provider-checks.toml."""
    for id, check in CHECKS.items():
        data = DATA[id]
        assert (check.name, check.profile, check.polling) == (data.name, data.profile, data.polling), id


def test_all_explicit_checks_are_there() -> None:
    """SS: every check of the profile `explicit` is in the suite."""
    explicit = {id for id, data in DATA.items() if data.profile == "explicit"}
    assert len(explicit) == 76
    assert explicit == {id for id, check in CHECKS.items() if check.profile == "explicit"}


def test_what_is_left_out_is_listed_with_its_reason() -> None:
    """All core checks are in the suite but those of one server and the ones listed."""
    expected = {id for id, data in DATA.items() if data.profile == "core" and data.category != "postgres"}
    core = {id for id, check in CHECKS.items() if check.profile == "core"}
    assert expected - core == LEFT_OUT.keys()
    assert core <= expected


def test_every_check_states_its_claim() -> None:
    """The docstring of a check is a sentence."""
    for id, check in CHECKS.items():
        claim = inspect.getdoc(check.body)
        assert claim is not None and claim.rstrip().endswith("."), id


def test_every_module_of_checks_is_in_the_catalogue() -> None:
    """A check belongs to one of the modules listed."""
    modules = {module.__name__ for module in MODULES}
    assert {getattr(check.body, "__module__", "") for check in CHECKS.values()} == modules


class _WithoutHooks:
    """A store that offers what the contract demands and nothing else."""

    def __init__(self, store: Any) -> None:
        self.open = store.open
        self.close = store.close


def test_pv_33_2_checks_are_skipped_exactly_when_the_data_names_a_missing_hook() -> None:
    """PV-33.2: a missing hook skips those checks whose data name one, and only those."""
    bare = dataclasses.replace(
        SQLITE, create=lambda clock, ids: _WithoutHooks(sqlite_store(clock, ids)), rounds=2
    )
    results = asyncio.run(run_suite(bare))
    skipped = {result.id for result in results if result.outcome == "skipped"}
    by_polling = {id for id, data in DATA.items() if data.polling == "short"}
    expected = {id for id in CHECKS if DATA[id].hooks} | by_polling | NEED_THE_FACTORY
    assert skipped == expected & CHECKS.keys()


def test_the_suite_runs_without_a_test_framework() -> None:
    """PV-33.3: the whole suite is one coroutine, and each check gets a result."""
    quick = dataclasses.replace(SQLITE, rounds=2)
    results = asyncio.run(run_suite(quick, profile="explicit"))
    assert [result.id for result in results] == [
        id for id, check in CHECKS.items() if check.profile == "explicit"
    ]
    assert {result.id for result in results if result.outcome != "held"} == {"PVC-283", "PVC-405"}


def test_named_checks_run_in_the_order_given() -> None:
    """run_suite(ids=...) runs just those."""
    results = asyncio.run(run_suite(SQLITE, ids=["PVC-011", "PVC-001"]))
    assert results == [CheckResult(id="PVC-011", outcome="held"), CheckResult(id="PVC-001", outcome="held")]


def test_an_unknown_id_is_refused() -> None:
    """A misspelt id is an error, not a suite of nothing."""
    with pytest.raises(ConfigurationError, match="PVC-999"):
        asyncio.run(run_suite(SQLITE, ids=["PVC-999"]))


def test_a_factory_that_raises_is_a_failure_not_a_crash() -> None:
    """Whatever a provider raises ends as the result of the check."""

    def create(clock: object, ids: object) -> Any:
        raise RuntimeError("no disk")

    result = asyncio.run(run_check(Factory(create=create), CHECKS["PVC-001"]))
    assert result == CheckResult(id="PVC-001", outcome="failed", detail="RuntimeError: no disk")


def test_pv_33_7_the_audit_finds_a_session_that_outlives_its_instance() -> None:
    """PV-33.7: the audit runs after every check and fails it."""
    leaked = SessionRecord("i", "s", None, None)

    async def finish(fx: Fixture) -> None:
        await fx.begin(status="Completed")
        fx.store.session_records = lambda: [leaked]  # type: ignore[attr-defined]

    check = dataclasses.replace(CHECKS["PVC-001"], body=finish)
    open_store = dataclasses.replace(SQLITE, create=lambda clock, ids: _Open(sqlite_store(clock, ids)))
    result = asyncio.run(run_check(open_store, check))
    assert result.outcome == "failed"
    assert "outlives its finished instance" in result.detail


class _Open:
    """A store that lets a test replace its hooks."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
