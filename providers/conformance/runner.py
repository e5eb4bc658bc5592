"""Running checks: each on its own fresh store, the audit after it, one result per check.

from holdfast.providers.conformance import Factory, run_suite

results = await run_suite(Factory(create=my_store, long_polling=False))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from holdfast.core.contract.errors import ConfigurationError
from holdfast.providers.conformance.audit import audit
from holdfast.providers.conformance.catalogue import CHECKS
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.harness import Broken, Factory, Skipped
from holdfast.providers.conformance.registry import Check, Profile

CheckWord = Literal["held", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one check went; `detail` says why it failed or was skipped."""

    id: str
    outcome: CheckWord
    detail: str = ""


async def run_check(factory: Factory, check: Check) -> CheckResult:
    """Run one check on a fresh store. Raises only what is not an Exception, such as cancellation."""
    polling = "long" if factory.long_polling else "short"
    if check.polling not in (None, polling):
        return CheckResult(id=check.id, outcome="skipped", detail=f"for {check.polling}-polling providers")
    try:
        fixture = Fixture(factory)
        try:
            await check.body(fixture)
            await audit(fixture)
        finally:
            await fixture.close()
    except Skipped as reason:
        return CheckResult(id=check.id, outcome="skipped", detail=str(reason))
    except Broken as finding:
        return CheckResult(id=check.id, outcome="failed", detail=str(finding))
    except Exception as error:
        return CheckResult(id=check.id, outcome="failed", detail=f"{type(error).__name__}: {error}")
    return CheckResult(id=check.id, outcome="held")


async def run_suite(
    factory: Factory, *, profile: Profile | None = None, ids: Iterable[str] | None = None
) -> list[CheckResult]:
    """Run all checks, those of one profile, or those named, in the order of their ids.

    Raises ConfigurationError for an id that is no check of the suite.
    """
    chosen = list(CHECKS.values()) if ids is None else [_named(id) for id in ids]
    return [await run_check(factory, each) for each in chosen if profile in (None, each.profile)]


def _named(id: str) -> Check:
    if id not in CHECKS:
        raise ConfigurationError(
            f"no conformance check {id!r}; the ids are those of provider-checks.toml, without the profile"
            " `implicit`, the checks of one server and the stress runs"
        )
    return CHECKS[id]
