"""Whatever a row of a file holds, of any type: a value or an error, and others go on (PV-14.8, PV-14.9)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.real_worker import SOON, run

from holdfast.core.client import Client, Completed
from holdfast.core.contract import codec
from holdfast.core.contract.errors import CodecError, HoldfastError
from holdfast.core.program.registry import Registry
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemIds, provider_clock

DEEP = '{"a":' + "[" * 5000 + "]" * 5000 + "}"

VALUES = {
    "a number": "7",
    "a fraction": "1.5",
    "bytes": "x'00ff'",
    "bytes of a text": "x'7b7d'",
    "no UTF-8": "CAST(x'22ff22' AS TEXT)",
    "nothing": "''",
    "another shape": "'[]'",
    "no such kind": """'{"Unknown":{}}'""",
    "deep": f"'{DEEP}'",
    "half a character": """'{"StartOrchestration":{"instance":"\\ud800"}}'""",
    "beyond all numbers": f"""'{{"event_id":1{"0" * 400},"type":"X"}}'""",
}
"""What a column may hold, as SQL."""

COLUMNS = [
    "orchestrator_queue.work_item",
    "orchestrator_queue.instance_id",
    "orchestrator_queue.attempt_count",
    "orchestrator_queue.visible_at",
    "orchestrator_queue.lock_token",
    "worker_queue.work_item",
    "worker_queue.instance_id",
    "worker_queue.session_id",
    "worker_queue.tag",
    "worker_queue.attempt_count",
    "worker_queue.visible_at",
    "worker_queue.locked_until",
    "history.event_data",
    "history.event_type",
    "instances.orchestration_name",
    "instances.orchestration_version",
    "instances.current_execution_id",
    "instances.custom_status",
    "instances.custom_status_version",
    "instances.parent_instance_id",
    "executions.status",
    "executions.output",
    "executions.duroxide_version_major",
    "kv_store.key",
    "kv_store.value",
    "kv_store.last_updated_at_ms",
    "instance_locks.lock_token",
    "instance_locks.locked_until",
]


def registry() -> Registry:
    registry = Registry()

    @registry.orchestration()
    async def waits(ctx: Any, input: str) -> str:
        ctx.set_custom_status("here")
        ctx.set_kv_value("k", "v")
        first = ctx.schedule_activity("echo", "1")
        await ctx.schedule_wait("go")
        return str(await first) + str(ctx.prune_kv_values_updated_before(2**62))

    @registry.activity()
    async def echo(ctx: Any, input: str) -> str:
        return input

    return registry


FILLED = """
INSERT INTO kv_store (instance_id, key, last_updated_at_ms, value) VALUES ('{sick}', 'old', 1, 'v');
INSERT INTO worker_queue (visible_at, created_at, instance_id, execution_id, activity_id, work_item)
VALUES (0, 0, '{sick}', 1, 9,
        '{{"ActivityExecute":{{"instance":"{sick}","execution_id":1,"id":9,"name":"echo","input":"x"}}}}');
INSERT OR REPLACE INTO instance_locks (instance_id, lock_token, locked_until, locked_at)
VALUES ('{sick}', 'old', 0, 0);
INSERT INTO orchestrator_queue (instance_id, visible_at, created_at, work_item)
VALUES ('{sick}', 0, 0, '{{"ExternalRaised":{{"instance":"{sick}","name":"go","data":""}}}}');
"""


def damage(path: Path, column: str, sick: dict[str, str]) -> int:
    """Put into each sick instance's row what it is named for; returns how many the tables let in."""
    table, name = column.split(".")
    rows = apsw.Connection(str(path))
    rows.set_busy_timeout(10_000)
    damaged = 0
    rows.execute("BEGIN IMMEDIATE")
    for instance, value in sick.items():
        rows.execute(FILLED.format(sick=instance))
        try:
            rows.execute(f"UPDATE {table} SET {name} = {VALUES[value]} WHERE instance_id = '{instance}'")
            damaged += rows.changes() > 0
        except apsw.ConstraintError:
            pass  # the tables themselves refuse it
    rows.execute("COMMIT")
    rows.close()
    return damaged


@pytest.mark.parametrize("column", COLUMNS)
def test_pv_14_8_damaged_rows_of_some_instances_stop_neither_worker_nor_other_instances(
    tmp_path: Path, column: str
) -> None:
    """PV-14.6 to PV-14.9: a healthy instance goes on, and questions are answered or refused."""
    path = tmp_path / "store.db"
    store = sqlite_store(provider_clock, SystemIds(), path=path)
    sick = {f"sick-{number}": value for number, value in enumerate(VALUES)}

    async def body(client: Client) -> None:
        for instance in sick:
            await client.start_orchestration(instance, "waits")
        for instance in sick:
            await client.wait_for_kv_value(instance, "k", SOON)
        assert damage(path, column, sick) > 0
        await client.start_orchestration("healthy", "waits")
        await client.wait_for_kv_value("healthy", "k", SOON)
        await client.raise_event("healthy", "go", "")
        assert isinstance(await client.wait_for_orchestration("healthy", SOON), Completed)
        for instance in sick:
            for ask in (
                client.get_orchestration_status(instance),
                client.get_kv_all_values(instance),
                client.read_history(instance),
                client.get_instance_info(instance),
                client.get_execution_info(instance, 1),
                client.get_instance_tree(instance),
                client.list_all_instances(),
            ):
                try:
                    await ask
                except HoldfastError as error:
                    assert str(error), error

    run(store, registry(), body)
    store.close()


stored = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.text(),
    st.text(st.characters()),
    st.binary(),
    st.sampled_from([*VALUES.values(), DEEP, '{"event_id":1,"type":"X"}', '{"ExternalRaised":7}']),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(
                    ["StartOrchestration", "ActivityExecute", "event_id", "type", "instance", "id"]
                ),
                inner,
                max_size=3,
            )
            | st.lists(inner, max_size=2)
        ),
        max_leaves=6,
    ).map(json.dumps),
)


@given(stored)
def test_pv_14_8_whatever_a_column_holds_is_a_value_or_a_codec_error(value: object) -> None:
    """PV-14.8, PV-14.9, RT-2.4, RT-3.3."""
    for read in (
        codec.decode_event,
        codec.decode_stored_event,
        codec.opaque_event,
        codec.decode_message,
        codec.decode_activity,
        codec.decode_work_item,
        codec.decode_text,
        codec.decode_number,
    ):
        try:
            read(value)
        except CodecError as error:
            assert len(str(error)) < 1000, error
