"""What an instance failed with, as the body of a scenario sees it: text, activity, place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from holdfast.core.client import Failed, NotFound, OrchestrationStatus
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import (
    ActivityFailed,
    ActivityScheduled,
    OrchestrationFailed,
    StoredEvent,
    SubOrchestrationFailed,
    SubOrchestrationScheduled,
)

ReadHistory = Callable[[str], Awaitable[Sequence[StoredEvent]]]

_DEPTH_MAX: Final = 16
"""How many generations of children are followed to the activity that failed."""


class InstanceFailed(AssertionError):
    """An instance that the body waited for did not complete.

    An AssertionError: it ends the body as a failed assertion would, and within an oracle it fails its rows.

    Attributes:
        instance: the instance that was waited for.
        text: what it failed with.
        activity: the name of the activity whose failure that was; None if it was no activity's.
        place: the event that recorded the failure: of a child, if the activity was a child's.
        status: its status; `Failed`, or `NotFound` if it was deleted meanwhile.
    """

    def __init__(
        self, instance: str, status: OrchestrationStatus, *, activity: str | None, place: str
    ) -> None:
        self.instance = instance
        self.status = status
        self.text = (
            status.message if isinstance(status, Failed) else "it has ended and is gone from the store"
        )
        self.activity = activity
        self.place = place
        by = "" if activity is None else f"activity {activity!r}, "
        super().__init__(f"instance {instance!r} failed: {self.text} ({by}{place})")


async def instance_failed(
    instance: str, status: OrchestrationStatus, read_history: ReadHistory
) -> InstanceFailed:
    """The exception for an instance with this status, which is not that of one that completed."""
    assert isinstance(status, Failed | NotFound), f"instance {instance!r} is {status}, it has not failed"
    failed, activity = instance, None
    place = "no event records it"
    for _ in range(_DEPTH_MAX):
        try:
            history = await read_history(failed)
        except ProviderError:  # a history that cannot be read is what it failed with
            break
        end = next((event for event in reversed(history) if isinstance(event, OrchestrationFailed)), None)
        cause = None if end is None else _cause(history, end)
        shown = cause or end
        if shown is not None:
            of = "" if failed == instance else f" of {failed!r}"
            place = f"event {shown.event_id} of execution {shown.execution_id}{of}"
        asked = None if cause is None else _asked(history, cause)
        if isinstance(asked, ActivityScheduled):
            activity = asked.name
        if not isinstance(asked, SubOrchestrationScheduled):
            break
        child = asked.instance
        failed = f"{failed}::{child}" if child.startswith("sub::") else child  # RT-1.15
    return InstanceFailed(instance, status, activity=activity, place=place)


def _cause(
    history: Sequence[StoredEvent], end: OrchestrationFailed
) -> ActivityFailed | SubOrchestrationFailed | None:
    """The last failure that the code was told and that its own failure repeats."""
    text = end.details.display()
    for event in reversed(history):
        if isinstance(event, ActivityFailed | SubOrchestrationFailed):
            told = event.details.display()
            if told and told in text:
                return event
    return None


def _asked(
    history: Sequence[StoredEvent], answer: ActivityFailed | SubOrchestrationFailed
) -> StoredEvent | None:
    return next((event for event in history if event.event_id == answer.source_event_id), None)
