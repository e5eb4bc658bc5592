"""The activities built into every worker: random ids, time, other instances' key-values (RT-18)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from holdfast.core.contract.clock import Clock, IdSource
from holdfast.core.contract.errors import ActivityError, ProviderError
from holdfast.core.program.registry import SYSCALL_PREFIX, ActivityHandler
from holdfast.core.working.activity_context import ActivityContext


class SystemActivityError(ActivityError):
    """A system call was given an input it cannot use; the text alone is the activity's failure (RT-18.4)."""


def system_activities(clock: Clock, ids: IdSource) -> Mapping[str, ActivityHandler]:
    """The system calls by their reserved names."""

    async def new_guid(_: ActivityContext, _input: str) -> str:
        return ids.guid()

    async def utc_now_ms(_: ActivityContext, _input: str) -> str:
        return str(clock.now_ms())

    return {
        f"{SYSCALL_PREFIX}new_guid": new_guid,
        f"{SYSCALL_PREFIX}utc_now_ms": utc_now_ms,
        f"{SYSCALL_PREFIX}get_kv_value": _get_kv_value,
    }


async def _get_kv_value(ctx: ActivityContext, input: str) -> str:
    try:
        request = msgspec.json.decode(input, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise SystemActivityError(f"get_kv_value: invalid input: {error}") from error
    instance_id = request.get("instance_id")
    key = request.get("key")
    if not isinstance(instance_id, str):
        raise SystemActivityError("get_kv_value: missing instance_id")
    if not isinstance(key, str):
        raise SystemActivityError("get_kv_value: missing key")
    try:
        value = await ctx.client.get_kv_value(instance_id, key)
    except ProviderError as error:
        raise SystemActivityError(f"get_kv_value client error: {error}") from error
    return msgspec.json.encode(value).decode()
