"""The overview picture: one bar for each section of the specification, coloured by the words of its rows.

Equal coverage gives equal bytes: the picture carries no time and no version. matplotlib is imported only when
a picture is drawn; it takes most of a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from holdfast.reports.coverage import Coverage
from holdfast.reports.words import STATUSES, Status

COLOURS: Final[dict[Status, str]] = {
    "verified": "#17603c",
    "exercised": "#3f8f66",
    "unreached": "#c98a1b",
    "unknown": "#8a74b8",
    "missing": "#dcd8ce",
    "violated": "#b3231b",
}
_PAPER: Final = "#fbfaf7"
_INK: Final = "#1f1e1b"
_SOFT: Final = "#5f5c55"


def write_picture(path: Path, made: Coverage) -> None:
    """Draw the picture as PNG. Raises OSError if the file cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sections = made.summary.sections
    figure = Figure(figsize=(10, 1.6 + 0.26 * len(sections)), dpi=120, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=_PAPER)
    left = [0] * len(sections)
    for status in reversed(STATUSES):
        counts = [section.rows[status] for section in sections]
        if any(counts):
            total = sum(counts)
            axes.barh(
                range(len(sections)),
                counts,
                left=left,
                height=0.66,
                color=COLOURS[status],
                label=f"{status} {total}",
            )
            left = [start + count for start, count in zip(left, counts, strict=True)]
    axes.set_yticks(
        range(len(sections)), [f"{section.title}   {section.id:>2}" for section in sections], fontsize=8.5
    )
    axes.invert_yaxis()
    axes.set_xlabel("rows of the test matrix", fontsize=8.5, color=_SOFT)
    axes.tick_params(colors=_INK, length=0)
    axes.tick_params(axis="x", labelsize=8, labelcolor=_SOFT)
    axes.grid(axis="x", color="#e3dfd5", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.margins(y=0.01)
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=_INK)
    figure.suptitle(
        f"Coverage of the specification: {made.summary.verdict}",
        x=0.01,
        horizontalalignment="left",
        fontsize=12,
        color=COLOURS["violated"] if made.summary.violations else _INK,
    )
    figure.savefig(path, format="png", metadata={"Software": None})
