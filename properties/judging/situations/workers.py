"""Recognisers of situations in what workers do, and in what befalls them."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.core.contract.observe import CapacityChanged, HandlerSignalled, HandlerStopped, LeaseEnded
from holdfast.core.contract.work_items import ActivityFailedMessage
from holdfast.properties.judging.ledger.facts import Done, DoneRejected, ItemRenewed, Released, Renewed
from holdfast.properties.judging.ledger.rows import is_live
from holdfast.properties.judging.situations.scene import Scene
from holdfast.traces.record import Commit, Fault, Local


def renewed_between(scene: Scene, fact: Renewed) -> bool:
    return fact.ok and not any(attempt.key == fact.key for attempt in fact.worker.attempts.values())


def renewed_late(scene: Scene, fact: Renewed | ItemRenewed) -> bool:
    return fact.ok and fact.row_before is not None and not is_live(fact.row_before, scene.ledger.now)


def stolen(scene: Scene, fact: Renewed) -> bool:
    return not fact.ok and fact.row_after is not None and fact.row_after.worker_id not in (None, fact.owner)


def session_of_item_renewed(scene: Scene, fact: ItemRenewed) -> bool:
    return fact.ok and fact.item is not None and fact.item.key is not None


def released(cause: str) -> Callable[[Scene, Released], bool]:
    def there(scene: Scene, fact: Released) -> bool:
        return fact.ok and fact.hit and fact.worker.ended_leases.get(fact.key) == cause

    return there


def lease_ended(*causes: str) -> Callable[[Scene, Local], bool]:
    def there(scene: Scene, local: Local) -> bool:
        return isinstance(local.event, LeaseEnded) and local.event.cause in causes

    return there


def lease_ended_after_end(scene: Scene, local: Local) -> bool:
    event = local.event
    if not isinstance(event, LeaseEnded) or event.cause != "lost":
        return False
    instance = scene.ledger.instances.get(event.instance_id)
    return instance is not None and instance.ended_at is not None


def signalled(*causes: str) -> Callable[[Scene, Local], bool]:
    def there(scene: Scene, local: Local) -> bool:
        return isinstance(local.event, HandlerSignalled) and local.event.cause in causes

    return there


def stopped(outcome: str) -> Callable[[Scene, Local], bool]:
    def there(scene: Scene, local: Local) -> bool:
        return isinstance(local.event, HandlerStopped) and local.event.outcome == outcome

    return there


def poisoned(scene: Scene, fact: Done) -> bool:
    completion = fact.completion
    return isinstance(completion, ActivityFailedMessage) and completion.details.poison is not None


def late_completion_refused(scene: Scene, fact: DoneRejected) -> bool:
    attempt = fact.attempt
    return (
        fact.completion is not None
        and attempt is not None
        and attempt.item_gone_at is not None
        and attempt.key is not None
    )


def full(scene: Scene, local: Local) -> bool:
    event = local.event
    return isinstance(event, CapacityChanged) and event.leases + event.kept >= event.limit


# --- faults ---


def crashed(*, with_item: bool) -> Callable[[Scene, Fault], bool]:
    """The owner of a live session crashes, with an item of it in flight or without any."""

    def there(scene: Scene, fault: Fault) -> bool:
        ledger = scene.ledger
        for worker in ledger.workers:
            if fault.kind != "crash" or worker.process != fault.process or not worker.alive:
                continue
            for key, row in ledger.rows.sessions.items():
                if row.worker_id is not None and row.worker_id == worker.owner:
                    in_flight = any(attempt.key == key for attempt in worker.attempts.values())
                    if in_flight == with_item:
                        return True
        return False

    return there


def struck(kind: str, *, forward: bool | None = None) -> Callable[[Scene, Fault], bool]:
    def there(scene: Scene, fault: Fault) -> bool:
        return fault.kind == kind and (forward is None or (fault.amount_ms > 0) == forward)

    return there


def outcome(outcome: str, operation: str | None = None) -> Callable[[Scene, Commit], bool]:
    def there(scene: Scene, commit: Commit) -> bool:
        return commit.outcome == outcome and operation in (None, commit.operation)

    return there
