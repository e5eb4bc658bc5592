"""Lines for a reader, without what a terminal would obey."""

from __future__ import annotations

import sys

import click

from holdfast.reports.escaping import printable


def say(text: str, *, err: bool = False) -> None:
    """Print a line, with control characters and what the stream cannot take escaped."""
    stream = sys.stderr if err else sys.stdout
    click.echo(printable(text, stream.encoding or "utf-8"), err=err)
