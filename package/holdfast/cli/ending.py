"""How commands end: exit codes, and errors as one line instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import click

from holdfast.core.contract.errors import HoldfastError


class Exit(IntEnum):
    """Exit codes of the command line."""

    NOTHING_FOUND = 0
    VIOLATION = 1
    USAGE = 2
    HARNESS = 3
    NONDETERMINISM = 4
    NOTHING_SELECTED = 5
    INTERRUPTED = 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Bad input ends in one clear line and exit code 2; Ctrl-C in 130."""
    try:
        yield
    except (HoldfastError, OSError) as error:
        text = " ".join(str(error).split())
        click.echo(f"holdfast: {text}", err=True)
        sys.exit(Exit.USAGE)
    except KeyboardInterrupt:
        click.echo("holdfast: interrupted", err=True)
        sys.exit(Exit.INTERRUPTED)
