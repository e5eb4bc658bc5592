"""What a run leaves in its store: the histories of all executions that were seen."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.store import Store
from holdfast.sim.loop.driving import drive
from holdfast.sim.stage.chronicle import Chronicle
from holdfast.traces.digest import Digest


def digest_of(chronicle: Chronicle, store: Store) -> str:
    """Commits in order, then the history of every execution that was seen."""
    made = Digest()
    for commit in chronicle.commits:
        made.commit(commit)
    for instance, execution_id, history in _histories(chronicle, store):
        if history is None:
            made.unreadable(instance, execution_id)
        else:
            made.history(instance, execution_id, history)
    return made.hexdigest()


def _histories(chronicle: Chronicle, store: Store) -> Iterator[tuple[str, int, list[StoredEvent] | None]]:
    """Each execution that was seen and its history; None if it cannot be read, as a scenario corrupted it."""
    provider = store.open()
    executions = chronicle.executions
    for instance in sorted(executions):
        assert executions[instance] >= 1, f"{instance!r} was seen with execution {executions[instance]}"
        for execution_id in range(1, executions[instance] + 1):
            try:
                history = drive(provider.read_with_execution(instance, execution_id), "read_with_execution")
            except ProviderError:
                history = None
            yield instance, execution_id, history


def readable_histories(chronicle: Chronicle, store: Store) -> dict[str, list[StoredEvent]]:
    """By instance, all executions in order; empty for one that cannot be read."""
    made: dict[str, list[StoredEvent]] = {}
    for instance, _, history in _histories(chronicle, store):
        made.setdefault(instance, []).extend(history or ())
    assert made.keys() == set(chronicle.executions), f"{sorted(made)}, seen were {chronicle.executions}"
    return made
