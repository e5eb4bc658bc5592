"""The summary in the terminal, the pages, and the picture: what they say and what they must not."""

from __future__ import annotations

import hashlib
import io
import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from holdfast.reports.coverage import Coverage, Spec, coverage
from holdfast.reports.evidence import Breach, CheckEvidence, Evidence, ScenarioInfo, ScheduleResult, Tally
from holdfast.reports.html import prose
from holdfast.reports.hunted import by_defect
from holdfast.reports.kills import Catch, Kill, RowKill
from holdfast.reports.pages import Traces, pages
from holdfast.reports.picture import write_picture
from holdfast.reports.terminal import print_summary, replay_line
from holdfast.reports.words import MEANINGS, REQUIREMENTS
from holdfast.traces.choice import Tape
from holdfast.traces.file import Fingerprints, Trace, TraceHeader, Violation
from holdfast.traces.steps import StepRecord

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"
TRACE = "owner-INV-03.trace.jsonl"
RUN = "owner_crashes.trace.jsonl"


def a_kill(name: str, provider: str, caught_by: str | None, schedules: int | None) -> Kill:
    return Kill(
        defect=name,
        title=f"Changes {name}",
        area="provider",
        meant="5.1",
        provider=provider,
        scenario="owner_crashes",
        caught_by=caught_by,
        hunts={"random": (Catch(schedules, 0.5), Catch(schedules, 0.7))},
        rows={"5.1": RowKill(rule="5.1", where="owner_crashes", schedules=schedules) if schedules else None},
        fingerprint="code",
    )


KILLS = (
    a_kill("lapses_late", "memory", "5.1", 3),
    a_kill("lapses_late", "sqlite", "5.1", 40),
    a_kill("nobody_sees", "memory", None, None),
)


def covered(spec: Spec, *, message: str | None = None, title: str = "The owner crashes.") -> Coverage:
    return coverage(seen(message=message, title=title), spec)


def seen(*, message: str | None = None, title: str = "The owner crashes.") -> Evidence:
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
        tally.check(CheckEvidence(id="PVC-1", provider=provider, outcome="skipped", reason="no hook"))
    return replace(tally.evidence(), kills=KILLS, shown={"owner_crashes": RUN})


def site(spec: Spec, *, message: str | None = None, title: str = "The owner crashes.") -> dict[str, str]:
    """All pages of a check with or without a violation."""
    evidence = seen(message=message, title=title)
    traces = Traces(
        broken={TRACE: a_trace(message)} if message is not None else {},
        shown={RUN: a_trace(None)},
        broken_folder="report/traces",
        shown_folder="report/runs",
    )
    return pages(coverage(evidence, spec), evidence, traces=traces, spec=spec)


def a_trace(message: str | None) -> Trace:
    header = TraceHeader(
        scenario=message or "owner_crashes",
        provider="sqlite",
        fingerprints=Fingerprints(code="c", spec="s"),
        seed=1,
        strategy="random",
        schedule=4,
        violation=None if message is None else Violation(rule="INV-03", message=message, step=0),
        digest="d",
    )
    step = StepRecord(
        n=0,
        t_us=0,
        kind="commit",
        process=message or "a",
        boot=1,
        operation="read",
        arguments={"item": message or "x"},
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
    page = site(spec, message="refused by SS-25.3\n          model  store\nworker_id a      <b>")[
        "index.html"
    ]
    assert "<pre>          model  store\nworker_id a      &lt;b&gt;</pre>" in page


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_the_width(spec: Spec, width: int) -> None:
    text = summary(covered(spec, message="m " * 200), width)
    long = [line for line in text.splitlines() if len(line.rstrip()) > width]
    assert all(line.startswith("  replay:") for line in long), "only what is copied is not wrapped"


def test_text_from_outside_is_no_markup_in_the_terminal(spec: Spec) -> None:
    assert "[red]loud[/red]" in summary(covered(spec, message="[red]loud[/red]"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (replay_line("a.jsonl", "my report/"), "'my report/a.jsonl'"),
        (replay_line("a.jsonl", "it's"), """'it'"'"'s/a.jsonl'"""),
        (replay_line("a.jsonl", "r", "memory"), "r/a.jsonl"),
        (replay_line("a.jsonl", "r", "mine:make", "own"), "r/a.jsonl --provider mine:make --scenario own"),
    ],
)
def test_a_line_to_copy_names_all_that_a_replay_needs(line: str, words: str) -> None:
    assert line == f"replay: holdfast replay {words}"


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

    def ids(self) -> set[str]:
        """The places that a link can point at."""
        return {members["id"] or "" for _, members in self.tags if "id" in members}


def test_the_pages_need_nothing_but_each_other(spec: Spec) -> None:
    for text in site(spec, message="m").values():
        for tag, members in Page(text).tags:
            assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
            assert "src" not in members and "style" not in members, (tag, members)
            assert not any(name.startswith("on") for name in members), (tag, members)
        assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}, (
            "a name, not an address"
        )
        assert "url(" not in text and "@import" not in text


@pytest.mark.parametrize("message", [None, "m"], ids=["healthy", "violated"])
def test_every_link_and_every_button_leads_somewhere(spec: Spec, message: str | None) -> None:
    made = {name: Page(text) for name, text in site(spec, message=message).items()}
    for name, page in made.items():
        timelines = msgspec.json.decode(page.inside.get("timelines", "{}"))
        for _, members in page.tags:
            if "href" in members:
                file, _, place = (members["href"] or "").partition("#")
                assert (file or name) in made, (name, members)
                assert not place or place in made[file or name].ids(), (name, members)
            if "data-trace" in members:
                assert members["data-trace"] in timelines, (name, members)


def test_the_policy_of_each_page_names_its_own_style_and_script_and_nothing_else(spec: Spec) -> None:
    for text in site(spec).values():
        page = Page(text)
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
    made = {name: Page(text) for name, text in site(spec, message=HOSTILE, title=HOSTILE).items()}
    for page in made.values():
        assert not any(tag == "img" for tag, _ in page.tags)
        scripts = [tag for tag, _ in page.tags if tag == "script"]
        assert len(scripts) == (2 if "timelines" in page.inside else 1)
    assert HOSTILE in made["index.html"].texts
    timelines = msgspec.json.decode(made["section-05.html"].inside["timelines"])
    assert timelines[TRACE]["why"] == HOSTILE


def test_the_page_of_a_section_has_the_evidence_of_its_rows(spec: Spec) -> None:
    text = site(spec, message="delivered to a stranger")["section-05.html"]
    for words in (
        "Claim of 5.1.",
        "Oracle of 5.1.",
        "A crashed owner is replaced.",
        "session.taken_over",
        "1 × crash",
        "lapses_late",
        "PVC-1 was skipped: no hook",
        "delivered to a stranger",
    ):
        assert words in text, words
    assert f'data-trace="{TRACE}"' in text and f'data-trace="{RUN}"' in text
    assert "holdfast replay report/traces/" in text and "holdfast replay report/runs/" in text
    assert "Claim of 7.1." not in text, "another section"


def test_the_first_page_explains_the_words_and_opens_what_is_violated(spec: Spec) -> None:
    text = site(spec, message="delivered to a stranger")["index.html"]
    for meaning in (*MEANINGS.values(), *REQUIREMENTS.values()):
        assert meaning in text
    assert f'data-trace="{TRACE}"' in text
    assert "passed" not in text.lower()


def test_what_is_not_covered_is_said_with_the_reason(spec: Spec) -> None:
    text = " ".join(Page(site(spec)["uncovered.html"]).texts)
    assert "no scenario or conformance check covers it" in text
    assert "PVC-1" in text and "no hook" in text
    assert "nobody_sees" in text and "nothing caught it" in text
    assert "nothing here applies to any other" in " ".join(text.split())


def test_the_page_of_defects_has_survivors_first_and_the_spread_of_each(spec: Spec) -> None:
    text = site(spec)["kills.html"]
    assert text.index("nobody_sees") < text.index("lapses_late")
    assert "1 of 2 planted defects caught" in text
    assert "<small>40</small>" in text and "not in every seed" in text
    assert "0.6 s (0.5 to 0.7)" in text
    assert "other code" not in text


def test_kills_of_other_code_are_called_so(spec: Spec) -> None:
    gone: dict[str, RowKill | None] = {"99.9": None}  # a row that the specification no longer has
    evidence = replace(seen(), kills=tuple(replace(kill, fingerprint="old", rows=gone) for kill in KILLS))
    text = pages(coverage(evidence, spec), evidence, spec=spec)["kills.html"]
    assert "3 of these hunts were made with other code" in text


def test_what_stands_between_backticks_is_code_and_no_markup() -> None:
    assert prose("a `<b>` c") == "a <code>&lt;b&gt;</code> c"
    assert prose("a lone ` stays") == "a lone ` stays"


def test_a_check_with_a_planted_defect_says_so_and_verifies_nothing(spec: Spec) -> None:
    evidence = replace(seen(), defect="lapses_late", kills=())
    made = coverage(evidence, spec)
    assert "A defect was planted for this check" in pages(made, evidence, spec=spec)["index.html"]
    row = next(row for row in made.rows if row.id == "5.1")
    assert (row.status, row.why) == (
        "exercised",
        "lapses_late was planted for this check, so it verifies nothing",
    )


def test_the_hardest_to_catch_are_those_that_were_missed(spec: Spec) -> None:
    lines = {line.name: line.slowest for line in by_defect(KILLS)}
    assert lines["nobody_sees"] > 40 == lines["lapses_late"]


def test_an_invariant_that_broke_beside_the_one_that_caught_a_defect_names_no_schedules(spec: Spec) -> None:
    kills = (replace(KILLS[0], caught_by="INV-03"), replace(KILLS[1], collateral=("INV-03",)))
    evidence = replace(seen(), kills=kills)
    text = pages(coverage(evidence, spec), evidence, spec=spec)["invariants.html"]
    assert "caught by INV-03 after 3 schedules" in text
    assert "broke INV-03 too" in text
    assert "after 0" not in text


def test_equal_evidence_gives_the_same_pages_and_the_same_picture(spec: Spec, tmp_path: Path) -> None:
    assert site(spec, message="m") == site(spec, message="m")
    for name in ("one.png", "two.png"):
        write_picture(tmp_path / name, covered(spec))
    one = (tmp_path / "one.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    assert one == (tmp_path / "two.png").read_bytes()


def test_the_pages_are_made_of_the_whole_specification_by_default() -> None:
    evidence = Tally("code", ["memory"]).evidence()
    made = coverage(evidence)
    found = pages(made, evidence)
    assert [name for name in found if name.startswith("section-")] == [
        f"section-{section.id:02}.html" for section in made.summary.sections
    ]
    assert found["index.html"].count('<a class="line item"') == len(made.rows)
    articles = sum(text.count('<article class="article"') for text in found.values())
    assert articles == len(made.rows)
