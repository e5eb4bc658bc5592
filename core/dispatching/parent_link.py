"""ParentLink: where a child reports how it ended (RT-9.2, RT-9.6)."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.core.contract.events import OrchestrationStarted
from holdfast.core.contract.failures import FailureDetails
from holdfast.core.contract.work_items import (
    ContinueAsNewMessage,
    StartOrchestration,
    SubOrchCompleted,
    SubOrchFailed,
)


class ParentLink(NamedTuple):
    """The schedule in a parent's execution that a child answers; the execution is unknown in old data."""

    instance: str
    schedule_id: int
    execution_id: int | None

    def completed(self, result: str, *, current_execution_id: int | None) -> SubOrchCompleted:
        """The answer of a child that returned.

        `current_execution_id`, the parent's, serves where the link lacks one (RT-9.7).
        """
        return SubOrchCompleted(
            parent_instance=self.instance,
            parent_execution_id=self.execution_id or current_execution_id or 1,
            parent_id=self.schedule_id,
            result=result,
        )

    def failed(self, details: FailureDetails, *, current_execution_id: int | None) -> SubOrchFailed:
        """The answer of a child that failed."""
        return SubOrchFailed(
            parent_instance=self.instance,
            parent_execution_id=self.execution_id or current_execution_id or 1,
            parent_id=self.schedule_id,
            details=details,
        )


def parent_of(
    child: OrchestrationStarted | StartOrchestration | ContinueAsNewMessage | None,
) -> ParentLink | None:
    """The link that a start carries, None for a root."""
    if child is None or child.parent_instance is None or child.parent_id is None:
        return None
    return ParentLink(child.parent_instance, child.parent_id, child.parent_execution_id)


def parent_from_id(instance: str) -> ParentLink | None:
    """The link that a generated child id implies (RT-1.12, RT-1.14), for when history is unreadable.

    Only an id that ends in a generated suffix has one.
    """
    parent, marker, place = instance.rpartition("::sub::")
    execution, underscore, schedule = place.rpartition("_")
    if not (parent and marker and _is_number(schedule)) or (underscore and not _is_number(execution)):
        return None
    return ParentLink(parent, int(schedule), int(execution) if underscore else 1)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
