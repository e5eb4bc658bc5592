"""The report as one page that needs nothing else: no network, no other file, no script but its own.

Everything that comes from outside (titles, messages, payloads in traces) is escaped by the templates; the
timelines travel as JSON in a data block; and a content security policy names the page's own style and script
by their hashes and forbids the rest.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from holdfast.reports.coverage import ClauseCoverage, Coverage, Spec
from holdfast.reports.terminal import replay_line
from holdfast.reports.timeline import Timeline, duration, timeline
from holdfast.reports.words import MEANINGS, STATUSES, Status, is_covered
from holdfast.traces.file import Trace
from holdfast.traces.order import causal_past


def html(
    made: Coverage,
    *,
    traces: Mapping[str, Trace] | None = None,
    representatives: Mapping[str, str] | None = None,
    trace_folder: str = "",
    spec: Spec | None = None,
) -> str:
    """The page.

    Args:
        traces: by the file names that the coverage's violations (or `representatives`) refer to.
        representatives: for healthy rows, by id, the name of a trace that shows a run of them.
        trace_folder: where the trace files are, as the reader of a replay line would type it.
    """
    spec = spec or Spec()
    timelines = {
        name: _timeline(trace, replay_line(name, trace_folder))
        for name, trace in sorted((traces or {}).items())
    }
    style, script = _asset("report.css"), _asset("report.js") + _asset("timeline.js")
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            made=made,
            providers=[name for name in made.summary.providers if name != "*"],
            covered=sum(is_covered(row.status) for row in made.rows),
            legend=[(status, made.summary.rows[status]) for status in reversed(STATUSES)],
            meanings=MEANINGS,
            chapters=_chapters(made),
            spec_rows={row.id: row for row in spec.rows},
            clauses={clause.id: clause for clause in spec.clauses},
            invariants={line.id: line for line in made.invariants},
            timelines=timelines,
            representatives=representatives or {},
            replay_line=replay_line,
            folder=trace_folder,
            duration=duration,
            data=_data(timelines),
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
        )
    )


def _timeline(trace: Trace, replay: str) -> Timeline:
    violation = trace.header.violation
    at = violation.step if violation is not None else None
    cause = causal_past(trace.steps, at) if at is not None and trace.steps else None
    return timeline(trace, cause=cause, replay=replay)


def _chapters(made: Coverage) -> list[tuple[str, list[ClauseCoverage], dict[Status, int]]]:
    """The clauses by the text and heading they stand under, with counts of words, best first."""
    texts = {"SS": "Sessions", "PV": "Providers", "RT": "Runtime"}
    chapters: dict[str, list[ClauseCoverage]] = {}
    for line in made.clauses:
        prefix = line.id.partition("-")[0]
        chapters.setdefault(f"{texts.get(prefix, prefix)}, {line.section}", []).append(line)
    return [
        (
            heading,
            lines,
            {word: sum(line.status == word for line in lines) for word in reversed(STATUSES)},
        )
        for heading, lines in chapters.items()
    ]


def _data(timelines: Mapping[str, Timeline]) -> Markup:
    """JSON that no HTML parser finds a tag in."""
    text = msgspec.json.encode(timelines).decode()
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return files("holdfast.reports").joinpath("assets", name).read_text(encoding="utf-8")


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("holdfast.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
