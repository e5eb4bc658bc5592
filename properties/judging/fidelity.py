"""Fidelity: whether a store handed out only what was put into it, field for field (PV-1.2, PV-2.15, PV-10.9).

Looked at when a run went wrong in a way that no oracle is about: a scenario that chokes on what it reads back
is not to blame for a provider that stores something else. The conformance suite looks for this in every
place; here it costs nothing while all is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from holdfast.core.contract.events import Event, StoredEvent
from holdfast.core.contract.provider import FetchedTurn, FetchedWork
from holdfast.core.contract.user_texts import excerpt, first_difference
from holdfast.core.contract.work_items import ActivityExecute, Message, addressee
from holdfast.traces import calls
from holdfast.traces.failure import Failure
from holdfast.traces.record import Commit

RULE: Final = "MODEL"
"""What a provider that changes what it stores breaks: the reference model keeps items as they came."""

_TITLE: Final = "PV-2.15: the provider changed what it stored"
_SHOWN_MAX: Final = 24
_Identified = Iterator[tuple[object, msgspec.Struct]]
"""What is put in or handed out, each with what tells which it is."""


def altered(
    commits: Sequence[Commit], stored: Mapping[str, Sequence[StoredEvent]] | None = None
) -> Failure | None:
    """The first message, item or event that came out of the store other than it went in; None if none did.

    `stored` are the histories at the end, by instance. What nothing like it went in for is passed over: a
    scenario may have put it there by other ways.
    """
    put_in: dict[object, list[msgspec.Struct]] = {}
    instance_of: dict[str, str] = {}
    for commit in commits:
        for identity, given in _put_in(commit, instance_of):
            put_in.setdefault(identity, []).append(given)
        if isinstance(commit.result, FetchedTurn):
            instance_of[commit.result.token] = commit.result.item.instance
        told = _first_change(put_in, _handed_out(commit))
        if told is not None:
            text = f"{_TITLE}: {commit.operation} answers with {told}"
            return Failure(RULE, text, commit.position, commit.time_us)
    for instance, history in (stored or {}).items():
        told = _first_change(put_in, _events(instance, history))
        if told is not None and commits:
            last = commits[-1]
            return Failure(
                RULE, f"{_TITLE}: the history of {instance!a} has {told}", last.position, last.time_us
            )
    return None


def _first_change(put_in: Mapping[object, Sequence[msgspec.Struct]], found: _Identified) -> str | None:
    """What came out unlike anything that went in for it, in words."""
    for identity, each in found:
        like = put_in.get(identity)
        if like is not None and each not in like:
            return _told(like, each)
    return None


def _put_in(commit: Commit, instance_of: dict[str, str]) -> _Identified:
    """What a call brings, whether or not it was heard of again."""
    match commit.call:
        case calls.EnqueueForOrchestratorCall(item=message):
            yield from _messages((message,))
        case calls.EnqueueForWorkerCall(item=item):
            yield from _items((item,))
        case calls.AckWorkItemCall(completion=completion) if completion is not None:
            yield from _messages((completion,))
        case calls.AppendWithExecutionCall(instance_id=instance, events=events):
            yield from _events(instance, events)
        case calls.AckOrchestrationItemCall() as turn:
            yield from _messages(turn.orchestrator_items)
            yield from _items(turn.worker_items)
            yield from _events(instance_of.get(turn.token, ""), turn.history_delta)
        case _:
            return


def _handed_out(commit: Commit) -> _Identified:
    """What a call answers."""
    result = commit.result
    if isinstance(result, FetchedTurn):
        yield from _messages(result.item.messages)
        yield from _events(result.item.instance, result.item.history)
    elif isinstance(result, FetchedWork):
        yield from _items((result.item,))
    elif isinstance(result, list) and (instance := commit.arguments.get("instance_id")) is not None:
        yield from _events(str(instance), [each for each in result if isinstance(each, Event)])


def _messages(messages: Iterable[Message]) -> _Identified:
    for message in messages:
        if isinstance(message, msgspec.Struct) and not isinstance(message, ActivityExecute):
            yield (type(message), addressee(message)), message


def _items(items: Iterable[ActivityExecute]) -> _Identified:
    for item in items:
        if isinstance(item, ActivityExecute):
            yield (item.instance, item.execution_id, item.id), item


def _events(instance: str, events: Iterable[StoredEvent]) -> _Identified:
    for event in events:
        yield (type(event), instance, event.event_id), event


def _told(like: Sequence[msgspec.Struct], found: msgspec.Struct) -> str:
    """The first member in which it differs from the one most like it."""
    sent = min(like, key=lambda each: sum(1 for _ in _differing(each, found)))
    member = next(_differing(sent, found), "")
    difference = _difference(getattr(sent, member, sent), getattr(found, member, found))
    return f"a {type(found).__name__} whose {member} {difference}"


def _differing(sent: msgspec.Struct, found: msgspec.Struct) -> Iterator[str]:
    return (name for name in sent.__struct_fields__ if getattr(sent, name) != getattr(found, name))


def _difference(sent: object, found: object) -> str:
    if not isinstance(sent, str) or not isinstance(found, str):
        return f"was {_shown(repr(sent))} and is {_shown(repr(found))}"
    at = first_difference(sent, found)
    begin = max(0, at - 6)
    return (
        f"was {_shown(ascii(sent[begin:]))} and is {_shown(ascii(found[begin:]))} from character {begin} on"
        f" ({len(sent)} characters became {len(found)})"
    )


def _shown(text: str) -> str:
    return excerpt(text, _SHOWN_MAX)
