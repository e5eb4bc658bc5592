"""Whatever is stored comes back unchanged, and as a copy (PV-1.2, PV-2.15, PV-29.2)."""

from __future__ import annotations

import json
from typing import Any

from holdfast.core.contract.codec import decode_message, decode_work_item, encode_work_item, opaque_event
from holdfast.core.contract.events import KNOWN_KINDS
from holdfast.core.contract.provider import ExecutionMetadata
from holdfast.core.contract.work_items import MESSAGE_KINDS, ActivityExecute, StartOrchestration
from holdfast.providers.conformance import expect, settings, texts, unstorable
from holdfast.providers.conformance.carrying import (
    all_kinds_of_completions,
    all_kinds_of_events,
    all_kinds_of_messages,
    as_completions,
    as_events,
    as_messages,
    as_work,
    carried,
    completion,
    concluded,
    event_appended,
    event_of_a_turn,
    message_enqueued,
    message_of_a_turn,
    of_each_member,
    work_enqueued,
    work_of_a_turn,
)
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import (
    WRITTEN_BY,
    activity,
    continue_as_new,
    external,
    kv_set,
    note,
    start,
    started,
    status,
)
from holdfast.providers.conformance.registry import check


@check("PVC-313")
async def payload_with_escaped_nul(fx: Fixture) -> None:
    """Texts of many lengths and ends, NUL and odd Unicode included, come back unchanged from every place."""
    await carried(fx, "m1", message_of_a_turn, as_messages("m1", texts.brief()))
    await carried(fx, "m2", message_enqueued, as_messages("m2", texts.sizes()))
    await carried(fx, "m3", completion, as_completions("m3", texts.sizes()))
    await carried(fx, "w1", work_of_a_turn, as_work("w1", texts.sizes()))
    await carried(fx, "w2", work_enqueued, as_work("w2", texts.sizes()))
    await carried(fx, "e1", event_of_a_turn, as_events(texts.payloads()))
    await carried(fx, "e2", event_appended, as_events(texts.brief()))
    await carried(fx, "k1", message_of_a_turn, all_kinds_of_messages("k1", texts.mixed()))
    long = texts.long()
    messages, events = of_each_member(MESSAGE_KINDS), of_each_member(KNOWN_KINDS)
    await carried(fx, "k5", message_of_a_turn, all_kinds_of_messages("k5", long, messages))
    await carried(fx, "k6", event_of_a_turn, all_kinds_of_events(long, events))
    few = dict(list(texts.mixed().items())[:3])
    await carried(fx, "k4", message_enqueued, all_kinds_of_messages("k4", few))
    await carried(fx, "k2", completion, all_kinds_of_completions("k2", texts.mixed()))
    await carried(fx, "k3", event_of_a_turn, all_kinds_of_events(texts.mixed()))
    await concluded(fx, texts.outside_json(texts.each()))
    await unstorable.raw_nul(fx)


@check("PVC-314")
async def payload_number_fidelity(fx: Fixture) -> None:
    """Texts that look like numbers, JSON, markup or placeholders are not rewritten."""
    looks = texts.whole()
    await carried(fx, "m", message_of_a_turn, as_messages("m", looks))
    await carried(fx, "w", work_of_a_turn, as_work("w", looks))
    await carried(fx, "e", event_of_a_turn, as_events(looks))
    await concluded(fx, dict(list(looks.items())[:24]))


@check("PVC-315")
async def mutating_results_does_not_change_store(fx: Fixture) -> None:
    """Changing a returned item or a list passed in leaves the store as it was."""
    events: list[Any] = [started(), kv_set(2, "k", "v")]
    work, messages = [activity()], [external()]
    await fx.send(start())
    await fx.provider.ack_orchestration_item(
        (await fx.turn()).token,
        execution_id=1,
        history_delta=events,
        worker_items=work,
        orchestrator_items=messages,
        metadata=ExecutionMetadata(
            status="ContinuedAsNew", orchestration_name="Flow", orchestration_version="1"
        ),
        cancelled_activities=[],
    )
    for given in (events, work, messages):
        given.clear()
    turn = await fx.turn()
    for handed_out in (turn.item.history, turn.item.messages, turn.item.kv_snapshot):
        _empty(handed_out)
    _empty(await fx.provider.read("i"))
    _empty(await fx.provider.get_kv_all_values("i"))
    await fx.abandon_turn(turn)
    again = (await fx.turn()).item
    expect.equal(list(again.history), [started(), kv_set(2, "k", "v")], "history")
    expect.equal(list(again.messages), [external()], "messages")
    expect.equal(list(again.kv_snapshot), ["k"], "the snapshot")
    expect.equal(len(await fx.provider.read("i")), 2, "events read")
    expect.equal(await fx.all_work(), [2], "activities")


def _empty(collection: object) -> None:
    """Empty what can be emptied; an immutable collection is safe already."""
    if isinstance(collection, list | dict):
        collection.clear()


@check("PVC-358")
async def unknown_event_kind_opaque(fx: Fixture) -> None:
    """An event of a kind no provider knows, with extra fields, comes back field for field."""
    members = {
        "event_id": 2,
        "source_event_id": None,
        "instance_id": "i",
        "execution_id": 1,
        "timestamp_ms": 1,
        "duroxide_version": WRITTEN_BY,
        "type": "ThingOfTheFuture",
        "extra": {"deep": [1, 2.50, None, "\0"]},
    }
    future = opaque_event(json.dumps(members))
    await fx.begin("i", future, note(3))
    expect.equal(await fx.provider.read("i"), [started(), future, note(3)], "history")
    await fx.send(external())
    turn = await fx.turn()
    expect.equal(list(turn.item.history), [started(), future, note(3)], "history of the turn")
    expect.nothing(turn.item.history_error, "history_error")


@check("PVC-362")
async def encoding_of_optional_fields(fx: Fixture) -> None:
    """Unset session, tag, status and open-session fields are absent from text, and absent means unset."""
    bare = json.loads(encode_work_item(activity()))["ActivityExecute"]
    expect.true("session_id" not in bare and "tag" not in bare, f"unset members are left out of {bare}")
    full = json.loads(encode_work_item(activity(session="s", tag="t")))["ActivityExecute"]
    expect.equal((full["session_id"], full["tag"]), ("s", "t"), "members that are set")
    restart = json.loads(encode_work_item(continue_as_new()))["ContinueAsNew"]
    expect.true(
        "open_sessions" not in restart and "initial_custom_status" not in restart, f"unset: {restart}"
    )
    begin = json.loads(encode_work_item(start(version=None)))["StartOrchestration"]
    nulls = [begin["version"], begin["parent_instance"], begin["parent_id"]]
    expect.equal(nulls, [None, None, None], "members written as null")
    for member in ("version", "parent_instance", "parent_id"):
        del begin[member]
    decoded = decode_message(json.dumps({"StartOrchestration": begin}))
    expect.true(isinstance(decoded, StartOrchestration), "a start without optional members decodes")
    expect.true(
        isinstance(decode_work_item(json.dumps({"ActivityExecute": bare})), ActivityExecute),
        "so does an activity",
    )
    await fx.send(start(), decoded)
    expect.equal((await fx.turn()).item.messages, [start(), decoded], "messages")


@check("PVC-387")
async def memory_rollback_mid_ack(fx: Fixture) -> None:
    """A failure at each step of an acknowledgement, caused by unencodable text, leaves all as before."""
    bad = "\ud800"
    await fx.begin("i", kv_set(2, "k", "v"), status(3, "busy"), opened=["s"], work=[activity(2, session="s")])
    await fx.send(external())
    turn = await fx.turn()
    good: dict[str, Any] = {
        "work": [activity(3)],
        "messages": [external("j")],
        "opened": ["t"],
        "closed": ["s"],
        "status": "Completed",
        "output": "done",
    }
    failing: list[dict[str, Any]] = [
        {"work": [activity(3), activity(4, input=bad)]},
        {"messages": [external("j"), external("j", bad)]},
        {"opened": ["t", bad]},
        {"output": bad},
        {"name": bad, "version": "1"},
    ]
    for step in failing:
        await expect.refused(fx.ack(turn, note(4), kv_set(5, "k", "new"), **{**good, **step}))
        await _unchanged(fx)
    for event in (note(6, bad), status(6, bad), kv_set(6, "k", bad), kv_set(6, bad, "v")):
        await expect.refused(fx.ack(turn, note(4), kv_set(5, "k", "new"), event, **good))
        await _unchanged(fx)
    await fx.ack(turn, note(4), **good)
    await settings.alone(fx, unstorable.refused_everywhere)


async def _unchanged(fx: Fixture) -> None:
    expect.equal(len(await fx.provider.read("i")), 3, "events")
    expect.equal(await fx.provider.get_kv_all_values("i"), {"k": "v"}, "keys")
    expect.equal(await fx.provider.get_custom_status("i", 0), ("busy", 1), "the custom status")
    expect.equal((await fx.management.get_instance_info("i")).status, "Running", "status")
    expect.equal(tuple(await fx.management.get_queue_depths()), (0, 1, 0), "queue depths")
