"""Why a fetch may not be answered this way: the clause nearest to what went wrong."""

from __future__ import annotations

from holdfast.properties.judging.model.delivery import admits, first_eligible, is_ready
from holdfast.properties.judging.model.move import RuleSubject
from holdfast.properties.judging.model.operations import Fetch, ItemDelivered, TurnDelivered
from holdfast.properties.judging.model.refusal import Refusal, Told
from holdfast.properties.judging.model.state import KnownItem, StoreState, Work, is_held, is_live, key_of


def shown(found: ItemDelivered | TurnDelivered | None) -> dict[str, Told]:
    """An answer as people read it."""
    if found is None:
        return {"answer": "done"}
    if type(found) is TurnDelivered:
        return {"turn of": found.instance}
    assert type(found) is ItemDelivered
    return {"item": item_name(found.work), "attempt": found.attempt_count}


def item_name(work: Work) -> str:
    """The readable name of an item: instance/execution/activity, and its session."""
    session = "" if work.session_id is None else f" on {work.session_id}"
    return f"{work.instance}/{work.execution_id}/{work.id}{session}"


def explained(
    state: StoreState,
    operation: Fetch,
    expected: ItemDelivered | TurnDelivered | None,
    found: ItemDelivered | TurnDelivered | None,
) -> Refusal:
    """The refusal of a fetch that should have been answered differently."""
    seen = found if type(found) is ItemDelivered else None
    rule = _rule(state, operation, seen)
    model = {"item": "nothing"} if expected is None else shown(expected)
    store = {"item": "nothing"} if found is None else shown(found)
    return Refusal(rule, f"what a {operation.mode} fetch by {operation.worker} delivers", model, store)


def _rule(state: StoreState, operation: Fetch, seen: ItemDelivered | None) -> str:
    first = first_eligible(state, operation, [])
    if seen is None:
        return "SS-13.1" if first is not None and first == state.queue[0] else "SS-13.4"
    item = _item_of(state, operation, seen.work)
    if item is None:
        return "SS-13.1"
    if not is_ready(item, operation, state.now):
        if is_held(item, state.now):
            return "PV-10.5"
        return "SS-13.3" if item.visible_from > state.now else "PV-12.7"
    if item is not first:
        return _wrongly_chosen(state, operation, first, item)
    if item.attempt_count + 1 != seen.attempt_count:
        return "PV-10.4"
    return "PV-10.9" if item.work != seen.work else "PV-7.5"


def _wrongly_chosen(state: StoreState, operation: Fetch, first: KnownItem | None, item: KnownItem) -> str:
    key = key_of(item)
    row = None if key is None else state.sessions.get(key)
    if key is not None and not admits(row, operation.worker, operation.mode, state.now):
        if operation.mode == "plain":
            return "SS-12.2"
        return "SS-25.7" if row is not None and is_live(row, state.now) else "SS-12.4"
    assert first is not None, "the item itself is eligible"
    if (first.session_id is None) != (item.session_id is None):
        return "SS-13.5"
    return "SS-13.2" if first.attempt_count else "SS-13.1"


def _item_of(state: StoreState, operation: Fetch, work: Work) -> KnownItem | None:
    """The item that is meant: of several alike, one that might be delivered if there is one."""
    passed: list[tuple[RuleSubject, str]] = []
    first = first_eligible(state, operation, passed)
    if first is not None and _identity(first.work) == _identity(work):
        return first
    alike = [
        item for item in state.queue if item.work is not None and _identity(item.work) == _identity(work)
    ]
    ready = [item for item in alike if is_ready(item, operation, state.now)]
    return next(iter((*ready, *alike)), None)


def _identity(work: Work | None) -> tuple[str, int, int] | None:
    return None if work is None else (work.instance, work.execution_id, work.id)
