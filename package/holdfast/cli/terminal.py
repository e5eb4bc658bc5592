"""The terminal: one console, its colour decided once, and progress on a terminal only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from holdfast.reports.escaping import printable

Advance = Callable[[str, int, int], None]


def console(*, stderr: bool = False) -> Console:
    """A console with the colour that --color, NO_COLOR, FORCE_COLOR or the terminal asks for."""
    wish = click.get_current_context().find_root().obj
    if wish is None and os.environ.get("NO_COLOR"):
        wish = False
    if wish is None and os.environ.get("FORCE_COLOR"):
        wish = True
    return _Escaping(
        stderr=stderr,
        no_color=wish is False,
        force_terminal=True if wish else None,
        highlight=False,
        soft_wrap=False,
    )


class _Escaping(Console):
    """A console that shows what a terminal would obey; only rich's own styles reach it."""

    def render_str(self, text: str, **named: Any) -> Text:
        """The text of a string, before rich drops control characters from it."""
        return super().render_str(printable(text, self.encoding), **named)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable, with their texts escaped."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text, self.encoding), style, control)


@contextmanager
def progress() -> Iterator[Advance]:
    """A progress bar on standard error; nothing if that is not a terminal."""
    shown = console(stderr=True)
    if not shown.is_terminal:
        yield lambda what, done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=shown, transient=True) as bar:
        task = bar.add_task("", total=None)

        def advance(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{what[:50]:50}", completed=done, total=total)

        yield advance
