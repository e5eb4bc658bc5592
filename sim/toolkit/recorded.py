"""RecordedProvider: a bench's provider whose calls become commits and reach watchers like those of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from holdfast.core.contract.clock import ProviderClock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.provider import Provider
from holdfast.sim.stage.gate import Gate, behind
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import Arguments
from holdfast.traces.record import Commit, RunEnd, Watcher

CHECK = "check"
"""The name of the process that makes a check's calls."""


class CallRecord:
    """The calls of a check, in the order in which the store did them.

    Nothing comes between doing a call and recording it, so the two orders agree. A watcher that raises is
    dropped: it must not disturb the check.
    """

    def __init__(self, clock: ProviderClock) -> None:
        self.commits: list[Commit] = []
        self.errors: list[str] = []
        self._over = False
        self._clock = clock
        self._watching: Sequence[Watcher] = ()

    def watch(self, watchers: Sequence[Watcher]) -> None:
        """Report every call to these watchers, from now on."""
        assert not self.commits, f"{len(self.commits)} calls were made before the watchers were set"
        self._watching = watchers

    def call(self, operation: str, arguments: Arguments, result: object, error: ProviderError | None) -> None:
        """Record an answered call."""
        assert error is None or result is None, f"{operation} has both a result and an error: {error!r}"
        assert not self._over, f"{operation} is called after the end of the check"
        now = self._clock()
        at = len(self.commits)
        commit = Commit(at, CHECK, 1, operation, arguments, "answered", result, error, now * 1000, now)
        self.commits.append(commit)
        for watcher in self._watching:
            try:
                watcher.on_commit(commit)
            except Exception as raised:
                self.errors.append(f"{type(watcher).__name__}.on_commit raised {raised!r}")
                self._watching = [other for other in self._watching if other is not watcher]

    def end(self) -> None:
        """Tell the watchers that the check is over."""
        assert not self._over, "the check ends twice"
        self._over = True
        for watcher in self._watching:
            watcher.on_end(RunEnd(self._clock() * 1000, len(self.commits), None))


class RecordedProvider(Gate):
    """A provider whose calls are done at once and recorded. A cancelled call has no answer to record."""

    def __init__(self, provider: Provider, record: CallRecord) -> None:
        super().__init__(cast(Process, None), provider, cast(Any, None))
        self._provider = provider
        self._record = record

    async def _call(self, operation: str, arguments: Arguments) -> Any:
        try:
            result = await behind(self._provider, operation)(**arguments)
        except ProviderError as error:
            self._record.call(operation, arguments, None, error)
            raise
        self._record.call(operation, arguments, result, None)
        return result

    async def close(self) -> None:
        """Close the provider behind it."""
        await self._provider.close()
