"""What the scenarios of the matrix are made of: activities that tell where and how they ran; readers of it.

An activity answers with what it saw as JSON, so that oracles compare what activities really observed. The
registry is made afresh at each boot, and with it the memory the activities close over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed, Failed, OrchestrationStatus
from holdfast.core.contract.events import (
    ActivityCompleted,
    ActivityFailed,
    Event,
    SessionClosed,
    SessionOpened,
    StoredEvent,
)
from holdfast.core.program.registry import ActivityHandler
from holdfast.sim import World
from holdfast.sim.toolkit.handle import Handle

Orchestration = Callable[[OrchestrationContext, str], Coroutine[object, None, object]]

_T = TypeVar("_T")
EventT = TypeVar("EventT", bound=Event)

MINUTE: Final = {"session_lock_duration": timedelta(seconds=60)}
"""D = 60 s, as in the worked timelines; R = 30 s, L = 30 s, I = 25 s."""
D_MS: Final = 60_000
POLL_MS: Final = 100
"""The longest a claimable session may wait for a worker that polls, in a world without slow calls."""


class Seen(NamedTuple):
    """What one activity saw: the owner part of its worker id, its session, its input, whether it knew it."""

    owner: str
    session: str | None
    input: str
    warm: bool


def running(*orchestrations: Orchestration, **further: ActivityHandler) -> Callable[[], Registry]:
    """A registry of these orchestrations, the activities below and further ones, cold at every boot."""

    def make() -> Registry:
        registry = Registry()
        for orchestration in orchestrations:
            registry.add_orchestration(orchestration.__name__, orchestration)
        for name, activity in further.items():
            registry.add_activity(name, activity)
        known: set[str | None] = set()

        @registry.activity("look")
        async def look(ctx: ActivityContext, input: str) -> str:
            """Answer at once."""
            return _seen(ctx, input, known)

        @registry.activity("work")
        async def work(ctx: ActivityContext, input: str) -> str:
            """Answer after so many seconds, or when told to stop, whichever is first."""
            stop = asyncio.ensure_future(ctx.cancelled())
            await asyncio.wait([stop], timeout=float(input))
            stop.cancel()
            return _seen(ctx, input, known)

        @registry.activity("insist")
        async def insist(ctx: ActivityContext, input: str) -> str:
            """Answer after so many seconds, whatever signal comes."""
            await asyncio.sleep(float(input))
            return _seen(ctx, input, known)

        return registry

    return make


def _seen(ctx: ActivityContext, input: str, known: set[str | None]) -> str:
    warm = ctx.session_id in known
    known.add(ctx.session_id)
    return encoded(Seen(owner_part(ctx.worker_id), ctx.session_id, input, warm))


def owner_part(worker_id: str) -> str:
    """The owner identity in `work-<slot>-<owner identity>` (SS-2.8)."""
    return worker_id.split("-", 2)[2]


def encoded(value: object) -> str:
    """As JSON."""
    return msgspec.json.encode(value).decode()


def seen(text: str) -> Seen:
    """What an activity answered."""
    return msgspec.json.decode(text, type=Seen)


def output(status: OrchestrationStatus) -> str:
    """The output of a completed instance. Asserts that it completed."""
    assert isinstance(status, Completed), f"expected Completed, got {status}"
    return status.output


def answer(status: OrchestrationStatus) -> Any:
    """The output of a completed instance, decoded."""
    return msgspec.json.decode(output(status))


def observation(status: OrchestrationStatus) -> Seen:
    """What the one activity of a completed instance saw, if its output is the answer of that."""
    return seen(output(status))


def observations(status: OrchestrationStatus) -> list[Seen]:
    """What the activities of a completed instance saw, if its output is the list of their answers."""
    return [seen(text) for text in answer(status)]


def owners_by_session(results: Iterable[Seen]) -> dict[str | None, set[str]]:
    """The owners that served each session, by session."""
    owners: dict[str | None, set[str]] = {}
    for one in results:
        owners.setdefault(one.session, set()).add(one.owner)
    return owners


def failure_text(status: OrchestrationStatus) -> str:
    """The display text of a failed instance. Asserts that it failed."""
    assert isinstance(status, Failed), f"expected Failed, got {status}"
    return status.message


def two_workers(world: World, *orchestrations: Orchestration, **options: Any) -> list[Handle]:
    """Workers a and b, alike."""
    return [world.worker(name, running(*orchestrations), **options) for name in ("a", "b")]


async def start(world: World, orchestration: Orchestration, *instances: str, input: str = "") -> None:
    """Start the orchestration under these instance ids."""
    for instance in instances:
        await world.client.start_orchestration(instance, orchestration.__name__, input)


def session_events(history: list[StoredEvent]) -> list[tuple[str, str]]:
    """The session events of a history in order, as (kind, id)."""
    return [
        (type(event).__name__, event.session_id)
        for event in history
        if isinstance(event, SessionOpened | SessionClosed)
    ]


def of_kind(history: list[StoredEvent], kind: type[EventT]) -> list[EventT]:
    """The events of one kind, in order."""
    return [event for event in history if isinstance(event, kind)]


def sources(answers: Iterable[Event]) -> list[int]:
    """The ids of the events that these answer, in order."""
    return [event.source_event_id for event in answers if event.source_event_id is not None]


def answers_to(history: list[StoredEvent], *activities: int) -> list[StoredEvent]:
    """The completions and failures recorded for these activities."""
    kinds = (ActivityCompleted, ActivityFailed)
    return [event for event in history if isinstance(event, kinds) and event.source_event_id in activities]


def sole(found: Sequence[_T]) -> _T:
    """The only one. Asserts that it is."""
    assert len(found) == 1, f"{len(found)} in place of one: {found}"
    return found[0]


def completed(history: list[StoredEvent]) -> list[int | None]:
    """The activities that have a result, in order of their completions."""
    return [event.source_event_id for event in of_kind(history, ActivityCompleted)]
