"""What a simulated worker logs is told to whoever watches the run, not to the `logging` module."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from holdfast.core.contract.observe import Logged
from holdfast.core.program.registry import Registry
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.world import World


def test_a_simulated_worker_says_nothing_to_logging(
    run: Callable[..., Run], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a campaign it may fail a thousand fetches, and nobody wants to read that."""
    told: list[str] = []

    def notify(process: Process, event: object) -> None:
        if isinstance(event, Logged):
            told.append(event.event)

    monkeypatch.setattr(Process, "notify", notify)

    async def body(world: World) -> None:
        world.worker("w", Registry)
        await world.client.start_orchestration("i", "unknown")
        await world.quiet()

    with caplog.at_level(logging.DEBUG, "holdfast"):
        assert run(body).error is None
    assert any(text.startswith("Orchestration not registered") for text in told)
    assert not caplog.records
