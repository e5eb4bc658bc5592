"""Defects of session rows that invariants alone are about."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

from holdfast.core.ids import Millis
from holdfast.properties.defects.defect import Change, Defect, original, replaced, statement
from holdfast.providers.memory import affinity
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import Tables
from holdfast.providers.sqlite import work as sqlite_work

Planting = AbstractContextManager[None]


def _anybody_releases() -> Planting:
    """A release does not look at whose the session is."""

    def release(tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str) -> None:
        row = tables.session(instance, session_id)
        if row is not None:
            tables.journal.keep(row)
            row.worker_id = row.locked_until = None

    return replaced(
        Change(affinity, "release", release),
        statement(sqlite_work, "release_session", "worker_id = :worker", ":worker = :worker"),
    )


def _owned_only_claims() -> Planting:
    """A fetch that is to take no new session takes one that is free."""
    fetch = original(sqlite_work, "fetch_with_session")

    def is_open_to(tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant) -> bool:
        row = tables.session(instance, session_id)
        return row is None or not row.is_live(now) or row.worker_id == claimant.worker_id

    def fetch_anything(*given: Any, **named: Any) -> Any:
        if "claim_new" in named:
            named["claim_new"] = True
            return fetch(*given, **named)
        return fetch(*(True if isinstance(each, bool) else each for each in given))

    return replaced(
        Change(affinity, "is_open_to", is_open_to), Change(sqlite_work, "fetch_with_session", fetch_anything)
    )


DEFECTS: Final = (
    Defect(
        name="anybody_releases",
        title="A release frees a session whoever owns it",
        where="provider",
        caught_by="INV-22",
        rows=(),
        scenario="every_activity_ends",
        needs="a release by a worker that has lost the session",
        planted=_anybody_releases,
    ),
    Defect(
        name="owned_only_claims",
        title="A fetch for owned sessions alone claims one that is free",
        where="provider",
        caught_by="INV-05",
        rows=("24.2", "24.3", "24.4", "24.10"),
        scenario="two_sessions_and_room_for_one",
        needs="a worker at its capacity",
        planted=_owned_only_claims,
    ),
)
