"""The custom status follows its events, one version per turn, and belongs to the instance (PV-16)."""

from __future__ import annotations

from holdfast.core.contract.management import PruneOptions
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import note, status
from holdfast.providers.conformance.registry import check


async def _told(fx: Fixture, text: str | None, version: int) -> None:
    """The custom status is this text in this version."""
    expect.equal(await fx.provider.get_custom_status("i", version - 1), (text, version), "the custom status")


@check("PVC-129")
async def custom_status_set(fx: Fixture) -> None:
    """A status event makes text and version 1 readable."""
    await fx.begin("i", status(2, "busy"))
    await _told(fx, "busy", 1)
    await fx.step("i", status(3, "x" * 262_144))
    await _told(fx, "x" * 262_144, 2)


@check("PVC-130")
async def custom_status_clear(fx: Fixture) -> None:
    """A clearing event removes the text and raises the version."""
    await fx.begin("i", status(2, "busy"))
    await fx.step("i", status(3, None))
    await _told(fx, None, 2)


@check("PVC-131")
async def custom_status_none_preserves(fx: Fixture) -> None:
    """A turn without status event changes neither text nor version."""
    await fx.begin("i", status(2, "busy"))
    await fx.step("i", note(3))
    await _told(fx, "busy", 1)
    expect.nothing(await fx.provider.get_custom_status("i", 1), "a newer version")


@check("PVC-132")
async def custom_status_version_increments(fx: Fixture) -> None:
    """Three turns with status events give versions 1, 2 and 3, also when the text does not change."""
    await fx.begin("i", status(2, "one"))
    await _told(fx, "one", 1)
    await fx.step("i", status(3, "one"))
    await _told(fx, "one", 2)
    await fx.step("i", status(4, "three"))
    await _told(fx, "three", 3)


@check("PVC-133")
async def custom_status_polling_no_change(fx: Fixture) -> None:
    """Asking with the current version gives nothing, with an older one the value."""
    await fx.begin("i", status(2, "busy"))
    expect.nothing(await fx.provider.get_custom_status("i", 1), "a newer version")
    expect.nothing(await fx.provider.get_custom_status("i", 9), "a version beyond")
    await _told(fx, "busy", 1)
    expect.equal(await fx.provider.get_custom_status("i", 0), ("busy", 1), "the status, asked for as unseen")


@check("PVC-134")
async def custom_status_nonexistent_instance(fx: Fixture) -> None:
    """An unknown instance gives nothing."""
    expect.nothing(await fx.provider.get_custom_status("nobody", 0), "the custom status")


@check("PVC-135")
async def custom_status_default_on_new_instance(fx: Fixture) -> None:
    """A new instance has version 0 and no status."""
    await fx.begin()
    expect.nothing(await fx.provider.get_custom_status("i", 0), "a version above 0")


@check("PVC-330")
async def custom_status_last_event_wins_once(fx: Fixture) -> None:
    """Three status events in one turn: the last text, version plus one."""
    await fx.begin("i", status(2, "one"), status(3, None), status(4, "three"))
    await _told(fx, "three", 1)


@check("PVC-331")
async def custom_status_survives_continue_as_new(fx: Fixture) -> None:
    """Status and version outlive the execution, and its pruning."""
    await fx.begin("i", status(2, "busy"), status="ContinuedAsNew")
    await fx.step(execution_id=2)
    await fx.management.prune_executions("i", PruneOptions())
    await _told(fx, "busy", 1)
    await fx.step("i", status(1, "next"), execution_id=2)
    await _told(fx, "next", 2)
