"""What no store need take is refused in every call; a provider that takes it is found (PV-2.15, PV-33.9)."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import pytest
from tests.providers.conformance.columns import Change, column_store

from holdfast.providers.conformance import CHECKS, Factory, run_check
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store


def said_by(id: str, create: Callable[[Any, Any], Any]) -> str:
    result = asyncio.run(run_check(Factory(create=create, long_polling=True), CHECKS[id]))
    return result.detail if result.outcome == "failed" else result.outcome


@pytest.mark.parametrize("create", [memory_store, sqlite_store])
def test_pv_2_15_what_utf_8_cannot_hold_is_refused_in_every_call(create: Any) -> None:
    """PV-2.15: readings, look-ups and deletions too, the same on both providers."""
    assert said_by("PVC-387", create) == "held"


def replaced(text: str) -> str:
    """As a driver with errors="replace" does."""
    return text.encode(errors="replace").decode()


@pytest.mark.parametrize(
    "member",
    [
        *("instance", "instance_id", "session_id", "worker_id", "tag", "key", "ids", "status", "output"),
        *("orchestration_name", "orchestration_version", "parent_instance_id", "input", "data", "reason"),
        *("carry_forward_events", "open_sessions", "message", "duroxide_version"),
    ],
)
def test_pv_2_15_a_column_that_replaces_what_it_cannot_hold_is_found(member: str) -> None:
    """PV-2.15, PV-33.9: to store another text is not to refuse this one."""
    assert said_by("PVC-387", column_store(replaced, {member})) not in ("held", "skipped")


@pytest.mark.parametrize(
    ("members", "change"),
    [
        ({"key"}, lambda text: text.split("\0")[0]),
        ({"value"}, lambda text: text.split("\0")[0]),
        ({"value"}, lambda text: text.replace("\0", "")),
        ({"status"}, lambda text: text.split("\0")[0]),
        ({"output"}, lambda text: text.replace("\0", " ")),
        ({"orchestration_name"}, lambda text: text.split("\0")[0]),
        ({"instance", "instance_id"}, lambda text: text.split("\0")[0]),
    ],
)
def test_pv_2_15_a_column_in_which_a_nul_ends_the_text_is_found(
    members: Collection[str], change: Change
) -> None:
    """PV-2.15, PV-33.9: a raw NUL may be refused, but not be taken for the end."""
    assert said_by("PVC-313", column_store(change, members)) != "held"
