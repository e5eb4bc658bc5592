"""Assertions about answers. Each raises `Broken` with what was expected and what came instead."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.user_texts import excerpt
from holdfast.providers.conformance.harness import Broken

_T = TypeVar("_T")


def equal(actual: object, expected: object, what: str) -> None:
    """The two have the same value; a list and a tuple of the same elements count as the same."""
    if _plain(actual) != _plain(expected):
        raise Broken(f"{what}: expected {shown(expected)}, got {shown(actual)}")


def different(actual: object, other: object, what: str) -> None:
    """The two are not equal."""
    if actual == other:
        raise Broken(f"{what}: both are {shown(actual)}")


def true(condition: bool, what: str) -> None:
    """The statement `what` is true."""
    if not condition:
        raise Broken(f"not true: {what}")


def nothing(actual: object, what: str) -> None:
    """The answer is None, or an empty collection."""
    if actual is not None and actual != [] and actual != {} and actual != ():
        raise Broken(f"{what}: expected nothing, got {shown(actual)}")


def present(actual: _T | None, what: str) -> _T:
    """The answer is not None; it is returned."""
    if actual is None:
        raise Broken(f"{what}: expected something, got None")
    return actual


def same_elements(actual: Sequence[str], expected: Sequence[str], what: str) -> None:
    """The same texts in any order."""
    equal(sorted(actual), sorted(expected), what)


async def refused(call: Awaitable[object], *mentions: str) -> ProviderError:
    """The call raises a permanent ProviderError whose message has one of the texts; it is returned."""
    try:
        answer = await call
    except ProviderError as error:
        if error.retryable:
            raise Broken(f"expected a permanent error, got a retryable one: {error}") from error
        if mentions and not any(text.lower() in error.message.lower() for text in mentions):
            raise Broken(f"the error should mention {' or '.join(mentions)}: {error}") from error
        return error
    raise Broken(f"expected a permanent error, the call returned {shown(answer)}")


async def told_retryable(call: Awaitable[object]) -> ProviderError:
    """The call raises a retryable ProviderError; it is returned."""
    try:
        answer = await call
    except ProviderError as error:
        if not error.retryable:
            raise Broken(f"expected a retryable error, got a permanent one: {error}") from error
        return error
    raise Broken(f"expected a retryable error, the call returned {shown(answer)}")


async def refused_or_answered(call: Awaitable[_T]) -> _T | ProviderError:
    """The answer, or the permanent error in its place."""
    try:
        return await call
    except ProviderError as error:
        if error.retryable:
            raise
        return error


def _plain(value: object) -> object:
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def shown(value: object, length_max: int = 400) -> str:
    """A value as it can be printed: escaped, and cut."""
    return excerpt(ascii(value), length_max)
