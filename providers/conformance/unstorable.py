"""Texts that no store need take, in every call that may bring one (PV-2.15): refused, and nothing is changed.

What UTF-8 cannot hold must be refused. A raw NUL outside JSON may be; if it is not, it comes back as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import msgspec

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.management import PruneOptions
from holdfast.core.contract.work_items import Message
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.carrying import all_kinds_of_events, all_kinds_of_messages, same
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import activity, external, kv_set, named, note, status

_Call = Callable[[], Awaitable[object]]
_Struct = TypeVar("_Struct", bound=msgspec.Struct)

LONE_SURROGATE = "a\ud800"
WITH_NUL = "a\0b"


async def refused_everywhere(fx: Fixture) -> None:
    """A lone surrogate, in every text of every call, is a permanent error, and leaves no trace."""
    bad = LONE_SURROGATE
    await fx.begin("i", opened=["s"], work=[activity(2), activity(3, session="s")])
    work = await fx.work()
    await fx.claim("A")
    await fx.send(external("i"))
    turn = await fx.turn("i")
    before = await _looked(fx)
    calls = {**_sending(fx, bad), **_reading(fx, bad)}
    for member in ("instance", "name", "input", "session_id", "tag"):
        item = msgspec.structs.replace(activity(9), **{member: bad})
        calls[f"enqueue_for_worker, {member}"] = partial(fx.provider.enqueue_for_worker, item)
        calls[f"work of a turn, {member}"] = partial(fx.ack, turn, work=[item])
    for name, message in _messages(bad):
        calls[f"message of a turn, {name}"] = partial(fx.ack, turn, messages=[message])
    for name, event in _events(bad):
        calls[f"event of a turn, {name}"] = partial(fx.ack, turn, event)
    for name, conclusions in _conclusions(bad).items():
        calls[f"conclusion of a turn, {name}"] = partial(fx.ack, turn, **conclusions)
    for name, call in calls.items():
        try:
            await expect.refused(call())
        except AssertionError as error:
            raise type(error)(f"PV-2.15: {name}, a text that UTF-8 cannot hold: {error}") from error
    expect.equal(await _looked(fx), before, "what is stored after the refusals")
    await fx.ack(turn, note(2))
    await fx.provider.ack_work_item(work.token)


async def _looked(fx: Fixture) -> list[object]:
    management = fx.management
    metrics = await management.get_system_metrics()
    return [metrics, await management.get_queue_depths(), await fx.provider.read("i")]


def _conclusions(bad: str) -> dict[str, dict[str, Any]]:
    named_so: dict[str, Any] = {"name": "Flow", "version": "1"}
    return {
        "output": {"status": "Running", "output": bad},
        "name": {**named_so, "name": bad},
        "version": {**named_so, "version": bad},
        "parent": {**named_so, "parent": bad},
        "opened session": {"opened": [bad]},
        "closed session": {"closed": [bad]},
        "cancelled activity": {"cancelled": [named(2, bad)]},
    }


def _sending(fx: Fixture, bad: str) -> dict[str, _Call]:
    provider = fx.provider
    calls: dict[str, _Call] = {
        "address of a message": lambda: provider.enqueue_for_orchestrator(external(bad)),
        "append_with_execution, instance": lambda: provider.append_with_execution(bad, 1, [note(1)]),
        "worker of a claim": lambda: fx.try_claim(bad),
    }
    for which, given in (
        ("instance", (bad, "s", "A")),
        ("session", ("i", bad, "A")),
        ("worker", ("i", "s", bad)),
    ):
        calls[f"renew_session_lock, {which}"] = partial(
            provider.renew_session_lock, *given, extend_for=Millis(LEASE)
        )
        calls[f"release_session_lock, {which}"] = partial(provider.release_session_lock, *given)
    for name, message in _messages(bad):
        calls[f"enqueue_for_orchestrator, {name}"] = partial(provider.enqueue_for_orchestrator, message)
    for name, event in _events(bad):
        calls[f"append_with_execution, {name}"] = partial(provider.append_with_execution, "i", 9, [event])
    return calls


def _messages(bad: str) -> Iterator[tuple[str, Message]]:
    """Every kind of message with the text in one member, for each member that may hold one."""
    good = all_kinds_of_messages("i", {"": "good"})
    for name, wrong in all_kinds_of_messages("i", {"": bad}).items():
        for member, made in _one_by_one(good[name], wrong):
            yield f"{name}{member}", made


def _events(bad: str) -> Iterator[tuple[str, StoredEvent]]:
    """The same for every kind of event."""
    good = all_kinds_of_events({"": "good"})
    for name, wrong in all_kinds_of_events({"": bad}).items():
        for member, made in _one_by_one(good[name], wrong):
            yield f"{name}{member}", made


def _one_by_one(good: _Struct, wrong: _Struct) -> Iterator[tuple[str, _Struct]]:
    for member in good.__struct_fields__:
        if getattr(good, member) != getattr(wrong, member):
            yield member, msgspec.structs.replace(good, **{member: getattr(wrong, member)})


def _reading(fx: Fixture, bad: str) -> dict[str, _Call]:
    provider, management = fx.provider, fx.management
    return {
        "read": lambda: provider.read(bad),
        "read_with_execution": lambda: provider.read_with_execution(bad, 1),
        "get_custom_status": lambda: provider.get_custom_status(bad, 0),
        "get_kv_value, instance": lambda: provider.get_kv_value(bad, "k"),
        "get_kv_value, key": lambda: provider.get_kv_value("i", bad),
        "get_kv_all_values": lambda: provider.get_kv_all_values(bad),
        "list_instances_by_status": lambda: management.list_instances_by_status(bad),
        "list_executions": lambda: management.list_executions(bad),
        "latest_execution_id": lambda: management.latest_execution_id(bad),
        "read_history": lambda: management.read_history(bad),
        "read_history_with_execution_id": lambda: management.read_history_with_execution_id(bad, 1),
        "get_instance_info": lambda: management.get_instance_info(bad),
        "get_execution_info": lambda: management.get_execution_info(bad, 1),
        "list_children": lambda: management.list_children(bad),
        "get_parent_id": lambda: management.get_parent_id(bad),
        "get_instance_tree": lambda: management.get_instance_tree(bad),
        "delete_instance": lambda: management.delete_instance(bad, force=True),
        "delete_instances_atomic": lambda: management.delete_instances_atomic([bad], force=True),
        "prune_executions": lambda: management.prune_executions(bad, PruneOptions()),
    }


async def raw_nul(fx: Fixture) -> None:
    """A raw NUL in what is stored as a column of its own is refused, or comes back; it never ends a text."""
    text = WITH_NUL
    await fx.begin("i")
    await _told_or_refused(fx, kv_set(2, text, text), kv_set(3, "a", "other"))
    for key, value in (await fx.provider.get_kv_all_values("i")).items():
        same(key, text if "\0" in key else "a", "a key with a NUL")
        same(value, text if "\0" in key else "other", "a value with a NUL")
    if await _told_or_refused(fx, status(4, text)):
        told = expect.present(await fx.provider.get_custom_status("i", 0), "the custom status with a NUL")
        same(told.text, text, "a custom status with a NUL")
    if await _told_or_refused(fx, name=text, version=text, status="Running", output=text):
        info = await fx.management.get_instance_info("i")
        for shown in (info.output, info.orchestration_name, info.orchestration_version):
            same(shown, text, "output, name or version with a NUL")
    for instance in (text, "a"):
        answer = await expect.refused_or_answered(fx.provider.enqueue_for_orchestrator(external(instance)))
        if not isinstance(answer, ProviderError):
            await expect.refused_or_answered(
                fx.provider.append_with_execution(instance, 1, [note(1, instance)])
            )
    for instance in (text, "a"):
        found = await expect.refused_or_answered(fx.provider.read(instance))
        if not isinstance(found, ProviderError) and found:
            expect.equal(found, [note(1, instance)], "the history of an instance with a NUL in its id")


async def _told_or_refused(fx: Fixture, *events: StoredEvent, **conclusions: Any) -> bool:
    """Whether a turn that brings this is accepted."""
    await fx.send(external("i"))
    turn = await fx.turn("i")
    answer = await expect.refused_or_answered(fx.ack(turn, *events, **conclusions))
    if isinstance(answer, ProviderError):
        await fx.ack(turn)
    return not isinstance(answer, ProviderError)
