"""`python -m holdfast.providers.conformance MODULE:NAME [ID ...]`: the suite on your own provider.

NAME is a `Factory`, or a provider factory itself, called with clock and ids. Exit codes: 0 all held or were
skipped, 1 a check failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from dataclasses import asdict

from holdfast.core.contract.errors import ConfigurationError
from holdfast.providers.conformance.harness import Factory
from holdfast.providers.conformance.runner import CheckResult, run_suite


def main(arguments: list[str] | None = None) -> int:
    """Run the suite as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.providers.conformance")
    parser.add_argument("factory", metavar="MODULE:NAME", help="a Factory, or a provider factory")
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="checks to run, for instance PVC-214; default all"
    )
    parser.add_argument("--profile", choices=("core", "explicit"), help="only the checks of this profile")
    parser.add_argument("--json", action="store_true", help="print one JSON list of results")
    chosen = parser.parse_args(arguments)
    try:
        factory = named_factory(chosen.factory)
        results = asyncio.run(run_suite(factory, profile=chosen.profile, ids=chosen.ids or None))
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps([asdict(result) for result in results], indent=1) if chosen.json else table(results))
    return 1 if any(result.outcome == "failed" for result in results) else 0


def named_factory(name: str) -> Factory:
    """The factory that MODULE:NAME names. Raises ConfigurationError if there is none."""
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{name!r} names no factory, MODULE:NAME is expected: {error}") from error
    if isinstance(found, Factory):
        return found
    if not callable(found):
        raise ConfigurationError(f"{name!r} is neither a Factory nor a callable but a {type(found).__name__}")
    return Factory(create=found)


def table(results: list[CheckResult]) -> str:
    """Failures and skips line by line, then the counts."""
    lines = [f"{each.outcome:8}{each.id}  {each.detail}" for each in results if each.outcome != "held"]
    counts = {name: sum(each.outcome == name for each in results) for name in ("held", "failed", "skipped")}
    return "\n".join([*lines, ", ".join(f"{count} {name}" for name, count in counts.items())])


if __name__ == "__main__":
    sys.exit(main())
