"""Defects of the codec: of how session ids are written and read."""

from __future__ import annotations

import unicodedata
from typing import Final

from msgspec import structs
from msgspec.json import Decoder

from holdfast.core.contract import codec
from holdfast.core.contract.events import ActivityScheduled, SessionClosed, SessionOpened
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.defects.defect import Change, Changes, Original, defect, original
from holdfast.properties.defects.replacements import encoded

_MAY_BE_ON_A_SESSION: Final = (ActivityScheduled, ActivityExecute)
_NAMES_A_SESSION: Final = (*_MAY_BE_ON_A_SESSION, SessionOpened, SessionClosed)


@defect("codec", "16.1 16.4 31.3 31.8", "session_id_none_omitted_in_json")
def no_session_is_null() -> Changes:
    """An activity without session is written with a session id of null."""

    def with_null(encode: Original, value: object) -> bytes:
        text: bytes = encode(value)
        if isinstance(value, _MAY_BE_ON_A_SESSION) and value.session_id is None:
            return text[:-1] + b',"session_id":null}'
        return text

    yield encoded(with_null)


@defect(
    "codec",
    "16.2 16.5",
    "session_events_serialize_roundtrip",
    caught_by="16.5",
    needs="an id with blanks around it or in another normal form",
)
def session_ids_are_tidied() -> Changes:
    """Session ids are stripped of blanks and brought to one normal form when they are written."""

    def tidied(encode: Original, value: object) -> bytes:
        if isinstance(value, _NAMES_A_SESSION) and value.session_id is not None:
            tidy = unicodedata.normalize("NFC", value.session_id.strip())
            value = structs.replace(value, session_id=tidy)
        return bytes(encode(value))

    yield encoded(tidied)


@defect("codec", "16.2", "session_id_present_in_json")
def items_are_written_sessionless() -> Changes:
    """A worker item is written without its session id."""

    def sessionless(encode: Original, value: object) -> bytes:
        if isinstance(value, ActivityExecute):
            value = structs.replace(value, session_id=None)
        return bytes(encode(value))

    yield encoded(sessionless)


class _ReadsEmptyIds:
    """A decoder for which an id that is missing is the empty one."""

    def __init__(self, decoder: Decoder[object]) -> None:
        self._decoder = decoder

    def decode(self, text: bytes | str) -> object:
        value = self._decoder.decode(text)
        if isinstance(value, _MAY_BE_ON_A_SESSION) and value.session_id is None:
            return structs.replace(value, session_id="")
        return value


@defect("codec", "16.3 16.4 31.3 31.9", "old_workitem_without_session_id_deserializes")
def missing_ids_are_empty() -> Changes:
    """An item or event without session id is read as one with an empty id."""

    decoders = original(codec, "_item_decoders")
    yield Change(codec, "_event_decoder", _ReadsEmptyIds(original(codec, "_event_decoder")))
    yield Change(codec, "_item_decoders", {kind: _ReadsEmptyIds(one) for kind, one in decoders.items()})
