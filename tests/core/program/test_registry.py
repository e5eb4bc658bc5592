"""Which code runs under which name and version (RT-14.1 to RT-14.9)."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.provider import Version
from holdfast.core.program.registry import Exact, Latest, Registry, parse_version


async def one(ctx: object, input: str) -> str:
    return "one"


async def two(ctx: object, input: str) -> str:
    return "two"


def plain(ctx: object, input: str) -> str:
    return input


def problems_of(registry: Registry) -> str:
    with pytest.raises(ConfigurationError) as caught:
        registry.check()
    return str(caught.value)


def test_decorators_register_and_return_the_function() -> None:
    """RT-14.1."""
    registry = Registry()
    assert registry.orchestration()(one) is one
    assert registry.orchestration("Two", "1.1.0")(two) is two
    assert registry.activity()(plain) is plain
    registry.check()
    assert registry.orchestration_names() == ["Two", "one"]
    assert registry.activity_names() == ["plain"]
    resolved = registry.resolve_orchestration("one")
    assert resolved is not None
    assert (resolved.handler, resolved.version) == (one, "1.0.0")
    assert registry.resolve_activity("plain") is plain
    assert registry.resolve_activity("unknown") is None
    assert registry.resolve_orchestration("unknown") is None


def test_versions_resolve_by_number_not_by_text() -> None:
    """RT-14.7 to RT-14.9."""
    registry = Registry()
    for version in ("1.2.0", "1.9.0", "1.10.0"):
        registry.add_orchestration("O", one, version=version)

    def resolved(version: str | None = None) -> str | None:
        found = registry.resolve_orchestration("O", version)
        return None if found is None else found.version

    assert registry.orchestration_versions("O") == ["1.2.0", "1.9.0", "1.10.0"]
    assert resolved() == "1.10.0"
    assert resolved("1.9.0") == "1.9.0"
    assert [resolved(text) for text in ("1.3.0", "", "1.9", "01.9.0", "v1.9.0")] == [None] * 5
    registry.set_version_policy("O", Exact("1.2.0"))
    assert resolved() == "1.2.0"
    registry.set_version_policy("O", Exact("3.0.0"))
    assert resolved() is None
    registry.set_version_policy("O", Latest())
    assert resolved() == "1.10.0"


def test_mistakes_are_reported_together() -> None:
    """RT-14.2, RT-14.3, RT-14.5, RT-14.6."""
    registry = Registry()
    registry.add_orchestration("O", one, version="2.0.0")
    registry.add_orchestration("O", two, version="2.0.0")
    registry.add_orchestration("O", two, version="1.0.0")
    registry.add_activity("A", plain)
    registry.add_activity("A", plain)
    registry.add_activity("__duroxide_syscall:mine", plain)
    assert problems_of(registry) == (
        "duplicate orchestration registration: O@2.0.0; "
        "non-monotonic orchestration version for O: 1.0.0 is not later than existing latest 2.0.0; "
        "duplicate activity registration: A; "
        "activity name '__duroxide_syscall:mine' uses reserved prefix '__duroxide_syscall:'"
    )


def test_functions_of_the_wrong_kind_are_mistakes() -> None:
    """RT-14.6: an orchestration that is not async, a version that is none."""
    registry = Registry()
    registry.add_orchestration("O", plain)  # type: ignore[arg-type]
    registry.add_orchestration("P", one, version="1.0")
    text = problems_of(registry)
    assert text.startswith("orchestration O must be an async function")
    assert "invalid orchestration version for P: '1.0' is not major.minor.patch" in text


def test_merging_keeps_both_and_reports_what_both_have() -> None:
    """RT-14.6."""
    left, right = Registry(), Registry()
    left.add_orchestration("O", one, version="2.0.0")
    left.add_activity("A", plain)
    right.add_orchestration("O", two, version="1.0.0")
    right.add_orchestration("O", two, version="2.0.0")
    right.add_activity("A", plain)
    right.add_activity("B", plain)
    left.merge(right)
    assert left.orchestration_versions("O") == ["1.0.0", "2.0.0"]
    assert left.activity_names() == ["A", "B"]
    assert problems_of(left) == "duplicate orchestration in merge: O@2.0.0; duplicate activity in merge: A"


def test_only_three_plain_numbers_are_a_version() -> None:
    """RT-14.8."""
    assert parse_version("0.1.32") == (0, 1, 32)
    for text in ("", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.-3", "1.2.3-rc1", "１.2.3"):
        assert parse_version(text) is None


def test_two_handlers_of_one_version_are_our_own_mistake_once_the_authors_are_sorted_out() -> None:
    """RT-14.3: what an author registers twice is a problem that `check` tells; nothing gets further."""
    registry = Registry()

    async def code(ctx: Any, input: str) -> str:
        return input

    registry.add_orchestration("Code", code)
    with pytest.raises(AssertionError, match=r"Code@1.0.0 would have two handlers"):
        registry._insert("Code", Version(1, 0, 0), code)
    registry._versions["Code"].clear()
    with pytest.raises(AssertionError, match="'Code' has handlers of"):
        registry.check()
    del registry._versions["Code"]
    with pytest.raises(AssertionError, match=r"'Code'. have handlers, and no versions"):
        registry.check()
