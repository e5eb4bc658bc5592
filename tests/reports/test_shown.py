"""The summary in the terminal, the page, and the picture: what they say and what they must not."""

from __future__ import annotations

import hashlib
import io
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from holdfast.reports.coverage import Coverage, Spec, coverage
from holdfast.reports.evidence import Breach, CheckResult, ScenarioInfo, ScheduleResult, Tally
from holdfast.reports.html import html
from holdfast.reports.picture import write_picture
from holdfast.reports.terminal import print_summary, replay_line
from holdfast.traces.choice import Tape
from holdfast.traces.file import Fingerprints, Trace, TraceHeader, Violation
from holdfast.traces.steps import StepRecord

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"
TRACE = "owner-INV-03.trace.jsonl"


def covered(spec: Spec, *, message: str | None = None, title: str = "The owner crashes.") -> Coverage:
    tally = Tally("code", ["memory", "sqlite"])
    tally.know(
        ScenarioInfo(
            name="owner_crashes",
            title=title,
            covers=("5.1",),
            workers=2,
            faults={"crash": 1},
            situations=("session.taken_over",),
            level="multi-runtime",
        )
    )
    broken = () if message is None else (Breach(rule="INV-03", message=message, schedule=4, trace=TRACE),)
    for provider in ("memory", "sqlite"):
        tally.add(
            ScheduleResult(
                scenario="owner_crashes",
                provider=provider,
                schedule=4,
                fingerprint="f",
                situations=("session.taken_over",),
                asserted=("5.1",),
                breaches=broken if provider == "sqlite" else (),
                faults={"crash": 1},
                virtual_us=60_000_000,
            )
        )
        tally.check(CheckResult(id="PVC-1", provider=provider, outcome="skipped", reason="no hook"))
    return coverage(tally.evidence(), spec)


def a_trace(message: str) -> Trace:
    header = TraceHeader(
        scenario=message,
        provider="sqlite",
        fingerprints=Fingerprints(code="c", spec="s"),
        seed=1,
        strategy="random",
        schedule=4,
        violation=Violation(rule="INV-03", message=message, step=0),
        digest="d",
    )
    step = StepRecord(
        n=0, t_us=0, kind="commit", process=message, boot=1, operation="read", arguments={"item": message}
    )
    return Trace(header=header, tape=Tape(), steps=(step,))


def summary(made: Coverage, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(width=width, file=file)
    print_summary(console, made, trace_folder="holdfast-report/traces")
    return file.getvalue()


def test_the_summary_has_every_section_and_never_says_passed(spec: Spec) -> None:
    text = summary(covered(spec))
    assert re.search(r"5 Migration +2 ", text)
    assert re.search(r"7 Nothing yet +1 +· +· +· +1", text), "missing, not hidden"
    assert "passed" not in text.lower()
    assert "verdict: not found (2 schedules, residual risk 100 %)" in text
    assert "faults: 1 crash" in " ".join(text.split())


def test_violations_come_first_each_with_its_line_to_copy(spec: Spec) -> None:
    text = summary(covered(spec, message="delivered to a stranger"))
    lines = text.splitlines()
    assert lines[0].startswith("violated INV-03")
    assert f"  replay: holdfast replay holdfast-report/traces/{TRACE}" in lines
    assert "verdict: violated (1 rule)" in text


def test_what_follows_the_first_line_of_a_message_stays_a_table(spec: Spec) -> None:
    """The reference model's refusals show two rows side by side."""
    made = covered(spec, message="refused by SS-25.3\n          model  store\nworker_id a      <b>")
    lines = [line.rstrip() for line in summary(made).splitlines()]
    assert lines[2:4] == ["            model  store", "  worker_id a      <b>"]
    page = html(made, spec=spec)
    assert "<pre>          model  store\nworker_id a      &lt;b&gt;</pre>" in page


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_the_width(spec: Spec, width: int) -> None:
    text = summary(covered(spec, message="m " * 200), width)
    long = [line for line in text.splitlines() if len(line.rstrip()) > width]
    assert all(line.startswith("  replay:") for line in long), "only what is copied is not wrapped"


def test_text_from_outside_is_no_markup_in_the_terminal(spec: Spec) -> None:
    assert "[red]loud[/red]" in summary(covered(spec, message="[red]loud[/red]"))


def test_a_path_with_spaces_is_quoted() -> None:
    assert replay_line("a.jsonl", "my report/") == "replay: holdfast replay 'my report/a.jsonl'"


class Page(HTMLParser):
    """Tags with their attributes, and the text inside style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self.texts: list[str] = []
        self._current = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        members = dict(attributes)
        self.tags.append((tag, members))
        self._current = members.get("id") or tag if tag in ("style", "script") else ""

    def handle_endtag(self, tag: str) -> None:
        self._current = ""

    def handle_data(self, data: str) -> None:
        if self._current:
            self.inside[self._current] = self.inside.get(self._current, "") + data
        else:
            self.texts.append(data)


def test_the_page_needs_nothing_from_outside(spec: Spec) -> None:
    text = html(covered(spec, message="m"), traces={TRACE: a_trace("m")}, spec=spec)
    page = Page(text)
    for tag, members in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        assert "src" not in members and "style" not in members, (tag, members)
        assert not any(name.startswith("on") for name in members), (tag, members)
        assert (members.get("href") or "#").startswith("#"), members
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}, (
        "a name, not an address"
    )
    assert "url(" not in text and "@import" not in text


def test_the_policy_names_the_pages_own_style_and_script_and_nothing_else(spec: Spec) -> None:
    page = Page(html(covered(spec), spec=spec))
    policy = next(
        members["content"] or ""
        for tag, members in page.tags
        if tag == "meta" and members.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for name in ("style", "script"):
        digest = b64encode(hashlib.sha256(page.inside[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_hostile_text_is_escaped_everywhere(spec: Spec) -> None:
    made = covered(spec, message=HOSTILE, title=HOSTILE)
    text = html(made, traces={TRACE: a_trace(HOSTILE)}, trace_folder=HOSTILE, spec=spec)
    page = Page(text)
    assert not any(tag == "img" for tag, _ in page.tags)
    assert HOSTILE in page.texts
    timelines = msgspec.json.decode(page.inside["timelines"])
    assert timelines[TRACE]["why"] == HOSTILE
    assert text.count("<script") == 2 and text.count("</script>") == 2


def test_the_page_says_what_is_missing_and_opens_what_is_violated(spec: Spec) -> None:
    text = html(covered(spec, message="delivered to a stranger"), traces={TRACE: a_trace("m")}, spec=spec)
    assert "no scenario or conformance check covers it" in text
    assert f'data-trace="{TRACE}"' in text
    assert "PVC-1 was skipped: no hook" in text
    for words in ("Claim of 5.1.", "Oracle of 5.1.", "A crashed owner is replaced.", "session.taken_over"):
        assert words in text
    assert "passed" not in text.lower()


def test_a_healthy_row_can_show_a_run(spec: Spec) -> None:
    text = html(covered(spec), traces={TRACE: a_trace("m")}, representatives={"5.1": TRACE}, spec=spec)
    assert "See a run of it as a timeline" in text
    assert "See a run" not in html(covered(spec), representatives={"5.1": "another"}, spec=spec)


def test_equal_coverage_gives_the_same_page_and_the_same_picture(spec: Spec, tmp_path: Path) -> None:
    assert html(covered(spec), spec=spec) == html(covered(spec), spec=spec)
    for name in ("one.png", "two.png"):
        write_picture(tmp_path / name, covered(spec))
    one = (tmp_path / "one.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    assert one == (tmp_path / "two.png").read_bytes()


def test_the_page_is_made_of_the_whole_specification_by_default() -> None:
    made = coverage(Tally("code", ["memory"]).evidence())
    text = html(made)
    assert text.count('<details class="row" ') == len(made.rows)
