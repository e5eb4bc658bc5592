"""Recognisers of situations at deliveries: claims, migrations, races, what was passed over."""

from __future__ import annotations

from holdfast.properties.judging.ledger.eligibility import session_is_open_to
from holdfast.properties.judging.ledger.facts import Delivered, Nothing
from holdfast.properties.judging.ledger.rows import is_live
from holdfast.properties.judging.ledger.workers import WorkerBoot
from holdfast.properties.judging.situations.scene import Scene


def claimed(scene: Scene, fact: Delivered) -> bool:
    return fact.item.key is not None and scene.is_claim(fact)


def _expired_owner(scene: Scene, fact: Delivered) -> WorkerBoot | None:
    """The worker from whom an expired session was taken."""
    before = fact.row_before
    if fact.item.key is None or before is None or before.worker_id in (None, fact.owner):
        return None
    return scene.ledger.named(before.worker_id) if scene.is_claim(fact) else None


def migrated(scene: Scene, fact: Delivered) -> bool:
    before = fact.row_before
    return (
        fact.item.key is not None
        and before is not None
        and before.worker_id not in (None, fact.owner)
        and scene.is_claim(fact)
    )


def taken_over_after_crash(scene: Scene, fact: Delivered) -> bool:
    previous = _expired_owner(scene, fact)
    return previous is not None and not previous.alive


def several_taken_over(scene: Scene, fact: Delivered) -> bool:
    previous = _expired_owner(scene, fact)
    if previous is None or previous.alive or previous.owner is None or fact.item.key is None:
        return False
    taken = scene.taken_over_from.setdefault(previous.owner, set())
    taken.add(fact.item.key)
    return len(taken) > 1


def expired_under_live_owner(scene: Scene, fact: Delivered) -> bool:
    previous = _expired_owner(scene, fact)
    return (
        previous is not None
        and previous.runs
        and any(
            attempt.key == fact.item.key and attempt.started_us is not None
            for attempt in previous.attempts.values()
        )
    )


def reclaimed(scene: Scene, fact: Delivered) -> bool:
    before = fact.row_before
    return (
        fact.item.key is not None
        and before is not None
        and before.worker_id == fact.owner
        and scene.is_claim(fact)
    )


def claimed_after_release(scene: Scene, fact: Delivered) -> bool:
    before, key = fact.row_before, fact.item.key
    if key is None or before is None or before.worker_id is not None or not scene.is_claim(fact):
        return False
    return any(
        worker.ended_leases.get(key) in ("idle", "shutdown")
        for worker in scene.ledger.workers
        if worker is not fact.worker
    )


def claim_raced(scene: Scene, fact: Delivered | Nothing) -> bool:
    """A full fetch at the very time of another worker's claim, which would have had the item if first."""
    claim = scene.claim
    return (
        claim is not None
        and fact.mode == "full"
        and scene.claim_us == scene.ledger.time_us
        and fact.worker.process != claim.worker.process
        and (isinstance(fact, Nothing) or fact.item.number != claim.item.number)
        and session_is_open_to(claim.row_before, fact.owner, "full", scene.ledger.now)
        and fact.filter.matches(claim.item.tag)
    )


def used_across_turns(scene: Scene, fact: Delivered) -> bool:
    key = fact.item.key
    return (
        key is not None
        and scene.is_extension(fact)
        and fact.item.enqueued_at > scene.claimed_at.get(key, 1 << 62)
    )


def passed_over(scene: Scene, fact: Delivered | Nothing) -> bool:
    """A free item of a session that is live and another's was left alone."""
    ledger = scene.ledger
    return any(
        item.key is not None
        and item.may_be_fetched(ledger.now, fact.filter)
        and is_live(row := ledger.rows.before.get(item.key), ledger.now)
        and row is not None
        and row.worker_id != fact.owner
        for item in ledger.queue
    )


def unclaimed_passed_over(scene: Scene, fact: Delivered | Nothing) -> bool:
    """At capacity: a free item of a session that nobody has was left alone."""
    ledger = scene.ledger
    return fact.mode == "owned" and any(
        item.key is not None
        and item.may_be_fetched(ledger.now, fact.filter)
        and not is_live(ledger.rows.before.get(item.key), ledger.now)
        for item in ledger.queue
    )


def plain_passes_session_item(scene: Scene, fact: Delivered | Nothing) -> bool:
    return fact.mode == "plain" and any(
        item.key is not None and item.may_be_fetched(scene.ledger.now, fact.filter)
        for item in scene.ledger.queue
    )


def plain_elsewhere(scene: Scene, fact: Delivered) -> bool:
    """A plain item of an instance went to a worker other than the owner of a session of that instance."""
    if fact.item.key is not None:
        return False
    instance = fact.item.identity[0]
    return any(
        key[0] == instance and row.worker_id not in (None, fact.owner) and is_live(row, scene.ledger.now)
        for key, row in scene.ledger.rows.sessions.items()
    )


def two_owners(scene: Scene, fact: Delivered) -> bool:
    ledger = scene.ledger
    owners = {row.worker_id for row in ledger.rows.sessions.values() if is_live(row, ledger.now)}
    return fact.item.key is not None and len(owners) > 1


def same_id_twice(scene: Scene, fact: Delivered) -> bool:
    key, rows = fact.item.key, scene.ledger.rows.sessions
    return key is not None and any(
        other[1] == key[1] and other != key and row.worker_id not in (None, fact.owner)
        for other, row in rows.items()
    )


def shared_by_slots(scene: Scene, fact: Delivered) -> bool:
    key = fact.item.key
    return key is not None and any(
        attempt.key == key and attempt is not fact.attempt and attempt.running
        for attempt in fact.worker.attempts.values()
    )


def redelivered_after_crash(scene: Scene, fact: Delivered) -> bool:
    return fact.was_attempt is not None and not fact.was_attempt.worker.alive


def same_attempt_again(scene: Scene, fact: Delivered) -> bool:
    return fact.item.uncharged > 0 and fact.number == fact.item.deliveries - fact.item.uncharged


def carry_followed(scene: Scene, fact: Delivered) -> bool:
    """An item of a later execution was delivered on a session opened in an earlier one."""
    incarnation = fact.item.incarnation
    if incarnation is None or fact.item.identity[1] == 1:
        return False
    return any(activity.execution_id < fact.item.identity[1] for activity in incarnation.activities)
