"""The stored form of events and work items: byte for byte the reference's, and back (RT-2, RT-3, SS-11)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.contract import codec, events, work_items
from holdfast.core.contract.codec import (
    decode_activity,
    decode_event,
    decode_message,
    decode_stored_event,
    decode_work_item,
    encode_event,
    encode_work_item,
)
from holdfast.core.contract.errors import CodecError
from holdfast.core.contract.events import Event, OpaqueEvent
from holdfast.core.contract.failures import (
    Application,
    Cancelled,
    CancelledKind,
    Configuration,
    FailedDeserialization,
    FailureDetails,
    Infrastructure,
    Poison,
    PoisonActivity,
    PoisonedMessage,
    PoisonOrchestration,
)
from holdfast.core.contract.work_items import WorkItem

DATA = Path(__file__).parent / "data"
"""Lines the reference has really written (runtime.md 2.3 and 3.4, marked [obs] there)."""

ENVELOPE = '"instance_id":"i","execution_id":1,"timestamp_ms":5,"duroxide_version":"0.1.32"'
ITEM_KINDS = (*work_items.MESSAGE_KINDS, work_items.ActivityExecute)


def observed_events() -> list[str]:
    """The first line is whole; the others leave three members of the envelope out, which are put in here."""
    first, *others = (DATA / "observed_events.jsonl").read_text(encoding="utf-8").splitlines()
    filled = []
    for line in others:
        before, after = line.split(',"execution_id":1,', 1)
        filled.append(f"{before},{ENVELOPE},{after}")
    return [first, *filled]


@pytest.mark.parametrize("line", observed_events())
def test_observed_events_are_written_as_they_were_read(line: str) -> None:
    """RT-2.1 to RT-2.3, RT-2.5, RT-2.11 to RT-2.14."""
    assert encode_event(decode_event(line)).decode() == line


@pytest.mark.parametrize(
    "line", (DATA / "observed_work_items.jsonl").read_text(encoding="utf-8").splitlines()
)
def test_observed_work_items_are_written_as_they_were_read(line: str) -> None:
    """RT-3.1, RT-3.2, RT-3.4."""
    assert encode_work_item(decode_work_item(line)).decode() == line


# --- every value of every kind ------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers(0, 2**63 - 1)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)

details = st.one_of(
    st.builds(
        FailureDetails,
        infrastructure=st.builds(Infrastructure, operation=texts, message=texts, retryable=st.booleans()),
    ),
    st.builds(
        FailureDetails,
        configuration=st.builds(
            Configuration, kind=st.just("Nondeterminism"), resource=texts, message=st.none() | texts
        ),
    ),
    st.builds(
        FailureDetails,
        application=st.builds(
            Application,
            kind=st.sampled_from(["ActivityFailed", "OrchestrationFailed", "Panicked"])
            | st.builds(CancelledKind, st.builds(Cancelled, texts)),
            message=texts,
            retryable=st.booleans(),
        ),
    ),
    st.builds(
        FailureDetails,
        poison=st.builds(
            Poison,
            attempt_count=numbers,
            max_attempts=numbers,
            message=texts,
            message_type=st.builds(
                PoisonedMessage,
                orchestration=st.builds(PoisonOrchestration, instance=texts, execution_id=numbers),
            )
            | st.builds(
                PoisonedMessage,
                activity=st.builds(
                    PoisonActivity,
                    instance=texts,
                    execution_id=numbers,
                    activity_name=texts,
                    activity_id=numbers,
                ),
            )
            | st.builds(
                PoisonedMessage,
                failed_deserialization=st.builds(
                    FailedDeserialization, instance=texts, execution_id=numbers, error=texts
                ),
            ),
        ),
    ),
)

_BY_ANNOTATION: dict[Any, st.SearchStrategy[Any]] = {
    int: numbers,
    str: texts,
    int | None: st.none() | numbers,
    str | None: st.none() | texts,
    FailureDetails: details,
    tuple[str, ...]: st.lists(texts, max_size=3).map(tuple),
    tuple[tuple[str, str], ...]: pairs,
    tuple[tuple[str, str], ...] | None: st.none() | pairs,
}


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Every value of a kind, from the types of its members."""
    members = {field.name: _BY_ANNOTATION[field.type] for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **members)


@pytest.mark.parametrize("version", ['"', "\\", '\\"', '\\\\"', 'a"b"', '"type":"X"'])
def test_a_version_text_may_hold_quotes_and_backslashes(version: str) -> None:
    """RT-2.1: where the common members end does not depend on what is in them."""
    event = events.TimerFired(
        event_id=1,
        source_event_id=1,
        instance_id='"i"',
        execution_id=1,
        timestamp_ms=0,
        duroxide_version=version,
        fire_at_ms=5,
    )
    assert decode_event(encode_event(event)) == event


@given(st.one_of(*(any_of(kind) for kind in events.KNOWN_KINDS)))
def test_every_event_survives(event: Event) -> None:
    """RT-2, SS-11.1: decoding undoes encoding, and the kind stands after the common members."""
    text = encode_event(event)
    assert decode_event(text) == event
    assert decode_stored_event(text) == event
    members = list(msgspec.json.decode(text, type=dict[str, Any]))
    assert members[:7] == [
        "event_id",
        "source_event_id",
        "instance_id",
        "execution_id",
        "timestamp_ms",
        "duroxide_version",
        "type",
    ]


@given(st.one_of(*(any_of(kind) for kind in ITEM_KINDS)))
def test_every_work_item_survives(item: WorkItem) -> None:
    """RT-3.1, SS-11.3, SS-11.6."""
    assert decode_work_item(encode_work_item(item)) == item


# --- leniency and strictness --------------------------------------------------------------------------------


def test_member_order_and_unknown_members_do_not_matter() -> None:
    """RT-2.3, RT-2.5, RT-3.2."""
    line = '{"type":"TimerFired","future":1,"fire_at_ms":7,"event_id":2,' + ENVELOPE + "}"
    event = decode_event(line)
    assert isinstance(event, events.TimerFired)
    assert (event.source_event_id, event.fire_at_ms) == (None, 7)
    item = decode_work_item('{"ExternalRaised":{"data":"d","later":[1],"instance":"i","name":"n"}}')
    assert item == work_items.ExternalRaised(instance="i", name="n", data="d")


@pytest.mark.parametrize(
    "body",
    [
        '"type":"Unheard"',
        '"type":"ExternalSubscribed2","name":"n","topic":"t"',
        '"type":"TimerFired"',
        '"type":"TimerFired","fire_at_ms":"soon"',
        '"name":"no kind"',
    ],
)
def test_unknown_kinds_and_missing_members_are_refused(body: str) -> None:
    """RT-2.4, RT-2.16."""
    with pytest.raises(CodecError):
        decode_event('{"event_id":2,"source_event_id":null,' + ENVELOPE + "," + body + "}")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"event_id":', "\xff"])
def test_malformed_text_is_refused(text: str) -> None:
    """RT-2.4, RT-3.3."""
    for decode in (decode_event, decode_stored_event, decode_work_item):
        with pytest.raises(CodecError):
            decode(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"Unheard":{}}',
        '{"TimerFired":{"instance":"i"}}',
        '{"CancelInstance":{"instance":"i","reason":"r"},"ExternalRaised":{}}',
        "{}",
    ],
)
def test_bad_work_items_are_refused(text: str) -> None:
    """RT-3.1, RT-3.3."""
    with pytest.raises(CodecError):
        decode_work_item(text)


def test_each_queue_has_its_kinds() -> None:
    """RT-3.6."""
    activity = work_items.ActivityExecute(instance="i", execution_id=1, id=2, name="A", input="")
    cancel = work_items.CancelInstance(instance="i", reason="r")
    assert decode_activity(encode_work_item(activity)) == activity
    assert decode_message(encode_work_item(cancel)) == cancel
    with pytest.raises(CodecError, match="orchestrator queue"):
        decode_message(encode_work_item(activity))
    with pytest.raises(CodecError, match="worker queue"):
        decode_activity(encode_work_item(cancel))


def test_an_event_of_the_future_is_kept_whole() -> None:
    """PV-1.4: by a provider; a runtime refuses it (RT-2.4)."""
    line = '{"event_id":9,"type":"Unheard","x":[1,2]}'
    event = decode_stored_event(line)
    assert event == OpaqueEvent(event_id=9, kind="Unheard", encoded=line.encode())
    assert encode_event(event).decode() == line


def test_session_members_are_left_out_when_there_are_none() -> None:
    """SS-11.2 to SS-11.4, SS-11.6, SS-11.7, SS-11.9."""
    plain = work_items.ActivityExecute(instance="i", execution_id=1, id=2, name="A", input="")
    assert b"session_id" not in encode_work_item(plain)
    bound = work_items.ActivityExecute(instance="i", execution_id=1, id=2, name="A", input="", session_id="s")
    assert b'"session_id":"s"' in encode_work_item(bound)
    again = work_items.ContinueAsNewMessage(instance="i", orchestration="o", input="")
    assert b"open_sessions" not in encode_work_item(again)
    assert decode_work_item(encode_work_item(again)) == again


def test_a_key_value_without_time_reads_as_zero_and_is_written() -> None:
    """RT-2.2."""
    line = '{"event_id":2,"source_event_id":null,' + ENVELOPE + ',"type":"KeyValueSet","key":"k","value":"v"}'
    event = decode_event(line)
    assert isinstance(event, events.KeyValueSet)
    assert event.last_updated_at_ms == 0
    assert encode_event(event).endswith(b'"last_updated_at_ms":0}')


def test_texts_that_are_no_utf8_are_refused_by_name() -> None:
    """RT-0: strings in JSON are UTF-8."""
    with pytest.raises(CodecError, match="ExternalRaised"):
        encode_work_item(work_items.ExternalRaised(instance="i", name="n", data="\ud800"))


def test_an_encoder_that_orders_members_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """RT-2.1: the type is moved behind the common members, which relies on where it was written."""
    event = events.QueueEvent(
        event_id=1,
        instance_id="i",
        execution_id=1,
        timestamp_ms=5,
        duroxide_version="0.1.32",
        name="n",
        data="",
    )
    written = encode_event(event)
    monkeypatch.setattr(codec, "_encoder", SimpleNamespace(encode=lambda _: written))
    with pytest.raises(AssertionError, match="not the first member"):
        encode_event(event)
