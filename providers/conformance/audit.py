"""What holds in every store at all times, verified after each check as far as hooks allow (PV-33.7)."""

from __future__ import annotations

from holdfast.core.contract.provider import TERMINAL_STATUSES
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture


async def audit(fx: Fixture) -> None:
    """Raise Broken if the store's records contradict each other."""
    finished = await _audit_instances(fx)
    if hasattr(fx.store, "worker_rows"):
        _audit_worker_rows(fx)
    if hasattr(fx.store, "session_records"):
        _audit_sessions(fx, finished)


async def _audit_instances(fx: Fixture) -> list[str]:
    """Current executions are the highest, event numbers occur once; returns the finished instances."""
    finished: list[str] = []
    management = fx.provider.as_management()
    if management is None:
        return finished
    for instance in await management.list_instances():
        info = await management.get_instance_info(instance)
        executions = await management.list_executions(instance)
        expect.equal(info.current_execution_id, max(executions, default=1), f"{instance}: current execution")
        expect.true(executions == sorted(executions), f"{instance}: executions {executions} ascend")
        if info.status in TERMINAL_STATUSES:
            finished.append(instance)
        for execution in [] if fx.damaged else executions:
            history = await fx.provider.read_with_execution(instance, execution)
            numbers = [event.event_id for event in history]
            expect.equal(numbers, sorted(dict.fromkeys(numbers)), f"{instance}/{execution}: event numbers")
    return finished


def _audit_worker_rows(fx: Fixture) -> None:
    """No two rows share a token, no count is negative, a claimer is noted on held session rows only."""
    held = [row.token for row in fx.rows() if row.token is not None]
    expect.equal(len(held), len(dict.fromkeys(held)), "different tokens among worker rows")
    for row in fx.rows():
        expect.true(row.attempt_count >= 0, f"attempt count of row {row.seq} is {row.attempt_count}")
        expect.true(
            (row.token is None) == (row.locked_until is None), f"row {row.seq}: token and expiry go together"
        )
        if row.claimed_by is not None:
            expect.true(
                row.token is not None and row.session_id is not None,
                f"row {row.seq} names {row.claimed_by} only while held and session-bound",
            )


def _audit_sessions(fx: Fixture, finished: list[str]) -> None:
    """One record per key, worker and expiry set together, none left in a finished instance."""
    keys = [(record.instance_id, record.session_id) for record in fx.sessions()]
    expect.equal(len(keys), len(dict.fromkeys(keys)), "one record per session")
    for record in fx.sessions():
        expect.true(
            (record.worker_id is None) == (record.locked_until is None),
            f"{record}: worker and expiry are set together",
        )
        if record.instance_id in finished:
            expect.true(
                (record.instance_id, record.session_id) in fx.enqueued_directly,
                f"{record} outlives its finished instance",
            )
