"""Registry: which code runs under which name and version (RT-14).

Functions are registered by decorator:

    registry = Registry()

    @registry.orchestration()
    async def greet(ctx: OrchestrationContext, input: str) -> str: ...

    @registry.activity("Send")
    def send(ctx: ActivityContext, input: str) -> str: ...

Mistakes are collected; `check()`, which a runtime calls when it starts, raises them together (RT-14.6).
"""

from __future__ import annotations

import inspect
from bisect import insort
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from holdfast.core.contract.arguments import OF_OPTIONS, instance_of, text
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.provider import Version
from holdfast.core.contract.user_texts import shown

OrchestrationHandler = Callable[[Any, str], Coroutine[Any, Any, object]]
"""`async def f(ctx, input)`; what it returns is encoded by `payload.encode`."""

ActivityHandler = Callable[[Any, str], object]
"""`async def f(ctx, input)` or a plain function of the same form, which then runs in a thread."""

DEFAULT_VERSION: Final = "1.0.0"
SYSCALL_PREFIX: Final = "__duroxide_syscall:"
"""Prefix reserved for the activities built into every worker (RT-14.5, RT-18.1)."""

_Orchestration = TypeVar("_Orchestration", bound=OrchestrationHandler)
_Activity = TypeVar("_Activity", bound=ActivityHandler)


@dataclass(frozen=True, slots=True)
class Latest:
    """A start without a version takes the highest one registered; the default."""


@dataclass(frozen=True, slots=True)
class Exact:
    """A start without a version takes this one."""

    version: str


VersionPolicy = Latest | Exact


class ResolvedOrchestration(NamedTuple):
    """A handler and the version it is registered under, never None (RT-14.11)."""

    handler: OrchestrationHandler
    version: str


def parse_version(text: str) -> Version | None:
    """A version text `major.minor.patch` as numbers; None for anything else (RT-14.8)."""
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    version = Version(*(int(part) for part in parts))
    return version if str(version) == text else None


class Registry:
    """Orchestrations by name and version, activities by name."""

    def __init__(self) -> None:
        self._orchestrations: dict[str, dict[Version, OrchestrationHandler]] = {}
        self._versions: dict[str, list[Version]] = {}  # ascending; same keys as above
        self._policies: dict[str, VersionPolicy] = {}
        self._activities: dict[str, ActivityHandler] = {}
        self._problems: list[str] = []

    def orchestration(
        self, name: str | None = None, version: str = DEFAULT_VERSION
    ) -> Callable[[_Orchestration], _Orchestration]:
        """Register the decorated `async def f(ctx, input)` under its own name, or the one given."""

        _check_decorator("orchestration", name)

        def register(handler: _Orchestration) -> _Orchestration:
            self.add_orchestration(_name_of(handler) if name is None else name, handler, version=version)
            return handler

        return register

    def activity(self, name: str | None = None) -> Callable[[_Activity], _Activity]:
        """Register the decorated function, async or plain, under its own name, or the one given."""

        _check_decorator("activity", name)

        def register(handler: _Activity) -> _Activity:
            self.add_activity(_name_of(handler) if name is None else name, handler)
            return handler

        return register

    def add_orchestration(
        self, name: str, handler: OrchestrationHandler, *, version: str = DEFAULT_VERSION
    ) -> None:
        """Register an orchestration; a mistake is kept for `check` (RT-14.1 to RT-14.3)."""
        try:
            name = text("the name of an orchestration", name, OF_OPTIONS)
            version = text(f"the version of orchestration {name}", version, OF_OPTIONS)
        except ConfigurationError as error:
            self._problems.append(str(error))
            return
        if not _is_async(handler):
            self._problems.append(f"orchestration {name} must be an async function, it is {shown(handler)}")
            return
        parsed = parse_version(version)
        if parsed is None:
            self._problems.append(
                f"invalid orchestration version for {name}: {version!r} is not major.minor.patch"
            )
            return
        versions = self._versions.setdefault(name, [])
        if parsed in versions:
            self._problems.append(f"duplicate orchestration registration: {name}@{parsed}")
            return
        if versions and parsed < versions[-1]:
            self._problems.append(
                f"non-monotonic orchestration version for {name}: {parsed} is not later than existing "
                f"latest {versions[-1]}"
            )
            return
        self._insert(name, parsed, handler)

    def add_activity(self, name: str, handler: ActivityHandler) -> None:
        """Register an activity; a mistake is kept for `check` (RT-14.2, RT-14.5)."""
        try:
            name = text("the name of an activity", name, OF_OPTIONS)
        except ConfigurationError as error:
            self._problems.append(str(error))
            return
        function: object = handler
        if not callable(function):
            self._problems.append(f"activity {name} must be a function, it is {shown(handler)}")
        elif name.startswith(SYSCALL_PREFIX):
            self._problems.append(f"activity name '{name}' uses reserved prefix '{SYSCALL_PREFIX}'")
        elif name in self._activities:
            self._problems.append(f"duplicate activity registration: {name}")
        else:
            self._activities[name] = handler

    def merge(self, other: Registry) -> None:
        """Add everything in another registry; a name in both is a mistake (RT-14.6)."""
        instance_of("what is merged", other, Registry, OF_OPTIONS)
        self._problems.extend(other._problems)
        for name, versions in other._versions.items():
            for version in versions:
                if version in self._versions.get(name, ()):
                    self._problems.append(f"duplicate orchestration in merge: {name}@{version}")
                else:
                    self._insert(name, version, other._orchestrations[name][version])
            if name in other._policies:
                self._policies.setdefault(name, other._policies[name])
        for name, handler in other._activities.items():
            if name in self._activities:
                self._problems.append(f"duplicate activity in merge: {name}")
            else:
                self._activities[name] = handler

    def check(self) -> None:
        """Raise ConfigurationError if any registration was a mistake, naming all of them (RT-14.6)."""
        if self._problems:
            raise ConfigurationError("; ".join(self._problems))
        unversioned = self._orchestrations.keys() - self._versions.keys()
        assert not unversioned, f"{sorted(unversioned)} have handlers, and no versions"
        for name, versions in self._versions.items():
            handlers = self._orchestrations[name]
            assert versions == sorted(handlers), (
                f"{name!r} has handlers of {sorted(handlers)}, not {versions}"
            )

    def set_version_policy(self, name: str, policy: VersionPolicy) -> None:
        """Which version a start without one takes; may be changed at run time (RT-14.7).

        Raises ConfigurationError for a policy that is none, or names no version.
        """
        name = text("the name of an orchestration", name, OF_OPTIONS)
        if type(policy) is Exact:
            if parse_version(text("the version of a policy", policy.version, OF_OPTIONS)) is None:
                raise ConfigurationError(f"version {policy.version!r} of a policy is not major.minor.patch")
        elif type(policy) is not Latest:
            raise ConfigurationError(f"a version policy is Latest() or Exact(version), not {shown(policy)}")
        self._policies[name] = policy

    def resolve_orchestration(self, name: str, version: str | None = None) -> ResolvedOrchestration | None:
        """The handler for a start, None if not registered (RT-14.8, RT-14.9)."""
        versions = self._versions.get(name)
        if not versions:
            return None
        policy = self._policies.get(name, Latest())
        wanted: Version | None
        if version is not None:
            wanted = parse_version(version)
        elif isinstance(policy, Exact):
            wanted = parse_version(policy.version)
        else:
            wanted = versions[-1]
            assert wanted in self._orchestrations[name], f"{name}@{wanted} is the latest, and has no handler"
        handler = None if wanted is None else self._orchestrations[name].get(wanted)
        return None if handler is None else ResolvedOrchestration(handler, str(wanted))

    def resolve_activity(self, name: str) -> ActivityHandler | None:
        """The handler of an activity, None if not registered (RT-6.4)."""
        return self._activities.get(name)

    def orchestration_names(self) -> list[str]:
        """All registered orchestration names, ascending."""
        return sorted(self._versions)

    def orchestration_versions(self, name: str) -> list[str]:
        """All versions registered for a name, ascending."""
        return [str(version) for version in self._versions.get(name, ())]

    def activity_names(self) -> list[str]:
        """All registered activity names, ascending."""
        return sorted(self._activities)

    def _insert(self, name: str, version: Version, handler: OrchestrationHandler) -> None:
        assert version not in self._versions.get(name, ()), f"{name}@{version} would have two handlers"
        insort(self._versions.setdefault(name, []), version)
        self._orchestrations.setdefault(name, {})[version] = handler


def _check_decorator(kind: str, name: object) -> None:
    if name is not None and callable(name):
        raise ConfigurationError(f"@registry.{kind} needs parentheses: write @registry.{kind}()")


def _name_of(handler: Callable[..., object]) -> str:
    name = getattr(handler, "__name__", None)
    if not isinstance(name, str):
        raise ConfigurationError(f"{shown(handler)} has no name of its own; give one to the decorator")
    return name


def _is_async(handler: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__ is fine
    )
