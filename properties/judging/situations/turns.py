"""Recognisers of situations at acknowledged turns: closings, carry-over, ends."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityFailedMessage
from holdfast.properties.judging.ledger.facts import Acked
from holdfast.properties.judging.ledger.rows import is_live
from holdfast.properties.judging.situations.scene import Scene


def closed_while_running(scene: Scene, fact: Acked) -> bool:
    return any(
        incarnation.closed and attempt is not None and attempt.running
        for item in fact.removed
        if (incarnation := item.incarnation) is not None
        for attempt in (scene.ledger.attempts.get(item.token or ""),)
    )


def closed_while_queued(scene: Scene, fact: Acked) -> bool:
    return any(
        item.incarnation is not None and item.incarnation.closed and item.token is None
        for item in fact.removed
    )


def reopened_same_turn(scene: Scene, fact: Acked) -> bool:
    closed = {incarnation.key for incarnation in fact.delta.closed if incarnation in fact.open_before}
    return any(incarnation.key in closed for incarnation in fact.delta.opened)


def opened_and_closed_same_turn(scene: Scene, fact: Acked) -> bool:
    return any(incarnation in fact.delta.closed for incarnation in fact.delta.opened)


def continued(fact: Acked) -> bool:
    return fact.metadata.status == "ContinuedAsNew"


def owned_across_continue(scene: Scene, fact: Acked) -> bool:
    ledger = scene.ledger
    return continued(fact) and any(
        is_live(ledger.rows.sessions.get((fact.instance.id, session_id)), ledger.now)
        for session_id in fact.instance.open
    )


def continued_while_running(scene: Scene, fact: Acked) -> bool:
    return continued(fact) and any(
        item.key is not None
        and (attempt := scene.ledger.attempts.get(item.token or "")) is not None
        and attempt.running
        for item in fact.removed
    )


def closed_after_carry(scene: Scene, fact: Acked) -> bool:
    scheduled_before = fact.delta.execution_id
    return scheduled_before > 1 and any(incarnation in fact.open_before for incarnation in fact.delta.closed)


def ended(status: str) -> Callable[[Scene, Acked], bool]:
    """An instance ended in this way while sessions were open. A cancelled one is `Failed` for the store."""

    def there(scene: Scene, fact: Acked) -> bool:
        if not fact.terminal or not fact.open_before:
            return False
        cancelled = fact.instance.cancel_requested and fact.metadata.status == "Failed"
        return (fact.metadata.status == status and not cancelled) or (status == "Cancelled" and cancelled)

    return there


def late_completion_dropped(scene: Scene, fact: Acked) -> bool:
    """A completion was read by a turn after its session was closed, and went into no history."""
    return any(
        isinstance(message, ActivityCompletedMessage | ActivityFailedMessage)
        and (activity := fact.instance.activities.get((message.execution_id, message.id))) is not None
        and activity.incarnation is not None
        and activity.incarnation.closed
        and activity not in fact.delta.completed
        for message in fact.messages
    )
