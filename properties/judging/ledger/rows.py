"""The store's own rows, read through its inspection hooks after each commit that may have changed them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.properties.judging.ledger.instances import SessionKey


class Rows:
    """Session rows and worker-queue rows, now and before the latest reading.

    `changed` lists the keys whose session row differs from before, or came or went; it is empty, and
    `sessions` and `before` are the same object, when nothing changed.
    """

    __slots__ = (
        "_read_sessions",
        "_read_work",
        "_records",
        "before",
        "changed",
        "duplicated",
        "sessions",
        "work",
        "work_before",
        "work_changed",
    )

    def __init__(self, store: object) -> None:
        self._read_sessions: Callable[[], list[SessionRecord]] | None = getattr(
            store, "session_records", None
        )
        self._read_work: Callable[[], list[WorkerRow]] | None = getattr(store, "worker_rows", None)
        self._records: list[SessionRecord] = []
        self.sessions: dict[SessionKey, SessionRecord] = {}
        self.before = self.sessions
        self.changed: Sequence[SessionKey] = ()
        self.duplicated = False
        self.work: list[WorkerRow] = []
        self.work_before = self.work
        self.work_changed = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The hooks that the store does not have."""
        hooks = {"session_records": self._read_sessions, "worker_rows": self._read_work}
        return tuple(name for name, hook in hooks.items() if hook is None)

    def read(self) -> None:
        """Read the rows again."""
        if self._read_sessions is not None:
            records = self._read_sessions()
            if records == self._records:
                self._unchanged_sessions()
            else:
                self._take_sessions(records)
        if self._read_work is not None:
            work = self._read_work()
            self.work_before = self.work
            self.work_changed = work != self.work
            if self.work_changed:
                self.work = work

    def stay(self) -> None:
        """Keep the rows: a commit of this kind changes none."""
        self._unchanged_sessions()
        self.work_before = self.work
        self.work_changed = False

    def _unchanged_sessions(self) -> None:
        if self.changed:
            self.before = self.sessions
            self.changed = ()

    def _take_sessions(self, records: list[SessionRecord]) -> None:
        before = self.before = self.sessions
        self._records = records
        now = self.sessions = {(record[0], record[1]): record for record in records}
        self.duplicated = len(now) != len(records)
        changed = [key for key, record in now.items() if before.get(key) != record]
        changed += [key for key in before if key not in now]
        self.changed = changed


def is_live(row: SessionRecord | None, now: int) -> bool:
    """Whether the row names a worker whose lock has not expired; at the expiry itself it has (PV-3.5)."""
    return row is not None and row[3] is not None and row[3] > now
