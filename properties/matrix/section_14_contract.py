"""Matrix section 14: what a provider is that says nothing of sessions."""

from __future__ import annotations

from typing import cast

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import Provider
from holdfast.sim.toolkit.scenario import scenario


async def _nothing(self: Provider, *given: object, **named: object) -> None:
    return None


@scenario(covers=["14.15", "SS-12.1"], workers=0, level="unit")
async def supports_sessions_false_default() -> None:
    """A provider that does not override it has no session support, and its session methods raise."""
    written = dict.fromkeys(sorted(Provider.__abstractmethods__), _nothing)
    minimal = cast(Provider, type("Minimal", (Provider,), written)())
    assert minimal.supports_sessions() is False
    second = Millis(1000)
    for call in (
        minimal.fetch_session_work_item(second, Millis(0), worker_id="w", session_lock_duration=second),
        minimal.renew_session_lock("i", "s", "w", extend_for=second),
        minimal.release_session_lock("i", "s", "w"),
    ):
        try:
            await call
        except ProviderError as error:
            assert not error.retryable, error
        else:
            raise AssertionError("a session method raised nothing")
