"""Refusal: which rule does not allow what was seen, and what it would have allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Told = str | int | bool | None
"""A value as people read it."""

Fields = Mapping[str, Told]
"""A row or an answer, by the names of its parts; empty: there is none."""


class Refusal(NamedTuple):
    """`rule` is the clause; `subject` the row or answer it is about."""

    rule: str
    subject: str
    model: Fields
    store: Fields


def side_by_side(model: Fields, store: Fields) -> str:
    """Both as a table, one line per part; a mark where they differ."""
    names = list(dict.fromkeys((*model, *store)))
    lines = [("", "model", "store", "")]
    for name in names:
        left, right = _cell(model, name), _cell(store, name)
        lines.append((name, left, right, "" if left == right else "<"))
    if not names:
        lines.append(("", "absent", "absent", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, (*widths, 1), strict=True)).rstrip()
        for line in lines
    )


def _cell(fields: Fields, name: str) -> str:
    if not fields:
        return "absent"
    return str(fields.get(name, ""))
