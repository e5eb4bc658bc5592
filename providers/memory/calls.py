"""MemoryCalls: runs one plain function at a time over the tables of a store, from any thread.

`threading` is needed here and only here: one store serves several event loops in several threads (PV-29.4).
The lock is held for one function, never across an await. If a function raises, its changes are undone
(PV-29.3).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.breakage import MESSAGE, Breakage
from holdfast.providers.memory.tables import Tables
from holdfast.providers.waiting import BOTH, TURNS, WORK, Waiters

_MAY_BRING: Final = {
    "enqueue_for_orchestrator": TURNS,
    "abandon_orchestration_item": TURNS,
    "renew_orchestration_item_lock": TURNS,  # it may end earlier than before
    "append_with_execution": TURNS,  # messages of an instance without a record get a context (PV-7.11)
    "enqueue_for_worker": WORK,
    "ack_work_item": TURNS,
    "renew_work_item_lock": WORK,
    "abandon_work_item": WORK,
    "release_session_lock": WORK,
}
"""Where a change may have made something eligible; a change that is not named here, in both queues."""

P = ParamSpec("P")
_T = TypeVar("_T")


class MemoryCalls:
    """The tables of one store, its clock and ids, and who waits for a change."""

    def __init__(self, clock: ProviderClock, ids: IdSource) -> None:
        self.tables = Tables()
        self.clock = clock
        self.ids = ids
        self.waiters = Waiters()
        self.closed = False
        self.breakage = Breakage()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Refuse every later call, and end all waits."""
        self.closed = True
        self.waiters.wake_all()

    def read(
        self, operation: str, call: Callable[Concatenate[Tables, P], _T], /, *args: P.args, **kwargs: P.kwargs
    ) -> _T:
        """Run a function that changes nothing. Raises ProviderError, permanent, when closed."""
        self._refuse_if_closed(operation)
        with self._lock:
            return call(self.tables, *args, **kwargs)

    def look(
        self,
        operation: str,
        call: Callable[Concatenate[Tables, Millis, P], _T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> _T:
        """Run a function at one reading of the clock (PV-3.6); nobody is waiting for what it does."""
        self._refuse_if_closed(operation)
        with self._lock:
            if self.breakage.operation == operation:
                self._break(operation)
            now = self.clock()
            try:
                result = call(self.tables, now, *args, **kwargs)
                self.tables.journal.commit()
            except BaseException:
                self.tables.journal.roll_back()
                raise
            finally:
                self.tables.settle(now)
            return result

    def change(
        self,
        operation: str,
        call: Callable[Concatenate[Tables, Millis, P], _T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> _T:
        """As `look`, and wake those who wait for a change (PV-23.6)."""
        result = self.look(operation, call, *args, **kwargs)
        self.waiters.wake(_MAY_BRING.get(operation, BOTH))
        return result

    def _break(self, operation: str) -> None:
        error = ProviderError(operation, MESSAGE, retryable=self.breakage.retryable)
        self.tables.journal.break_at(self.breakage.change, error)
        self.breakage.spend()

    def _refuse_if_closed(self, operation: str) -> None:
        if self.closed:
            raise ProviderError.permanent(operation, "the store is closed")
