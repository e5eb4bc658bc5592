"""The report as pages: overview, one for each section, invariants, clauses, defects, and what is not covered.

Each page stands alone but for links to its neighbours; a row's address is its section's page and its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.reports.coverage import ClauseCoverage, Coverage, RowCoverage, Spec
from holdfast.reports.evidence import EVERY_PROVIDER, Evidence
from holdfast.reports.gaps import TEXTS, gaps
from holdfast.reports.html import Renderer
from holdfast.reports.hunted import CATCHES, HuntedDefect, by_defect
from holdfast.reports.plots import catches_plot, situations_plot
from holdfast.reports.terminal import replay_line
from holdfast.reports.timeline import Timeline, timeline
from holdfast.reports.words import MEANINGS, REQUIREMENTS, STATUSES, Status, is_covered
from holdfast.traces.file import Trace
from holdfast.traces.order import causal_past


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Traces by the names of their files.

    `broken` are those of violations, `shown` those of healthy runs; the folders are as a replay line gives
    them.
    """

    broken: Mapping[str, Trace] = field(default_factory=dict)
    shown: Mapping[str, Trace] = field(default_factory=dict)
    broken_folder: str = ""
    shown_folder: str = ""


def pages(
    made: Coverage, evidence: Evidence, *, traces: Traces | None = None, spec: Spec | None = None
) -> dict[str, str]:
    """All pages by the names of their files; `index.html` is the first to read."""
    spec, traces = spec or Spec(), traces or Traces()
    module = made.summary.module
    broken = {
        name: _timeline(name, trace, traces.broken_folder, module)
        for name, trace in sorted(traces.broken.items())
    }
    hunted = by_defect(evidence.kills)
    missing = gaps(made, evidence)
    renderer = Renderer(
        {
            "made": made,
            "providers": [name for name in made.summary.providers if name != EVERY_PROVIDER],
            "words_seen": _words_seen(made),
            "legend": [(status, made.summary.rows[status]) for status in reversed(STATUSES)],
            "page_of": {row.id: section_page(row.section) for row in spec.rows},
            "spec_rows": {row.id: row for row in spec.rows},
            "clauses": {clause.id: clause for clause in spec.clauses},
            "invariants": {line.id: line for line in made.invariants},
            "replay": lambda line: replay_line(line.trace, traces.broken_folder, line.provider, module),
            "section_page": section_page,
            "gap_count": missing.count(),
            "defect_count": len(hunted),
        }
    )
    return {
        "index.html": renderer.page(
            "index.html.j2",
            timelines=broken,
            covered=sum(is_covered(row.status) for row in made.rows),
            meanings=MEANINGS,
            requirements=REQUIREMENTS,
            situations=situations_plot(evidence.runs),
            widest=max((sum(section.rows.values()) for section in made.summary.sections), default=0),
        ),
        **_section_pages(made, renderer, broken, traces),
        "invariants.html": renderer.page("invariants.html.j2", timelines=broken),
        "clauses.html": renderer.page("clauses.html.j2", chapters=_chapters(made.clauses)),
        "kills.html": renderer.page(
            "kills.html.j2",
            hunted=hunted,
            words=CATCHES,
            counts=_counts(hunted),
            areas=sorted({line.area for line in hunted}),
            hunted_on=sorted({kill.provider for kill in evidence.kills}),
            strategies=sorted({strategy for kill in evidence.kills for strategy in kill.hunts}),
            catches=catches_plot(evidence.kills),
            stale=missing.stale,
        ),
        "uncovered.html": renderer.page("uncovered.html.j2", gaps=missing),
    }


def section_page(section: int) -> str:
    """The file of a section's page."""
    return f"section-{section:02}.html"


def _section_pages(
    made: Coverage, renderer: Renderer, broken: Mapping[str, Timeline], traces: Traces
) -> dict[str, str]:
    sections = made.summary.sections
    neighbours = zip((None, *sections), sections, (*sections[1:], None), strict=False)
    found: dict[str, str] = {}
    for before, section, after in neighbours:
        rows = [row for row in made.rows if row.section == section.id]
        found[section_page(section.id)] = renderer.page(
            "section.html.j2",
            timelines=_timelines_of(rows, broken, traces, made.summary.module),
            section=section,
            rows=rows,
            before=before,
            after=after,
        )
    return found


def _timelines_of(
    rows: Iterable[RowCoverage], broken: Mapping[str, Timeline], traces: Traces, module: str | None
) -> dict[str, Timeline]:
    """The violations of these rows, and a healthy run of each."""
    names = {line.trace: None for row in rows for line in row.violations if line.trace in broken}
    shown = {row.run: None for row in rows if row.run in traces.shown}
    return {
        **{name: broken[name] for name in names if name is not None},
        **{
            name: _timeline(name, traces.shown[name], traces.shown_folder, module)
            for name in shown
            if name is not None
        },
    }


def _timeline(name: str, trace: Trace, folder: str, module: str | None) -> Timeline:
    replay = replay_line(name, folder, trace.header.provider, module)
    violation = trace.header.violation
    at = violation.step if violation is not None else None
    cause = causal_past(trace.steps, at) if at is not None and trace.steps else None
    return timeline(trace, cause=cause, replay=replay)


def _words_seen(made: Coverage) -> list[Status]:
    """The words of rows on any provider, best first: the choices of the filter."""
    seen = {row.status for row in made.rows}
    seen |= {judged.status for row in made.rows for judged in row.providers.values()}
    return [status for status in reversed(STATUSES) if status in seen]


def _chapters(lines: Iterable[ClauseCoverage]) -> list[tuple[str, list[ClauseCoverage], dict[Status, int]]]:
    """The clauses by the text and heading they stand under, with counts of words, best first."""
    chapters: dict[str, list[ClauseCoverage]] = {}
    for line in lines:
        prefix = line.id.partition("-")[0]
        chapters.setdefault(f"{TEXTS.get(prefix, prefix)}, {line.section}", []).append(line)
    return [
        (
            heading,
            found,
            {word: sum(line.status == word for line in found) for word in reversed(STATUSES)},
        )
        for heading, found in chapters.items()
    ]


def _counts(hunted: Iterable[HuntedDefect]) -> dict[str, int]:
    words = [line.word for line in hunted]
    return {word: words.count(word) for word in CATCHES}
