"""The conformance suite: what the provider contract promises, checked on any provider (PV-33).

Make a `Factory` of your store and run `run_suite`, or one check at a time from your own test framework with
`CHECKS` and `run_check`; `docs/conformance.md` shows both. The suite needs no framework, no sleeping and no
server: each check gets a fresh store and a clock that it steps itself.

Reading order: `harness` (factory, clock, ids), `messages` (what travels), `fixture` (the steps), `expect`,
`racing`, `registry`, then the checks, one module per guarantee, gathered in `catalogue` (what those of texts
send is in `texts` and `carrying`); `audit`, `runner`.
"""

from holdfast.providers.conformance.catalogue import CHECKS
from holdfast.providers.conformance.harness import CountingIds, Factory, ImplicitStore, SteppedClock
from holdfast.providers.conformance.registry import Check, Profile
from holdfast.providers.conformance.runner import CheckResult, run_check, run_suite

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "CountingIds",
    "Factory",
    "ImplicitStore",
    "Profile",
    "SteppedClock",
    "run_check",
    "run_suite",
]
