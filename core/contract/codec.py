"""Events and work items to their wire JSON and back (RT-2, RT-3, SS-11).

Compact JSON, members in the reference's order, unknown members ignored. What is malformed or of an unknown
kind raises `CodecError`; `decode_stored_event` alone lets an unknown *event* kind through, because a provider
must hand back what it was given (PV-1.4).

What is read may be anything that a column can hold: readers take any object, and each ends in a value or in a
`CodecError` (PV-14.8, PV-14.9).
"""

from typing import Any

import msgspec

from holdfast.core.contract.errors import CodecError
from holdfast.core.contract.events import KNOWN_KINDS, Event, OpaqueEvent, StoredEvent, kind_of
from holdfast.core.contract.user_texts import excerpt
from holdfast.core.contract.work_items import MESSAGE_KINDS, ActivityExecute, Message, WorkItem, stored_name

_encoder = msgspec.json.Encoder()

# msgspec writes the tag first; the reference writes it after the common members (RT-2.1). The key below
# cannot occur inside a JSON string, where every quote is escaped, so the first match is the member.
_LAST_COMMON_MEMBER = b'"duroxide_version":"'
_TYPE_MEMBER: dict[type[Event], bytes] = {
    kind: b'"type":"' + str(kind.__struct_config__.tag).encode() + b'",' for kind in KNOWN_KINDS
}

_EventUnion: Any = None
for _kind in KNOWN_KINDS:
    _EventUnion = _kind if _EventUnion is None else _EventUnion | _kind
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(_EventUnion)


class _Envelope(msgspec.Struct):
    """What a provider must understand of an event of unknown kind."""

    event_id: int
    type: str


_BACKSLASH = 0x5C
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_KNOWN_NAMES = frozenset(str(kind.__struct_config__.tag) for kind in KNOWN_KINDS)
assert len(_KNOWN_NAMES) == len(KNOWN_KINDS), "two kinds of events are stored under one name"


def encode_event(event: StoredEvent) -> bytes:
    """The stored form of an event (RT-2.1). Raises CodecError if a text is not encodable as UTF-8."""
    if isinstance(event, OpaqueEvent):
        return event.encoded
    try:
        text = _encoder.encode(event)
    except (UnicodeEncodeError, msgspec.EncodeError) as error:
        raise CodecError(f"event {event.event_id} ({kind_of(event)}) cannot be encoded: {error}") from None
    member = _TYPE_MEMBER[type(event)]
    assert text.startswith(member, 1), f"the type is not the first member any more: {text!r}"
    version_at = text.index(_LAST_COMMON_MEMBER) + len(_LAST_COMMON_MEMBER)
    common_end = _end_of_string(text, version_at)
    assert text[common_end] in b",}", f"the version ends at {common_end}, in the middle of {text!r}"
    common = text[len(member) + 1 : common_end]
    rest = text[common_end:]
    return b"{" + common + b"," + member[:-1] + rest


def _end_of_string(text: bytes, begin: int) -> int:
    """The place after the quote that ends the JSON string whose characters begin here."""
    quote = text.index(b'"', begin)
    while text[quote - 1] == _BACKSLASH:
        escapes = text[begin:quote]
        if (len(escapes) - len(escapes.rstrip(b"\\"))) % 2 == 0:
            break  # the backslash before it is itself escaped
        quote = text.index(b'"', quote + 1)
    return quote + 1


_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What a decoder raises for a text: malformed, not UTF-8, of other types, or nested too deeply."""


def decode_event(stored: object) -> Event:
    """The event a stored text holds. Raises CodecError if malformed or of an unknown kind (RT-2.4)."""
    text = _text_of(stored)
    try:
        return _event_decoder.decode(text)
    except _UNREADABLE as error:
        raise CodecError(f"not an event this version knows: {error}: {_excerpt(text)}") from None


def decode_stored_event(stored: object) -> StoredEvent:
    """As `decode_event`, but an event of an unknown kind comes back whole as `OpaqueEvent` (PV-1.4)."""
    text = _text_of(stored)
    try:
        return _event_decoder.decode(text)
    except _UNREADABLE as error:
        opaque = opaque_event(text)
        if opaque.kind in _KNOWN_NAMES:
            raise CodecError(f"malformed {opaque.kind} event: {error}: {_excerpt(text)}") from None
        return opaque


def opaque_event(stored: object) -> OpaqueEvent:
    """An event of an unknown kind, from its JSON. Raises CodecError if it has no number or no kind."""
    text = _text_of(stored)
    try:
        encoded = text.encode() if isinstance(text, str) else text
        envelope = _envelope_decoder.decode(encoded)
    except _UNREADABLE as error:
        raise CodecError(f"not an event: {error}: {_excerpt(text)}") from None
    return OpaqueEvent(event_id=envelope.event_id, kind=envelope.type, encoded=encoded)


_WORK_ITEM_KINDS: tuple[type[WorkItem], ...] = (*MESSAGE_KINDS, ActivityExecute)
_ITEM_PREFIX: dict[type[WorkItem], bytes] = {
    kind: b'{"' + stored_name(kind).encode() + b'":' for kind in _WORK_ITEM_KINDS
}
_item_decoders: dict[str, msgspec.json.Decoder[WorkItem]] = {
    stored_name(kind): msgspec.json.Decoder(kind) for kind in _WORK_ITEM_KINDS
}
assert len(_item_decoders) == len(_WORK_ITEM_KINDS), "two kinds of items are stored under one name"
_wrapper_decoder: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode_work_item(item: WorkItem) -> bytes:
    """The queued form: an object with one member, the kind (RT-3.1). Raises CodecError on bad text."""
    try:
        return _ITEM_PREFIX[type(item)] + _encoder.encode(item) + b"}"
    except (UnicodeEncodeError, msgspec.EncodeError) as error:
        raise CodecError(f"{stored_name(type(item))} cannot be encoded: {error}") from None


def decode_work_item(stored: object) -> WorkItem:
    """The item a queued text holds. Raises CodecError if malformed or of an unknown kind (RT-3.3)."""
    text = _text_of(stored)
    try:
        wrapper = _wrapper_decoder.decode(text)
        if len(wrapper) != 1:
            raise CodecError(
                f"a work item has one member, its kind; this has {len(wrapper)}: {_excerpt(text)}"
            )
        ((kind, body),) = wrapper.items()
        decoder = _item_decoders.get(kind)
        if decoder is None:
            raise CodecError(f"unknown kind of work item {kind!r}: {_excerpt(text)}")
        return decoder.decode(body)
    except _UNREADABLE as error:
        raise CodecError(f"not a work item: {error}: {_excerpt(text)}") from None


def decode_message(stored: object) -> Message:
    """An entry of the orchestrator queue. Raises CodecError for anything else (PV-2.9)."""
    item = decode_work_item(stored)
    if isinstance(item, ActivityExecute):
        raise CodecError(f"ActivityExecute does not belong in the orchestrator queue: {item.name!r}")
    return item


def decode_activity(stored: object) -> ActivityExecute:
    """An entry of the worker queue. Raises CodecError for anything else (RT-3.6)."""
    item = decode_work_item(stored)
    if not isinstance(item, ActivityExecute):
        raise CodecError(f"{stored_name(type(item))} does not belong in the worker queue: {item!r:.80}")
    return item


def decode_text(stored: object) -> str:
    """A stored text that is no JSON, such as a name. Raises CodecError if it is none."""
    text = _text_of(stored)
    try:
        return (text.encode() if isinstance(text, str) else text).decode()
    except UnicodeError as error:
        raise CodecError(f"a text that is not UTF-8: {error}") from None


def decode_number(stored: object) -> int:
    """A stored number. Raises CodecError for anything else, a fraction included."""
    if type(stored) is not int:
        raise CodecError(f"{stored!r:.80} stands where a whole number is expected")
    return stored


def _text_of(stored: object) -> bytes | str:
    """What stands in a column that should hold a text; of whatever type a store has handed it out."""
    if isinstance(stored, (str, bytes)):
        return stored
    raise CodecError(f"{stored!r:.80}, of type {type(stored).__name__}, stands where a text is expected")


def _excerpt(text: bytes | str) -> str:
    return excerpt(text if isinstance(text, str) else bytes(text).decode(errors="replace"))
