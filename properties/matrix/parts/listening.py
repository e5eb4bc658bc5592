"""Listening: a runtime on a provider that takes note of each call when it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from holdfast.core import Registry
from holdfast.core.contract.provider import Provider
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.runtime import Runtime
from holdfast.properties.matrix.parts.conversations import MINUTE
from holdfast.sim.stage.process import Process

_T = TypeVar("_T")


class Listened(ForwardingProvider):
    """Takes note of every call when it is made: the commit does not tell, as a call may reach the store
    late."""

    def __init__(self, inner: Provider, made: list[str], *, has_sessions: bool = True) -> None:
        super().__init__(inner)
        self.made = made
        self._has_sessions = has_sessions

    def supports_sessions(self) -> bool:
        return self._has_sessions

    async def _call(self, operation: str, begin: Callable[[], Awaitable[_T]]) -> _T:
        self.made.append(operation)
        return await begin()


def runtime_on(provider: Provider, process: Process, registry: Registry, **options: Any) -> Runtime:
    """A runtime with D = 60 s, as a worker of a world has it, on this provider instead of the process's."""
    options = {**MINUTE, **options}
    return Runtime(
        provider, registry, RuntimeOptions(**options), clock=process.clock, ids=process.ids, observer=process
    )
