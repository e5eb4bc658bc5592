"""Matrix section 16: how session ids are written, and what older text means."""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.core.contract import codec
from holdfast.core.contract.events import ActivityScheduled, SessionClosed, SessionOpened
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.sim import scenario

IDS: Final = (
    "X",
    "session-1-2",
    'quoted " and \\ and \n and \x00',
    "caf\u00e9",
    "cafe\u0301",
    "\u4f1a\u8bdd \U0001f512",
    " blank ",
    "null",
)
"""Session ids of all sorts of characters."""

OLD_ITEM: Final = b'{"ActivityExecute":{"instance":"i","execution_id":1,"id":2,"name":"look","input":"x"}}'
OLD_EVENT: Final = (
    b'{"event_id":2,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":7,'
    b'"duroxide_version":"0.1.31","type":"ActivityScheduled","name":"look","input":"x"}'
)
"""An item and an event as they were written before there were sessions."""


def _item(session_id: str | None, tag: str | None = None) -> ActivityExecute:
    return ActivityExecute(
        instance="i", execution_id=1, id=2, name="look", input="x", session_id=session_id, tag=tag
    )


def _members(text: bytes) -> dict[str, object]:
    """The members of an encoded item."""
    return msgspec.json.decode(text, type=dict[str, dict[str, object]])["ActivityExecute"]


@scenario(covers=["16.1", "SS-11.3", "SS-11.9"], workers=0, level="unit")
async def session_id_none_omitted_in_json() -> None:
    """No session means no key in the item."""
    assert "session_id" not in _members(codec.encode_work_item(_item(None)))
    assert "session_id" not in _members(codec.encode_work_item(_item(None, tag="gpu")))
    assert codec.encode_work_item(_item(None)) == OLD_ITEM, "as before the feature, byte for byte"


@scenario(covers=["16.2", "SS-11.3"], workers=0, level="unit")
async def session_id_present_in_json() -> None:
    """A session id is written as a string."""
    assert b'"session_id":"X"' in codec.encode_work_item(_item("X"))
    for session_id in IDS:
        assert _members(codec.encode_work_item(_item(session_id)))["session_id"] == session_id


@scenario(covers=["16.3", "SS-11.4"], workers=0, level="unit")
async def old_workitem_without_session_id_deserializes() -> None:
    """Items from before the feature decode."""
    assert codec.decode_activity(OLD_ITEM).session_id is None
    assert codec.decode_work_item(OLD_ITEM.decode()) == _item(None)


@scenario(covers=["16.4", "SS-11.4", "SS-11.2"], workers=0, level="unit")
async def old_event_without_session_id_deserializes() -> None:
    """ActivityScheduled events from before the feature decode."""
    for decode in (codec.decode_event, codec.decode_stored_event):
        event = decode(OLD_EVENT)
        assert isinstance(event, ActivityScheduled) and event.session_id is None, event
        assert codec.encode_event(event) == OLD_EVENT, codec.encode_event(event)


@scenario(covers=["16.5", "SS-11.1"], workers=0, level="unit")
async def session_events_serialize_roundtrip() -> None:
    """Session events survive encoding."""
    for kind in (SessionOpened, SessionClosed):
        for session_id in IDS:
            event = kind(
                event_id=3,
                instance_id="i",
                execution_id=1,
                timestamp_ms=7,
                duroxide_version="0.1.32",
                session_id=session_id,
            )
            text = codec.encode_event(event)
            assert codec.decode_event(text) == event, text
            assert codec.decode_stored_event(text) == event, text
            assert msgspec.json.decode(text)["type"] == kind.__name__, text
