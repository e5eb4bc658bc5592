"""How commands end: exit codes, and errors as one line instead of a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import click

from holdfast.cli.saying import say
from holdfast.core.contract.errors import HoldfastError
from holdfast.core.contract.user_texts import error_text


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
    """Bad input ends in one clear line and exit code 2; Ctrl-C in 130; what nobody foresaw in a line and 3.

    With HOLDFAST_TRACEBACK set, an unforeseen error shows its traceback as well.
    """
    try:
        yield
    except (HoldfastError, OSError) as error:
        text = " ".join(str(error).split())
        say(f"holdfast: {text}", err=True)
        sys.exit(Exit.USAGE)
    except KeyboardInterrupt:
        say("holdfast: interrupted", err=True)
        sys.exit(Exit.INTERRUPTED)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        if os.environ.get("HOLDFAST_TRACEBACK"):
            say("".join(traceback.format_exception(error)), err=True)
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(error_text(error).split())
        say(
            f"holdfast: unforeseen error at {place.filename}:{place.lineno}: {text};"
            " set HOLDFAST_TRACEBACK=1 for the traceback",
            err=True,
        )
        sys.exit(Exit.HARNESS)
