"""Replacements that several defects make: of the table of leases, and of an activity's session."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.working import lease_keeper
from holdfast.core.working.lease_table import LeaseTable
from holdfast.properties.defects.defect import Change, Defect, original, replaced


def lease_table(kind: type[LeaseTable]) -> AbstractContextManager[None]:
    """Workers keep their leases in a table of this kind."""
    return replaced(Change(lease_keeper, "LeaseTable", kind))


def lease_table_defect(
    name: str,
    title: str,
    kind: type[LeaseTable],
    caught_by: str,
    rows: tuple[str, ...],
    scenario: str,
    needs: str,
    elsewhere: str | None = None,
) -> Defect:
    """A defect that is nothing but such a table."""
    return Defect(
        name=name,
        title=title,
        where="lease manager",
        caught_by=caught_by,
        rows=rows,
        scenario=scenario,
        needs=needs,
        planted=lambda: lease_table(kind),
        elsewhere=elsewhere,
    )


def scheduled_on(
    session_of: Callable[[OrchestrationContext, str | None], str | None],
) -> AbstractContextManager[None]:
    """Activities are scheduled on the session that the function makes of the one the code named."""
    emit = original(OrchestrationContext, "_emit_activity")

    def emit_elsewhere(
        self: OrchestrationContext,
        name: str,
        input: str,
        tag: str | None = None,
        session_id: str | None = None,
    ) -> Any:
        return emit(self, name, input, tag, session_of(self, session_id))

    return replaced(Change(OrchestrationContext, "_emit_activity", emit_elsewhere))
