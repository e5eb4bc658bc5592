"""Shown: rich's text, of which nothing is lost: rich drops some control characters before it prints."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from holdfast.reports.escaping import printable


class Shown(Text):
    """A text whose control characters are escaped when they come in."""

    def __init__(self, text: str = "", *given: Any, **named: Any) -> None:
        super().__init__(printable(text), *given, **named)

    def append(self, text: Text | str, *given: Any, **named: Any) -> Text:
        """As rich's."""
        return super().append(printable(text) if isinstance(text, str) else text, *given, **named)
