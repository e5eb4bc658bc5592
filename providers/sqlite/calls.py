"""How a call reaches its connection, shared by the provider and its management object.

The loop decides where blocking work runs: asyncio's on the connection's thread, a simulated one inline. In
either case the call itself is one function that runs to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import Logged, Observer
from holdfast.core.contract.provider import FetchedTurn, FetchedWork
from holdfast.providers.sqlite.database import Database, Transaction

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Fetched = TypeVar("_Fetched", FetchedTurn, FetchedWork)

AbandonCall = Callable[[Transaction, LockToken, Millis, bool], None]
"""Abandons what a token holds: with a delay, and with or without counting the attempt."""


class SqliteCalls:
    """The calls of one opened provider."""

    def __init__(self, database: Database, observer: Observer | None, on_close: Callable[[], None]) -> None:
        """`on_close` frees what belongs to this provider alone; it runs after the last call."""
        self._database = database
        self._observer = observer
        self._on_close = on_close
        self._closed = False

    async def close(self) -> None:
        """Let running calls end, then free what this provider owns (PV-28.12). Closing again does nothing."""
        if not self._closed and not self._database.closed:
            self._closed = True
            await self._run(self._on_close)

    async def write(
        self,
        operation: str,
        effect: Callable[Concatenate[Transaction, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Run an effect in a transaction of its own. Raises ProviderError."""
        self._check_open(operation)
        log: list[Logged] = []
        result = await self._run(lambda: self._database.write(operation, log, effect, *args, **kwargs))
        self._tell(log)
        return result

    async def read(
        self,
        operation: str,
        query: Callable[Concatenate[apsw.Connection, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Run a query without a transaction of its own. Raises ProviderError."""
        self._check_open(operation)
        return await self._run(lambda: self._database.read(operation, query, *args, **kwargs))

    def now(self) -> Millis:
        """The store's clock, for a read that decides nothing; a `write` gets its own reading."""
        return self._database.now()

    async def fetch(
        self,
        operation: str,
        give_back: AbandonCall,
        effect: Callable[Concatenate[Transaction, _P], _Fetched | None],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _Fetched | None:
        """As `write`; but if the caller is cancelled meanwhile, what was taken is given back (PV-23.9)."""
        self._check_open(operation)
        log: list[Logged] = []
        taken: list[_Fetched] = []

        def take() -> _Fetched | None:
            fetched = self._database.write(operation, log, effect, *args, **kwargs)
            if fetched is not None:
                taken.append(fetched)
            return fetched

        def undo() -> None:
            for fetched in taken:
                with suppress(ProviderError):
                    self._database.write(operation, [], give_back, fetched.token, Millis(0), True)

        try:
            fetched = await self._run(take)
        except asyncio.CancelledError:
            # Calls run in the order they were submitted, so this one knows what the other one took.
            asyncio.get_running_loop().run_in_executor(self._database.thread, undo)
            raise
        self._tell(log)
        return fetched

    def _check_open(self, operation: str) -> None:
        if self._closed or self._database.closed:
            raise ProviderError.permanent(operation, "the provider is closed; open another one on the store")

    async def _run(self, call: Callable[[], _R]) -> _R:
        return await asyncio.get_running_loop().run_in_executor(self._database.thread, call)

    def _tell(self, log: list[Logged]) -> None:
        if self._observer is not None:
            for record in log:
                self._observer.notify(record)
