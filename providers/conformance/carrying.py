"""Carrying texts through every place of a store that holds one, and saying which came back changed (PV-2.15).

A *way* puts objects in and gets them out again: messages, work items or events. `carried` compares what came
out with what went in; on a failure it names the way, the text and the member, with the first difference.
"""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from holdfast.core.contract import failures
from holdfast.core.contract.events import KNOWN_KINDS, Event, StoredEvent
from holdfast.core.contract.failures import FailureDetails
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.work_items import (
    MESSAGE_KINDS,
    ActivityCompletedMessage,
    ActivityExecute,
    ActivityFailedMessage,
    Message,
    SubOrchCompleted,
    SubOrchFailed,
    stored_name,
)
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.harness import Broken, Skipped
from holdfast.providers.conformance.messages import activity, external, note, start, status
from holdfast.providers.conformance.texts import difference

_T = TypeVar("_T")
_Kind = TypeVar("_Kind", bound=msgspec.Struct)

Way = Callable[[Fixture, str, Sequence[_T]], Awaitable[Sequence[object]]]
"""Stores the objects for an instance that nobody knows yet; returns what comes out, in the same order."""


async def carried(fx: Fixture, instance: str, way: Way[_T], objects: Mapping[str, _T]) -> None:
    """What went in comes out unchanged; `objects` have the name of their text."""
    try:
        back = await way(fx, instance, list(objects.values()))
    except Skipped:
        raise
    except Exception as error:
        await _find_the_culprit(fx, instance, way, objects)
        raise Broken(f"{_title(way)}, {len(objects)} at once: {_said(error)}") from error
    for rank, (name, sent) in enumerate(objects.items()):
        same(back[rank] if rank < len(back) else None, sent, f"{_title(way)}, {name}")
    expect.equal(len(back), len(objects), f"{_title(way)}: how many came out")


async def _find_the_culprit(fx: Fixture, instance: str, way: Way[_T], objects: Mapping[str, _T]) -> None:
    """The same, one at a time and each on a fresh store: raises Broken for the first that does not pass."""
    for name, sent in objects.items():
        alone = Fixture(fx.factory)
        try:
            back = await way(alone, instance, [sent])
            same(back[0] if back else None, sent, f"{_title(way)}, {name}")
        except (Broken, Skipped):
            raise
        except Exception as error:
            raise Broken(f"{_title(way)}, {name}: {_said(error)}") from error
        finally:
            await alone.close()


def same(back: object, sent: object, what: str) -> None:
    """The object, or the text, came back as it was sent. A message names the first member that did not."""
    if type(back) is type(sent) and back == sent:
        return
    path, old, new = _first_difference(sent, back, "")
    if isinstance(old, str):
        raise Broken(f"PV-2.15: {what}{path}: {difference(old, new)}")
    raise Broken(f"PV-2.15: {what}{path}: sent {expect.shown(old, 80)}, {expect.shown(new, 80)} came back")


def _first_difference(sent: object, back: object, path: str) -> tuple[str, object, object]:
    if type(sent) is type(back) and isinstance(sent, msgspec.Struct):
        for name in sent.__struct_fields__:
            if getattr(sent, name) != getattr(back, name):
                return _first_difference(getattr(sent, name), getattr(back, name), f"{path}, {name}")
    if isinstance(sent, tuple) and isinstance(back, tuple) and len(sent) == len(back):
        for one, other in zip(sent, back, strict=True):
            if one != other:
                return _first_difference(one, other, path)
    return path, sent, back


def _title(way: Callable[..., object]) -> str:
    return (way.__doc__ or "").rstrip(".")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {expect.shown(str(error), 160)}"


# --- the ways ---------------------------------------------------------------------------------------------


async def message_enqueued(fx: Fixture, instance: str, messages: Sequence[Message]) -> Sequence[Message]:
    """A message enqueued."""
    await fx.send(start(instance), *messages)
    return await _taken(fx, instance, after=1)


async def message_of_a_turn(fx: Fixture, instance: str, messages: Sequence[Message]) -> Sequence[Message]:
    """A message of a turn."""
    await fx.begin(instance, messages=messages)
    return await _taken(fx, instance)


async def completion(fx: Fixture, instance: str, completions: Sequence[Message]) -> Sequence[Message]:
    """The answer to an activity."""
    await fx.begin(instance, work=[activity(2 + n, instance) for n in range(len(completions))])
    for answer in completions:
        await fx.provider.ack_work_item((await fx.work()).token, answer)
    return await _taken(fx, instance)


async def _taken(fx: Fixture, instance: str, after: int = 0) -> Sequence[Message]:
    turn = await fx.turn(instance)
    expect.nothing(turn.item.history_error, "history_error")
    await fx.ack(turn, name="Flow", version="1")
    return list(turn.item.messages)[after:]


async def work_enqueued(
    fx: Fixture, instance: str, items: Sequence[ActivityExecute]
) -> Sequence[ActivityExecute]:
    """A work item enqueued."""
    await fx.put(*items)
    return await _worked(fx, len(items))


async def work_of_a_turn(
    fx: Fixture, instance: str, items: Sequence[ActivityExecute]
) -> Sequence[ActivityExecute]:
    """A work item of a turn."""
    await fx.begin(instance, work=items)
    return await _worked(fx, len(items))


async def _worked(fx: Fixture, count: int) -> Sequence[ActivityExecute]:
    back = []
    for _ in range(count):
        work = await fx.work(TagFilter.any())
        back.append(work.item)
        await fx.provider.ack_work_item(work.token)
    return back


async def event_of_a_turn(fx: Fixture, instance: str, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
    """An event of a turn."""
    await fx.begin(instance, *events)
    history = await fx.provider.read(instance)
    expect.equal(await fx.management.read_history(instance), history, "the history that management reads")
    await fx.send(external(instance))
    turn = await fx.turn(instance)
    await fx.ack(turn)
    expect.nothing(turn.item.history_error, "history_error")
    expect.equal(list(turn.item.history), history, "the history of the turn")
    return history[1:]


async def event_appended(fx: Fixture, instance: str, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
    """An event appended without a turn."""
    await fx.provider.append_with_execution(instance, 7, list(events))
    return await fx.provider.read_with_execution(instance, 7)


# --- what they carry --------------------------------------------------------------------------------------


def as_messages(instance: str, texts: Mapping[str, str]) -> dict[str, Message]:
    """Each text as name and data of a message."""
    return {name: external(instance, text, name=text) for name, text in texts.items()}


def as_completions(instance: str, texts: Mapping[str, str]) -> dict[str, Message]:
    """Each text as the result of an activity."""
    return {
        name: ActivityCompletedMessage(instance=instance, execution_id=1, id=2 + rank, result=text)
        for rank, (name, text) in enumerate(texts.items())
    }


def as_work(instance: str, texts: Mapping[str, str]) -> dict[str, ActivityExecute]:
    """Each text as name and input of an activity."""
    return {
        name: ActivityExecute(instance=instance, execution_id=1, id=2 + rank, name=text, input=text)
        for rank, (name, text) in enumerate(texts.items())
    }


def as_events(texts: Mapping[str, str], instance: str = "i") -> dict[str, Event]:
    """Each text as the data of an event."""
    return {name: note(2 + rank, text, instance=instance) for rank, (name, text) in enumerate(texts.items())}


def all_kinds_of_messages(
    instance: str, texts: Mapping[str, str], kinds: Iterable[type[Message]] = MESSAGE_KINDS
) -> dict[str, Message]:
    """Each text in every text member of every kind of message, but not as the address."""
    made: dict[str, Message] = {}
    for kind in kinds:
        address = "parent_instance" if kind in (SubOrchCompleted, SubOrchFailed) else "instance"
        for name, text, filling in _fillings(kind, texts):
            number = 100 + len(made)
            filled = _filled(kind, text, filling, number, **{address: instance})
            made[f"{stored_name(kind)}, {name}"] = filled
    return made


def all_kinds_of_completions(instance: str, texts: Mapping[str, str]) -> dict[str, Message]:
    """Each text in what a worker answers: a result, or a failure of the commonest category."""
    kinds: Sequence[type[Message]] = (ActivityCompletedMessage, ActivityFailedMessage)
    return {
        f"{stored_name(kind)}, {name}": _filled(kind, text, filling, 100 + rank, instance=instance)
        for kind in kinds
        for rank, (name, text, filling) in enumerate(_fillings(kind, texts, ("application",)))
    }


def all_kinds_of_events(
    texts: Mapping[str, str], kinds: Iterable[type[Event]] = KNOWN_KINDS
) -> dict[str, Event]:
    """Each text in every text member of every kind of event."""
    made: dict[str, Event] = {}
    for kind in kinds:
        for name, text, filling in _fillings(kind, texts):
            made[f"{kind.__name__}, {name}"] = _filled(
                kind, text, filling, 100 + len(made), event_id=2 + len(made)
            )
    return made


def of_each_member(kinds: Iterable[type[_Kind]]) -> list[type[_Kind]]:
    """As few kinds as have every member that any of them has: enough for a long text."""
    seen: set[str] = set()
    chosen = []
    for kind in kinds:
        members = {name for name, hint in _hints(kind).items() if hint is not int}
        if members - seen:
            chosen.append(kind)
        seen |= members
    return chosen


_CATEGORIES: Final = ("infrastructure", "configuration", "application", "cancelled", "poison", "unreadable")


def _details(text: str, category: str) -> FailureDetails:
    """A failure of this category with the text wherever it has one."""
    match category:
        case "infrastructure":
            made = failures.Infrastructure(operation=text, message=text, retryable=False)
            return FailureDetails(infrastructure=made)
        case "configuration":
            return FailureDetails(configuration=failures.Configuration(resource=text, message=text))
        case "application":
            return failures.application(text, "ActivityFailed")
        case "cancelled":
            return failures.cancelled(text)
        case "poison":
            activity = failures.PoisonActivity(
                instance=text, execution_id=1, activity_name=text, activity_id=2
            )
            kind = failures.PoisonedMessage(activity=activity)
        case _:
            broken = failures.FailedDeserialization(instance=text, execution_id=1, error=text)
            kind = failures.PoisonedMessage(failed_deserialization=broken)
    poison = failures.Poison(attempt_count=2, max_attempts=1, message_type=kind, message=text)
    return FailureDetails(poison=poison)


def _fillings(
    kind: type[msgspec.Struct], texts: Mapping[str, str], categories: Iterable[str] = _CATEGORIES
) -> Iterable[tuple[str, str, FailureDetails | None]]:
    """The texts of a kind that has any text, once for each category of failure if it holds one."""
    if "details" not in kind.__struct_fields__:
        yield from ((name, text, None) for name, text in texts.items())
        return
    for name, text in texts.items():
        for category in categories:
            yield f"{name}, {category}", text, _details(text, category)


def _filled(
    kind: type[_Kind], text: str, details: FailureDetails | None, number: int, **given: object
) -> _Kind:
    """An object with text and number in all members that hold such, apart from those given.

    The number differs from object to object, and from member to member: none is taken for another's.
    """
    members: dict[str, object] = {}
    for name, hint in _hints(kind).items():
        if name in given:
            members[name] = given[name]
        elif hint is FailureDetails:
            members[name] = details
        else:
            members[name] = _value(hint, text, number + 1_000_000 * len(members))
    return kind(**members)


_known_hints: dict[type[msgspec.Struct], dict[str, object]] = {}


def _hints(kind: type[msgspec.Struct]) -> dict[str, object]:
    if kind not in _known_hints:
        hints = typing.get_type_hints(kind)
        _known_hints[kind] = {name: hints[name] for name in kind.__struct_fields__}
    return _known_hints[kind]


def _value(hint: object, text: str, number: int) -> object:
    options = typing.get_args(hint)
    if hint is str or (str in options and type(None) in options):
        return text
    if hint is int or int in options:
        return number
    if typing.get_origin(hint) is tuple:
        return (
            (_value(options[0], text, number),) if options[-1] is Ellipsis else tuple(text for _ in options)
        )
    inner = [option for option in options if option is not type(None)]
    assert len(inner) == 1, f"no value for {hint!r}: carrying.py must learn this type of member"
    return _value(inner[0], text, number)


async def concluded(fx: Fixture, texts: Mapping[str, str]) -> None:
    """Each text as output, name, version and custom status of one instance, one turn each."""
    before = "Flow"
    await fx.begin("concluded", name=before, version=before)
    for rank, (name, text) in enumerate(texts.items(), start=1):
        await fx.send(external("concluded"))
        turn = await fx.turn("concluded")
        same(turn.item.orchestration_name, before, f"the name in the turn before {name}")
        same(turn.item.version, before, f"the version in the turn before {name}")
        before = text
        await fx.ack(turn, status(1 + rank, text), name=text, version=text, status="Running", output=text)
        shown = expect.present(
            await fx.provider.get_custom_status("concluded", rank - 1), f"the custom status, {name}"
        )
        same(shown.text, text, f"the custom status, {name}")
        info = await fx.management.get_instance_info("concluded")
        same(info.output, text, f"the output, {name}")
        same(info.orchestration_name, text, f"the orchestration's name, {name}")
        same(info.orchestration_version, text, f"the orchestration's version, {name}")
        same((await fx.management.get_execution_info("concluded", 1)).output, text, f"the output, {name}")
