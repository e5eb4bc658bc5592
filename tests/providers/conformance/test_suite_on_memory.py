"""The memory provider passes the whole suite (PV-29.5)."""

import asyncio

import pytest

from holdfast.core.contract.provider import Provider
from holdfast.core.hosting.instrumented import InstrumentedProvider
from holdfast.providers.conformance import CHECKS, Factory, run_check
from holdfast.providers.memory import memory_store
from holdfast.system import SystemClock


def measured(provider: Provider) -> Provider:
    """The metrics wrapper, which must change nothing; here nobody listens (PV-32.3)."""
    return InstrumentedProvider(provider, clock=SystemClock())


FACTORY = Factory(create=memory_store, long_polling=True, many_loops=True, wrap=measured)


@pytest.mark.parametrize("id", CHECKS)
def test_memory_holds(id: str) -> None:
    """PV-29.5, and the clauses that the check's data name."""
    result = asyncio.run(run_check(FACTORY, CHECKS[id]))
    if result.outcome == "skipped":
        pytest.skip(result.detail)
    assert result.outcome == "held", f"{id} {CHECKS[id].name}: {result.detail}"
