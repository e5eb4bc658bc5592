"""A provider that changes what it stores is to blame for what a scenario chokes on (PV-1.2, PV-2.15)."""

from typing import Any

import pytest
from click.testing import CliRunner
from tests.properties.judging.story import event, started

from holdfast.campaign.blocks import subject_of
from holdfast.campaign.providers import find_provider
from holdfast.campaign.single import Subject, run_once
from holdfast.cli import main
from holdfast.core.contract import events
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.provider import ExecutionMetadata, FetchedTurn, FetchedWork, OrchestrationItem
from holdfast.core.contract.work_items import ActivityExecute, ExternalRaised
from holdfast.properties.judging.fidelity import altered
from holdfast.sim import World, make_strategy, scenario
from holdfast.traces.record import Commit

COLUMNS = "tests.providers.conformance.columns"


def one_run(subject: Subject) -> Any:
    strategy = make_strategy("random", 0)
    strategy.begin(0)
    return run_once(subject, strategy)


def test_pv_2_15_the_provider_is_blamed_not_the_scenario_that_chokes() -> None:
    """PV-2.15: the run has no error, and what was changed is the first thing said."""
    run = one_run(subject_of("ids_compared_exactly", find_provider(f"{COLUMNS}:cut_at_255")))
    assert run.error is None, run.error
    first = run.failures[0]
    assert first.rule == "MODEL", run.failures
    assert first.message.startswith("PV-2.15: the provider changed what it stored: "), first
    assert "255)" in first.message, first


@pytest.mark.parametrize("name", ["ids_compared_exactly", "PVC-313"])
def test_pv_2_15_a_check_of_such_a_provider_ends_with_a_violation(name: str, tmp_path: Any) -> None:
    """PV-2.15: exit code 1, with the scenario alone and with the conformance check alone."""
    few = ("--schedules", "2", "--jobs", "1", "--out", str(tmp_path / "report"))
    done = CliRunner().invoke(main, ["check", name, "--provider", f"{COLUMNS}:cut_at_255", *few])
    assert done.exit_code == 1, done.output
    assert "PV-2.15" in done.output and "verdict: violated" in done.output, done.output
    assert "unknown ids_compared_exactly" not in done.output, done.output


def test_a_run_on_a_right_provider_is_read_no_further() -> None:
    run = one_run(subject_of("ids_compared_exactly", find_provider("memory")))
    assert not run.failures and run.stored == {}


def test_a_scenario_that_raises_by_its_own_fault_stays_unknown() -> None:
    """No provider is blamed for what it did not do."""

    @scenario(covers=["PV-2.15"], register=False)
    async def raises_by_itself(world: World) -> None:
        """Raises."""
        await world.client.raise_event("i", "name", "data")
        raise RuntimeError("mistake")

    run = one_run(Subject(raises_by_itself, find_provider("memory")))
    assert run.error == "the scenario raised RuntimeError('mistake')"
    assert run.failures == []


# --- altered, told by hand --------------------------------------------------------------------------------


def commit(position: int, operation: str, result: Any = None, **arguments: Any) -> Commit:
    return Commit(position, "p", 1, operation, arguments, "answered", result, None, 0, 0)


def turn(*messages: Any, history: tuple[Any, ...] = ()) -> FetchedTurn:
    item = OrchestrationItem(
        instance="i", orchestration_name="o", execution_id=1, version="1", history=history, messages=messages
    )
    return FetchedTurn(item, LockToken("t"), 1)


def ack(position: int, *delta: Any, work: tuple[Any, ...] = ()) -> Commit:
    return commit(
        position,
        "ack_orchestration_item",
        token=LockToken("t"),
        execution_id=1,
        history_delta=delta,
        worker_items=work,
        orchestrator_items=(),
        metadata=ExecutionMetadata(),
        cancelled_activities=(),
    )


def signal(data: str) -> ExternalRaised:
    return ExternalRaised(instance="i", name="n", data=data)


def task(input: str) -> ActivityExecute:
    return ActivityExecute(instance="i", execution_id=1, id=2, name="Task", input=input)


def fetch(position: int, found: FetchedTurn) -> Commit:
    asked = {"lock_timeout": 1, "poll_timeout": 0, "filter": None}
    return commit(position, "fetch_orchestration_item", found, **asked)


def test_pv_1_2_a_message_that_comes_out_changed_is_found() -> None:
    sent = [commit(1, "enqueue_for_orchestrator", item=signal(text), delay=None) for text in ("a ", "b")]
    assert altered([*sent, fetch(2, turn(signal("b"), signal("a ")))]) is None
    found = altered([*sent, fetch(2, turn(signal("b"), signal("a")))])
    assert found is not None and found.position == 2
    assert "a ExternalRaised whose data was 'a ' and is 'a' from character 0" in found.message, found


def test_pv_10_9_an_item_that_comes_out_changed_is_found() -> None:
    asked = {"lock_timeout": 1, "poll_timeout": 0, "tag_filter": None}
    item = FetchedWork(task("x" * 255), LockToken("w"), 1)
    found = altered(
        [fetch(1, turn()), ack(2, work=(task("x" * 256),)), commit(3, "fetch_work_item", item, **asked)]
    )
    assert found is not None and "(256 characters became 255)" in found.message, found


def test_pv_5_9_an_event_that_is_stored_changed_is_found_wherever_it_is_read() -> None:
    """PV-1.2: in the history of a turn, in a read, and in what the store holds at the end."""
    said, kept = (event(events.ExternalEvent, 2, name="n", data=data) for data in ("a\r\n", "a\n"))
    begun = [fetch(1, turn()), ack(2, started(), said)]
    for last in (fetch(3, turn(history=(started(), kept))), commit(3, "read", [kept], instance_id="i")):
        found = altered([*begun, last])
        assert found is not None and "whose data was" in found.message, found
    found = altered(begun, {"i": [started(), kept]})
    assert found is not None and "the history of 'i' has" in found.message, found
    assert altered(begun, {"i": [started(), said]}) is None


def test_what_nothing_like_it_went_in_for_is_passed_over() -> None:
    """A scenario may put things in by other ways: nobody is blamed for them."""
    assert altered([fetch(1, turn(signal("a")))], {"j": [started()]}) is None


def test_after_a_run_that_went_wrong_a_file_is_read_too() -> None:
    """The histories are read on the store's own loop, on every provider."""

    @scenario(covers=["PV-2.15"], register=False)
    async def raises_after_all(world: World) -> None:
        """Raises."""
        await world.client.start_orchestration("i", "nothing")
        raise RuntimeError("mistake")

    run = one_run(Subject(raises_after_all, find_provider("sqlite")))
    assert run.error == "the scenario raised RuntimeError('mistake')"
