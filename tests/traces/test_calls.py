"""Every call of a provider is decoded into the record of its operation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest

from holdfast.core.contract.management import Management
from holdfast.core.contract.provider import Provider
from holdfast.sim.stage.gate import Gate
from holdfast.traces import calls
from holdfast.traces.calls import ProviderCall, ReadingCall, decoded
from holdfast.traces.record import Commit

NEVER_COMMITTED = {"name", "version", "supports_sessions", "as_management", "close"}


def methods(contract: type, prefix: str = "") -> dict[str, Callable[..., Any]]:
    return {
        prefix + name: method
        for name, method in vars(contract).items()
        if inspect.iscoroutinefunction(method) and name not in NEVER_COMMITTED
    }


METHODS = methods(Provider) | methods(Management, "management.")


@pytest.mark.parametrize("operation", METHODS)
def test_every_operation_has_a_record_of_all_its_parameters(operation: str) -> None:
    names = list(inspect.signature(METHODS[operation]).parameters)[1:]
    call = decoded(operation, dict.fromkeys(names, "given"))
    assert isinstance(call, ProviderCall)
    if isinstance(call, ReadingCall):
        assert call.operation == operation
        return
    fields = msgspec.structs.asdict(call)
    assert fields == dict.fromkeys(names, "given")
    words = operation.removeprefix("management.").split("_")
    assert type(call).__name__ == "".join(word.capitalize() for word in words) + "Call"


def test_no_record_is_of_no_operation() -> None:
    used = {
        type(decoded(name, dict.fromkeys(list(inspect.signature(method).parameters)[1:])))
        for name, method in METHODS.items()
    }
    assert used == set(get_args(ProviderCall))
    assert set(methods(Provider)) <= set(vars(Gate)), "what the gate records"


def test_what_no_provider_has_is_no_call() -> None:
    with pytest.raises(KeyError, match="vacuum"):
        decoded("vacuum", {})
    with pytest.raises(TypeError, match="extend_for"):
        decoded("renew_session_lock", {"instance_id": "i", "session_id": "s", "worker_id": "w"})


def test_a_commit_is_decoded_once() -> None:
    commit = Commit(0, "a", 1, "ack_work_item", {"token": "t", "completion": None}, "lost", None, None, 0, 0)
    assert commit.call == calls.AckWorkItemCall(token="t", completion=None)  # type: ignore[arg-type]
    assert commit.call is commit.call
    assert "_call" not in repr(commit)
