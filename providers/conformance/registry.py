"""The checks by id. Profile and polling kind decide which providers must pass; the rest is data of the
specification.

Clauses, category and level are looked up where results are reported; that ids, names and profiles agree with
the specification's data is tested there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from holdfast.providers.conformance.fixture import Fixture

Profile = Literal["core", "explicit"]
Polling = Literal["short", "long"]
CheckBody = Callable[[Fixture], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A registered check; its docstring is the claim that it checks."""

    id: str
    name: str
    profile: Profile
    polling: Polling | None
    body: CheckBody


REGISTRY: dict[str, Check] = {}
"""Filled as the modules of checks are imported; `catalogue.CHECKS` is the whole of it in order."""


def check(
    id: str, *, polling: Polling | None = None, profile: Profile = "core"
) -> Callable[[CheckBody], CheckBody]:
    """Register a check that every provider must pass, or every one that polls that way."""

    def register(body: CheckBody) -> CheckBody:
        assert id not in REGISTRY, f"{id} is registered twice"
        REGISTRY[id] = Check(
            id=id, name=getattr(body, "__name__", id), profile=profile, polling=polling, body=body
        )
        return body

    return register


def session_check(id: str, *, polling: Polling | None = None) -> Callable[[CheckBody], CheckBody]:
    """Register a check of the profile `explicit`: providers with explicit sessions must pass it."""
    return check(id, polling=polling, profile="explicit")
