"""Step records: canonical, the same whatever the provider calls its locks."""

from __future__ import annotations

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.observe import HandlerStarted, Logged
from holdfast.core.contract.provider import (
    ExecutionMetadata,
    FetchedTurn,
    FetchedWork,
    OrchestrationItem,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
)
from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityExecute, StartOrchestration
from holdfast.traces.record import Booted, CallOutcome, Commit, Fault, Local, RunEnd
from holdfast.traces.steps import Describer, Recorder, StepRecord, first_difference, step_of_commit

ITEM = ActivityExecute(instance="i", execution_id=1, id=2, name="say", input="x", session_id="s")
START = StartOrchestration(instance="i", orchestration="o", input="", execution_id=1)


def commit(
    operation: str,
    arguments: dict[str, object],
    *,
    result: object = None,
    error: ProviderError | None = None,
    outcome: CallOutcome = "answered",
    process: str = "a",
    position: int = 0,
) -> Commit:
    return Commit(position, process, 1, operation, arguments, outcome, result, error, 0, 1000)


def fetched(token: str) -> Commit:
    return commit("fetch_session_work_item", {}, result=FetchedWork(ITEM, LockToken(token), 1))


def test_tokens_are_named_by_first_appearance() -> None:
    """Two providers with other tokens give the same records."""
    first, second = Describer(), Describer()
    left = [
        first.describe(fetched("8f-aa")),
        first.describe(commit("abandon_work_item", {"token": "8f-aa"})),
        first.describe(fetched("8f-bb")),
    ]
    right = [
        second.describe(fetched("1")),
        second.describe(commit("abandon_work_item", {"token": "1"})),
        second.describe(fetched("2")),
    ]
    assert left == right
    assert [step.issued for step in left] == ["L1", "", "L2"]
    assert left[1].arguments["token"] == "L1"


def test_a_fetch_touches_item_and_session_and_so_does_what_uses_its_token() -> None:
    describer = Describer()
    fetch = describer.describe(fetched("t"))
    completion = ActivityCompletedMessage(instance="i", execution_id=1, id=2, result="said")
    ack = describer.describe(commit("ack_work_item", {"token": "t", "completion": completion}))
    assert fetch.rows == ("item i/1/2", "session i/s")
    assert fetch.result == "say #2 of i/1 on s"
    assert ack.rows == ("item i/1/2", "session i/s", "instance i")


def test_an_ack_of_a_turn_touches_all_it_changes() -> None:
    describer = Describer()
    turn = OrchestrationItem(
        instance="i",
        orchestration_name="o",
        execution_id=1,
        version="1.0.0",
        history=(),
        messages=(START,),
    )
    fetch = describer.describe(
        commit("fetch_orchestration_item", {}, result=FetchedTurn(turn, LockToken("t"), 1))
    )
    ack = describer.describe(
        commit(
            "ack_orchestration_item",
            {
                "token": "t",
                "worker_items": [ITEM],
                "orchestrator_items": [],
                "metadata": ExecutionMetadata(
                    status="Running", opened_sessions=[ScheduledSessionIdentifier("i", "s")]
                ),
                "cancelled_activities": [ScheduledActivityIdentifier("i", 1, 7)],
            },
        )
    )
    assert fetch.result == "turn of i: StartOrchestration"
    assert ack.rows == ("instance i", "item i/1/2", "session i/s", "item i/1/7")
    assert ack.arguments == {
        "token": "L1",
        "worker_items": ["say #2 of i/1 on s"],
        "status": "Running",
        "opened_sessions": ["s"],
        "cancelled_activities": ["i/1/7"],
    }


def test_the_providers_error_text_is_kept_but_not_compared() -> None:
    def refused(message: str) -> StepRecord:
        error = ProviderError.permanent("ack_work_item", message)
        return Describer().describe(commit("ack_work_item", {"token": "t-17"}, error=error))

    left, right = refused("lock token t-17 is gone"), refused("no such row")
    assert left.error_text == "lock token L1 is gone"
    assert left.error == "permanent"
    assert first_difference([left], [right]) is None


def test_the_first_difference_is_named() -> None:
    steps = [Describer().describe(fetched("t"))]
    other = [Describer().describe(commit("fetch_session_work_item", {}))]
    difference = first_difference(steps, other)
    assert difference is not None and difference.n == 0
    shorter = first_difference(steps, [])
    assert shorter is not None and shorter.replayed is None


def test_a_recorder_keeps_the_order_and_leaves_out_logs_and_what_comes_after_the_end() -> None:
    recorder = Recorder()
    recorder.on_boot(Booted("a", 2, 0))
    recorder.on_commit(fetched("t"))
    recorder.on_local(Local("a", 2, 5, HandlerStarted("w", "t", "i", 1, 2, "s", 1)))
    recorder.on_local(Local("a", 2, 5, Logged("x", "info", {})))
    recorder.on_fault(Fault("stall", "a", 7, 500))
    recorder.on_fault(Fault("provider_clock", None, 8, -500))
    recorder.on_end(RunEnd(9, 3, None))
    recorder.on_commit(fetched("u"))
    assert [(step.n, step.kind, step.operation, step.boot) for step in recorder.steps] == [
        (0, "boot", "boot", 2),
        (1, "commit", "fetch_session_work_item", 1),
        (2, "local", "handler_started", 2),
        (3, "fault", "stall", 2),
        (4, "fault", "provider_clock", 0),
    ]
    assert recorder.steps[2].rows == ("item i/1/2", "session i/s")
    assert recorder.steps[4].arguments == {"amount_ms": -500}
    assert step_of_commit(recorder.steps, 1) == 1


def test_long_texts_are_shortened_and_the_cut_is_counted() -> None:
    item = ActivityCompletedMessage(instance="i", execution_id=1, id=2, result="x" * 1000)
    step = Describer().describe(commit("enqueue_for_orchestrator", {"item": item}))
    assert str(step.arguments["item"]).endswith("… (+920)")
