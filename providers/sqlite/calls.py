"""How a call reaches its connection, shared by the provider and its management object.

The loop decides where blocking work runs: asyncio's on the connection's thread, a simulated one inline. In
either case the call itself is one function that runs to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import apsw

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import Logged, Observer
from holdfast.core.contract.provider import FetchedTurn, FetchedWork
from holdfast.providers.sqlite.database import BREAKS_MAX, SLICE, Database, Transaction
from holdfast.providers.waiting import Elsewhere, Queue

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Fetched = TypeVar("_Fetched", FetchedTurn, FetchedWork)

LOOK_ELSEWHERE_MS: Final = 25
"""How often a waiting fetch sees whether another process has changed the file."""


class Question(NamedTuple):
    """What a fetch looks for: its queue, what makes two fetches interchangeable, and how long it may wait."""

    queue: Queue
    asked: Hashable
    poll_timeout: Millis


BRIEF: Final = frozenset(
    {
        "enqueue_for_orchestrator",
        "fetch_orchestration_item",
        "ack_orchestration_item",
        "abandon_orchestration_item",
        "renew_orchestration_item_lock",
        "enqueue_for_worker",
        "fetch_work_item",
        "fetch_session_work_item",
        "ack_work_item",
        "renew_work_item_lock",
        "abandon_work_item",
        "renew_session_lock",
        "release_session_lock",
        "read",
        "get_custom_status",
        "get_kv_value",
        "get_instance_info",
    }
)
"""Calls about one instance or item, of which a database in memory does thousands a second."""

LONG_S: Final = 0.008
"""How long a call may take before others of its operation are run on the thread: PV-28.9 allows 10 ms."""

CALLS_SENT_AFTER_A_LONG_ONE: Final = 20

NextChange = Callable[[Transaction], int]
"""The next time at which time alone may bring something to a queue."""

FORKED: Final = "the store was opened before this process was forked; make it again in the new process"

AbandonCall = Callable[[Transaction, LockToken, Millis, bool], None]
"""Abandons what a token holds: with a delay, and with or without counting the attempt."""


class SqliteCalls:
    """The calls of one opened provider."""

    def __init__(
        self,
        database: Database,
        observer: Observer | None,
        *,
        long_polling: bool,
        close_timeout: Millis | None = None,
    ) -> None:
        """With a `close_timeout` the database is one in a file: it is closed with this provider, and other
        processes may change it.
        """
        self._database = database
        self._observer = observer
        self._close_timeout = close_timeout
        self._closed = False
        self._long_polling = long_polling
        self._elsewhere = (
            Elsewhere(LOOK_ELSEWHERE_MS, self._look_elsewhere) if close_timeout is not None else None
        )
        self._looked_elsewhere = 0.0  # on the loop's clock
        self._long: dict[str, int] = {}  # how many calls of an operation go to the thread

    async def close(self) -> None:
        """Let running calls end, then free what this provider owns (PV-28.12). Closing again does nothing.

        Calls of a file that still run, or wait for another process, after the timeout are broken off.
        """
        if self._closed or self._database.closed:
            return
        self._closed = True
        if self._database.thread.is_elsewhere:
            return
        self._database.waiters.wake_all()
        if self._close_timeout is None:
            await self._run(lambda: None)
            return
        closing = asyncio.get_running_loop().run_in_executor(self._database.thread, self._database.close)
        if not closing.done():
            await asyncio.wait({closing}, timeout=self._close_timeout / 1000)
        for _ in range(BREAKS_MAX):
            if closing.done():
                return closing.result()
            self._database.break_off()
            await asyncio.wait({closing}, timeout=SLICE / 1000)
        self._database.leave_running()

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
        result = await self._run(
            lambda: self._database.write(operation, log, effect, *args, **kwargs), operation
        )
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
        return await self._run(lambda: self._database.read(operation, query, *args, **kwargs), operation)

    def now(self) -> Millis:
        """The store's clock, for a read that decides nothing; a `write` gets its own reading."""
        return self._database.now()

    async def fetch(
        self,
        operation: str,
        question: Question,
        next_change: NextChange,
        give_back: AbandonCall,
        effect: Callable[Concatenate[Transaction, _P], _Fetched | None],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _Fetched | None:
        """As `write`; if nothing is found, wait for something, up to the poll timeout (PV-23)."""
        queue, asked, poll_timeout = question
        waits = self._long_polling and poll_timeout > 0

        def attempt(transaction: Transaction) -> tuple[_Fetched | None, int]:
            found = effect(transaction, *args, **kwargs)
            return found, 0 if found is not None or not waits else next_change(transaction)

        async def look() -> tuple[_Fetched | None, int]:
            return await self._take(operation, give_back, attempt)

        if not waits:
            return (await look())[0]
        return await self._database.waiters.poll(
            queue, (operation, asked), poll_timeout, self._database.now, look, self._elsewhere
        )

    async def _take(
        self,
        operation: str,
        give_back: AbandonCall,
        attempt: Callable[[Transaction], tuple[_Fetched | None, int]],
    ) -> tuple[_Fetched | None, int]:
        """As `write`; but if the caller is cancelled meanwhile, what was taken is given back (PV-23.9)."""
        self._check_open(operation)
        log: list[Logged] = []
        taken: list[_Fetched] = []

        def take() -> tuple[_Fetched | None, int]:
            answer = self._database.write(operation, log, attempt)
            if answer[0] is not None:
                taken.append(answer[0])
            return answer

        def undo() -> None:
            for fetched in taken:
                with suppress(ProviderError):
                    self._database.write(operation, [], give_back, fetched.token, Millis(0), True)

        try:
            answer = await self._run(take, operation)
        except asyncio.CancelledError:
            # Calls run in the order they were submitted, so this one knows what the other one took.
            asyncio.get_running_loop().run_in_executor(self._database.thread, undo)
            raise
        self._tell(log)
        return answer

    async def _look_elsewhere(self) -> None:
        """At most once in a while for all that wait, on the connection's thread."""
        now = asyncio.get_running_loop().time()
        if (now - self._looked_elsewhere) * 1_000 < LOOK_ELSEWHERE_MS * 0.8:
            return
        self._looked_elsewhere = now
        self._check_open("fetch")
        await self._run(self._database.look_elsewhere)

    def _check_open(self, operation: str) -> None:
        if self._closed or self._database.closed:
            raise ProviderError.permanent(operation, "the provider is closed; open another one on the store")
        if self._database.thread.is_elsewhere:
            raise ProviderError.permanent(operation, FORKED)

    async def _run(self, call: Callable[[], _R], operation: str = "") -> _R:
        """On the connection's thread; at once if it is brief and the database is in memory.

        Such a call takes less time than waking the thread and coming back. One that turns out to be long,
        because there is much to store or to read, sends those that follow to the thread again (PV-28.9).
        """
        thread = self._database.thread
        loop = self._database.asked_from = asyncio.get_running_loop()
        if self._close_timeout is not None or operation not in BRIEF:
            return await loop.run_in_executor(thread, call)
        if self._long.get(operation, 0) > 0:
            self._long[operation] -= 1
            return await loop.run_in_executor(thread, call)
        if not thread.begin_now():
            return await loop.run_in_executor(thread, call)
        began = loop.time()
        try:
            return call()
        finally:
            thread.end_now()
            if loop.time() - began > LONG_S:
                self._long[operation] = CALLS_SENT_AFTER_A_LONG_ONE

    def _tell(self, log: list[Logged]) -> None:
        if self._observer is not None:
            for record in log:
                self._observer.notify(record)
