"""Providers whose columns change texts are refused by a check that says so (PV-2.15, PV-2.16, PV-33.9)."""

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
import pytest
from tests.providers.conformance.columns import (
    CHANGES,
    Change,
    Column,
    ColumnStore,
    as_number,
    column_store,
)

from holdfast.core.contract.events import KNOWN_KINDS, KeyValueSet
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.work_items import MESSAGE_KINDS, ActivityExecute
from holdfast.providers.conformance import CHECKS, Factory, run_check, texts
from holdfast.providers.memory import memory_store


def refusal(id: str, members: Collection[str] | None, change: Change) -> str:
    """What a check says of such a provider."""
    factory = Factory(create=column_store(change, members))
    result = asyncio.run(run_check(factory, CHECKS[id]))
    assert result.outcome == "failed", (id, result)
    return result.detail


NUMBERLIKE = (
    "backslashes_taken",
    "percent_decoded",
    "html_decoded",
    "json_encoded_anew",
    "numbers_are_numbers",
    "null_is_null",
)
"""What changes only texts that mean something: those are PVC-314's."""


@pytest.mark.parametrize("name", CHANGES)
def test_pv_2_15_a_payload_that_is_changed_is_found_and_said(name: str) -> None:
    """PV-2.15, PV-31.17: the check names the place and both texts, shortly and escaped."""
    said = refusal("PVC-314" if name in NUMBERLIKE else "PVC-313", None, CHANGES[name])
    assert "PV-2.15" in said or "came back" in said or "Error" in said, said
    assert said.replace("…", "").isascii() and said.isprintable(), said
    assert len(said) < 400, said


PLACES = {
    "data": "PVC-313",
    "input": "PVC-313",
    "result": "PVC-313",
    "reason": "PVC-313",
    "message": "PVC-313",
    "details": "PVC-313",
    "status": "PVC-313",
    "output": "PVC-313",
    "orchestration": "PVC-313",
    "orchestration_name": "PVC-313",
    "orchestration_version": "PVC-313",
    "version": "PVC-313",
    "name": "PVC-313",
    "parent_instance": "PVC-313",
    "carry_forward_events": "PVC-313",
    "initial_custom_status": "PVC-313",
    "open_sessions": "PVC-313",
    "operation": "PVC-313",
    "resource": "PVC-313",
    "error": "PVC-313",
    "activity_name": "PVC-313",
    "instance_id": "PVC-313",
    "value": "PVC-165",
    "key": "PVC-166",
    "tag": "PVC-141",
    "session_id": "PVC-240",
    "parent_instance_id": "PVC-377",
    "worker_id": "PVC-217",
}
"""Every member that holds text, and the check that carries texts through it."""


@pytest.mark.parametrize("member", [each for each in PLACES if each != "details"])
@pytest.mark.parametrize("name", ["cut_at_127", "trailing_spaces_lost"])
def test_pv_2_15_every_member_that_holds_text_is_looked_at(member: str, name: str) -> None:
    """PV-2.15: a column of its own for one member is found by the check of that place."""
    refusal(PLACES[member], {member}, CHANGES[name])


PAYLOADS = [member for member, id in PLACES.items() if id == "PVC-313" and member != "details"]


@pytest.mark.parametrize("member", PAYLOADS)
def test_pv_2_16_every_payload_may_be_longer_than_64_kib(member: str) -> None:
    """PV-2.16: whatever member holds it."""
    refusal("PVC-313", {member}, CHANGES["cut_at_64k"])


KEYS = {
    "key": ({"key"}, "PVC-166"),
    "session": ({"session_id"}, "PVC-240"),
    "worker": ({"worker_id"}, "PVC-217"),
    "tag": ({"tag"}, "PVC-369"),
    "instance": ({"instance", "instance_id", "ids"}, "PVC-377"),
    "parent": ({"parent_instance", "parent_instance_id"}, "PVC-377"),
}
COLLATIONS: dict[str, Change] = {
    **{name: CHANGES[name] for name in ("trailing_spaces_lost", "trimmed", "lower_case", "case_folded")},
    **{name: CHANGES[name] for name in ("composed", "compatibility", "no_accents", "basic_plane_only")},
    "prefix_of_255": lambda text: text[:255],
    "numbers": as_number,
    "zero_width_ignored": lambda text: text.replace("\u200b", "").replace("\ufeff", ""),
}


@pytest.mark.parametrize("collation", COLLATIONS)
@pytest.mark.parametrize("place", KEYS)
def test_pv_2_15_what_a_collation_takes_for_one_is_told_apart(place: str, collation: str) -> None:
    """PV-2.15, PV-12.4, PV-24.7: ids, keys, tags and workers are compared exactly, wherever looked up by."""
    if (place, collation) == ("parent", "numbers"):
        pytest.skip("the parents' names are no numbers")
    members, id = KEYS[place]
    said = refusal(id, members, COLLATIONS[collation])
    assert said.replace("…", "").isascii(), said


@pytest.mark.parametrize("separator", ["", ":", "/", "|", "\x1f"])
@pytest.mark.parametrize(("second", "id"), [("key", "PVC-159"), ("session_id", "PVC-249")])
def test_pv_2_7_keys_of_two_parts_are_not_joined(second: str, id: str, separator: str) -> None:
    """PV-2.7, PV-2.8, PV-24.7: (a, b:c) and (a:b, c) are two, whatever might stand between the parts."""

    class Joining(Column):
        """Finds a row by the joined key: the instance becomes what is before the last separator."""

        def _stored(self, name: str, value: Any) -> Any:
            made = super()._stored(name, value)
            if isinstance(made, ActivityExecute) and made.session_id is not None:
                whole = f"{made.instance}{separator}{made.session_id}"
                return msgspec.structs.replace(made, instance=whole[:-1], session_id=whole[-1])
            return made

    class JoinedKeys:
        """Values by the joined key, in one table for all instances."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner
            self.table: dict[str, str] = {}
            self.of: dict[str, str] = {}

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        async def fetch_orchestration_item(self, *given: Any) -> Any:
            turn = await self.inner.fetch_orchestration_item(*given)
            if turn is not None:
                self.of[turn.token] = turn.item.instance
            return turn

        async def ack_orchestration_item(self, token: Any, **turn: Any) -> None:
            await self.inner.ack_orchestration_item(token, **turn)
            for event in turn["history_delta"]:
                if isinstance(event, KeyValueSet):
                    self.table[self.of[token] + separator + event.key] = event.value

        async def get_kv_value(self, instance: str, key: str) -> str | None:
            return self.table.get(instance + separator + key)

        async def get_kv_all_values(self, instance: str) -> dict[str, str]:
            start = instance + separator
            return {
                key.removeprefix(start): value for key, value in self.table.items() if key.startswith(start)
            }

    class Store(ColumnStore):
        def open(self, observer: Any = None) -> Any:
            inner = self._inner.open(observer)
            return JoinedKeys(inner) if second == "key" else Joining(inner, Provider, (), str)

    factory = Factory(create=lambda clock, ids: Store(memory_store(clock, ids), (), str))
    result = asyncio.run(run_check(factory, CHECKS[id]))
    assert result.outcome == "failed", (id, result)


@pytest.mark.parametrize("length", [255, 767, 1_000, 1_023])
def test_pv_2_16_a_key_is_more_than_what_an_index_keeps_of_it(length: int) -> None:
    """PV-2.16: two keys of 1,024 ideographs, or emoji, that differ in the last are two keys."""
    assert "PV-2.15" in refusal("PVC-166", {"key"}, lambda text: text[:length])


def test_a_failure_names_place_length_end_and_what_came_back() -> None:
    said = refusal("PVC-313", {"initial_custom_status"}, CHANGES["trailing_spaces_lost"])
    assert said == (
        "PV-2.15: A message of a turn, ContinueAsNew, a mixture that ends with a space, "
        "initial_custom_status: from character 45 on '%_0. ' came back as '%_0.' (46 characters became 45)"
    ), said
    cut = refusal("PVC-313", {"input"}, CHANGES["cut_at_64k"])
    assert "A work item of a turn, 65,536 characters with" in cut and "became 65,535" in cut, cut


def test_a_provider_that_refuses_a_text_is_told_which() -> None:
    """A column that is too short may raise instead: the check still names the text."""

    def short(text: str) -> str:
        if len(text) > 4_000:
            raise ValueError("value too long for type character varying(4000)")
        return text

    said = refusal("PVC-313", None, short)
    assert said.startswith("A message of a turn, 4,001 characters with an ideograph at the end:"), said
    assert "ValueError: 'value too long for type character varying(4000)'" in said, said


def test_every_text_member_of_the_contract_has_its_place() -> None:
    """A new member that holds text needs a check, or is looked up by under another name."""
    known = {*PLACES, "instance", "duroxide_version", "input"}
    for kind in (*KNOWN_KINDS, *MESSAGE_KINDS, ActivityExecute):
        for field in msgspec.structs.fields(kind):
            if "str" in str(field.type):
                assert field.name in known, (kind, field.name)


def test_the_texts_are_many_and_all_encodable() -> None:
    """PV-2.15, PV-2.16: lengths, ends, twins; none that UTF-8 cannot hold."""
    every = [*texts.payloads().values(), *texts.whole().values(), *texts.mixed().values()]
    assert len(every) > 350
    for text in (*every, *texts.TWINS, *texts.FEW):
        text.encode()
    assert max(map(len, every)) == texts.MIB
    for end in texts.ENDS.values():
        assert any(text.endswith(end) and text.startswith(end) for text in every), ascii(end)
