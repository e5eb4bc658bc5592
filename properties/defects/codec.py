"""Defects of the codec: of how session ids are written and read."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace
from typing import Any, Final

from msgspec import structs

from holdfast.core.contract import codec
from holdfast.core.contract.events import ActivityScheduled, SessionClosed, SessionOpened
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced

_MAY_BE_ON_A_SESSION: Final = (ActivityScheduled, ActivityExecute)
_NAMES_A_SESSION: Final = (*_MAY_BE_ON_A_SESSION, SessionOpened, SessionClosed)


def _no_session_is_null() -> Planting:
    """The member is always there."""
    encode = original(codec, "_encoder").encode

    def encode_with_null(value: object) -> bytes:
        text: bytes = encode(value)
        if isinstance(value, _MAY_BE_ON_A_SESSION) and value.session_id is None:
            return text[:-1] + b',"session_id":null}'
        return text

    return replaced(Change(codec, "_encoder", SimpleNamespace(encode=encode_with_null)))


def _session_ids_are_tidied() -> Planting:
    """Ids are written without blanks around them and in one normal form."""
    encode = original(codec, "_encoder").encode

    def encode_tidied(value: object) -> bytes:
        if isinstance(value, _NAMES_A_SESSION) and value.session_id is not None:
            tidy = unicodedata.normalize("NFC", value.session_id.strip())
            value = structs.replace(value, session_id=tidy)
        return bytes(encode(value))

    return replaced(Change(codec, "_encoder", SimpleNamespace(encode=encode_tidied)))


def _items_are_written_sessionless() -> Planting:
    """The encoded item does not name its session."""
    encode = original(codec, "_encoder").encode

    def encode_without(value: object) -> bytes:
        if isinstance(value, ActivityExecute):
            value = structs.replace(value, session_id=None)
        return bytes(encode(value))

    return replaced(Change(codec, "_encoder", SimpleNamespace(encode=encode_without)))


class _ReadsEmptyIds:
    """A decoder for which an id that is missing is the empty one."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def decode(self, text: Any) -> Any:
        value = self._decoder.decode(text)
        if isinstance(value, _MAY_BE_ON_A_SESSION) and value.session_id is None:
            return structs.replace(value, session_id="")
        return value


def _missing_ids_are_empty() -> Planting:
    decoders = original(codec, "_item_decoders")
    return replaced(
        Change(codec, "_event_decoder", _ReadsEmptyIds(original(codec, "_event_decoder"))),
        Change(codec, "_item_decoders", {kind: _ReadsEmptyIds(one) for kind, one in decoders.items()}),
    )


DEFECTS: Final = (
    Defect(
        name="no_session_is_null",
        title="An activity without session is written with a session id of null",
        where="codec",
        caught_by="16.1",
        rows=("16.1", "16.4", "31.3", "31.8"),
        scenario="session_id_none_omitted_in_json",
        needs="nothing",
        planted=_no_session_is_null,
    ),
    Defect(
        name="session_ids_are_tidied",
        title="Session ids are stripped of blanks and brought to one normal form when they are written",
        where="codec",
        caught_by="16.5",
        rows=("16.2", "16.5"),
        scenario="session_events_serialize_roundtrip",
        needs="an id with blanks around it or in another normal form",
        planted=_session_ids_are_tidied,
    ),
    Defect(
        name="items_are_written_sessionless",
        title="A worker item is written without its session id",
        where="codec",
        caught_by="16.2",
        rows=("16.2",),
        scenario="session_id_present_in_json",
        needs="nothing",
        planted=_items_are_written_sessionless,
    ),
    Defect(
        name="missing_ids_are_empty",
        title="An item or event without session id is read as one with an empty id",
        where="codec",
        caught_by="16.3",
        rows=("16.3", "16.4", "31.3", "31.9"),
        scenario="old_workitem_without_session_id_deserializes",
        needs="nothing",
        planted=_missing_ids_are_empty,
    ),
)
