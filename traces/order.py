"""Happens-before: which steps of a run could have influenced which.

A step comes after another if the same boot of a process made both (program order), if it committed later on
a row that one of the two changes (commit order), or if it uses a lock token that the other one issued. A
reboot comes after the crash it answers, and a jump of the store's clock before every later commit. The
order is the transitive closure of that; steps it does not order could as well have come the other way round
(Lamport, 1978).
"""

from __future__ import annotations

from collections.abc import Sequence

import networkx

from holdfast.traces.steps import StepRecord


def happens_before(steps: Sequence[StepRecord]) -> networkx.DiGraph:
    """The graph whose nodes are places of steps and whose edges lead forward in time; paths are the order."""
    builder = _Builder()
    for step in steps:
        builder.add(step)
    return builder.graph


def causal_past(steps: Sequence[StepRecord], position: int) -> frozenset[int]:
    """The places of all steps that could have influenced the one at `position`, and that place itself.

    Raises ValueError if there is no such step.
    """
    graph = happens_before(steps)
    if position not in graph:
        raise ValueError(f"there is no step {position}: the run has {len(steps)} steps, numbered from 0")
    return frozenset(networkx.ancestors(graph, position)) | {position}


class _Builder:
    """Adds steps one by one, and for each the edges from those just before it."""

    def __init__(self) -> None:
        self.graph = networkx.DiGraph()
        self._latest: dict[tuple[str, int], int] = {}  # (process, boot) -> its latest step
        self._crash: dict[str, int] = {}
        self._writer: dict[str, int] = {}  # row -> its latest change
        self._readers: dict[str, list[int]] = {}  # row -> who has read since
        self._issued: dict[str, int] = {}  # token -> the fetch that issued it
        self._clock_jump: int | None = None

    def add(self, step: StepRecord) -> None:
        self.graph.add_node(step.n)
        if step.process is None:
            self._clock_jump = step.n
            return
        self._after(self._latest.get((step.process, step.boot)), step)
        self._latest[step.process, step.boot] = step.n
        if step.kind == "boot":
            self._after(self._crash.get(step.process), step)
        elif step.kind == "fault" and step.operation == "crash":
            self._crash[step.process] = step.n
        elif step.kind == "commit":
            self._commit(step)

    def _commit(self, step: StepRecord) -> None:
        self._after(self._clock_jump, step)
        token = step.arguments.get("token")
        if isinstance(token, str):
            self._after(self._issued.get(token), step)
        if step.issued:
            self._issued[step.issued] = step.n
        changes = changes_rows(step)
        for row in step.rows:
            self._after(self._writer.get(row), step)
            if changes:
                for reader in self._readers.pop(row, []):
                    self._after(reader, step)
                self._writer[row] = step.n
            else:
                self._readers.setdefault(row, []).append(step.n)

    def _after(self, earlier: int | None, step: StepRecord) -> None:
        if earlier is not None and earlier != step.n:
            self.graph.add_edge(earlier, step.n)


def changes_rows(step: StepRecord) -> bool:
    """Whether a commit changed anything: not a read, not refused, not kept from the store."""
    reads = step.operation.startswith(("read", "get_", "list_"))
    return not reads and step.outcome in ("answered", "lost") and step.error is None
