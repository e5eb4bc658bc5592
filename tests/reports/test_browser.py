"""The report in a real browser, offline: nothing is fetched, there is no complaint, everything answers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from holdfast.cli import main

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = ("--disable-gpu", "--disable-background-networking", "--disable-component-update")
AS_ROOT = ("--no-sandbox",)
"""A browser refuses its sandbox to the superuser; it opens nothing here but files of ours."""


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Browser]:
    """Chromium, installed or else Playwright's own; after the report, for it runs an event loop."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: group browser")
    installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    arguments = [*ARGUMENTS, *(AS_ROOT if os.geteuid() == 0 else ())]
    with sync_api.sync_playwright() as playwright:
        if installed is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium is installed: neither on the path nor Playwright's own")
        browser = playwright.chromium.launch(executable_path=installed, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two reports: `broken` with a defect that breaks rows of section 5, not of section 1, and `healthy`."""
    folder = tmp_path_factory.mktemp("report")
    few = ("--jobs", "1", "--schedules", "2")
    planted = ("--defect", "claims_of_taken_sessions")
    for name, selected, code in (("broken", ("1", "5", *planted), 1), ("healthy", ("1.1",), 0)):
        done = CliRunner().invoke(main, ["check", *selected, *few, "--out", str(folder / name)])
        assert done.exit_code == code, done.output
    return folder


@dataclass
class Visit:
    """A page that is open, and what was heard while it was."""

    page: Page
    folder: Path
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        file, _, place = address.partition("#")
        self.page.goto((self.folder / file).as_uri() + (f"#{place}" if place else ""))


@pytest.fixture
def visit(report: Path, browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    made = Visit(context.new_page(), report)
    made.page.on("request", lambda request: made.requests.append(request.url))
    made.page.on("console", lambda message: made.complaints.append(message.text))
    made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
    made.page.set_default_timeout(10_000)
    yield made
    context.close()
    assert made.complaints == []
    assert all(url.startswith("file:") and url.partition("#")[0].endswith(".html") for url in made.requests)


def shown(page: Page) -> list[str]:
    """The ids of the rows that can be seen."""
    return page.locator("#rows .item:visible .id").all_inner_texts()


def test_every_page_opens_and_asks_for_nothing_else(visit: Visit) -> None:
    names = sorted(path.name for path in (visit.folder / "broken").glob("*.html"))
    assert len(names) == 5 + 34
    for name in names:
        visit.open(f"broken/{name}")
        assert visit.page.locator("h1").inner_text()
    assert [Path(url).name for url in visit.requests] == names


def test_rows_are_filtered_by_text_section_provider_and_status(visit: Visit) -> None:
    visit.open("broken/index.html")
    page = visit.page
    everything = shown(page)
    assert len(everything) == 292

    page.keyboard.press("/")
    page.keyboard.type("crash_then_reclaim")
    assert shown(page) == ["5.1"]
    assert page.locator(".filters output").inner_text() == "1 of 292 rows"
    page.keyboard.press("Escape")
    assert shown(page) == everything

    page.locator("select[name=section]").select_option("5")
    assert shown(page) == ["5.1", "5.2", "5.3", "5.4"]
    page.locator("select[name=provider]").select_option(label="sqlite")
    words = page.locator("#rows .item:visible .pill").all_inner_texts()
    assert "violated" in words
    page.locator("input[name=status][value=violated]").uncheck()
    assert "violated" not in page.locator("#rows .item:visible .pill").all_inner_texts()
    assert len(shown(page)) == 4 - words.count("violated")


def test_a_row_leads_to_its_section_and_a_clause_opens_where_it_is(visit: Visit) -> None:
    visit.open("broken/index.html")
    visit.page.locator("#rows .item", has_text="crash_then_reclaim").click()
    visit.page.wait_for_url("**/section-05.html#row-5.1")
    visit.page.locator("#row-5\\.1 .sentences a").first.click()
    visit.page.wait_for_url("**/clauses.html#*")
    place = visit.page.url.rpartition("#")[2]
    visit.page.locator(f"[id='{place}']").wait_for(state="visible")  # the group it is in was folded
    visit.page.locator("nav a", has_text="Not covered").click()
    assert "not covered" in visit.page.locator("h1").inner_text().lower()


def test_a_violation_is_stepped_through(visit: Visit) -> None:
    visit.open("broken/index.html")
    page = visit.page
    page.locator(".violations [data-trace]").first.click()
    dialog = page.locator("#viewer")
    assert dialog.is_visible()
    place = page.locator("#viewer-place")
    page.keyboard.press("Home")
    assert place.inner_text().startswith("1 of ")
    page.get_by_role("button", name="Next").click()
    page.keyboard.press("ArrowDown")
    assert place.inner_text().startswith("3 of ")
    page.get_by_role("button", name="Previous").click()
    assert place.inner_text().startswith("2 of ")
    assert page.locator(".lines li[aria-selected=true]").count() == 1
    details = page.locator("#viewer-step h3").inner_text()
    assert details == page.locator(".lines li[aria-selected=true] b").inner_text()
    page.keyboard.press("c")
    assert page.locator(".lines li.is-aside").count() > 0, "what cannot have caused it is dimmed"
    page.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


def test_a_healthy_run_is_stepped_through_from_its_row(visit: Visit) -> None:
    visit.open("broken/section-01.html")
    page = visit.page
    page.get_by_role("button", name="Step through a run of it").first.click()
    assert page.locator("#viewer-broken").is_hidden(), "there is no violation to go to"
    page.keyboard.press("End")
    here, _, all_steps = page.locator("#viewer-place").inner_text().partition(" of ")
    assert here == all_steps
    assert "holdfast replay" in page.locator("#viewer-replay").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#viewer").is_hidden()


def test_a_trace_can_be_linked_to(visit: Visit) -> None:
    visit.open("broken/index.html")
    name = visit.page.locator("[data-trace]").first.get_attribute("data-trace")
    visit.open(f"broken/index.html#trace={name}")
    visit.page.locator("#viewer").wait_for(state="visible")


def test_defects_are_filtered_and_arranged(visit: Visit) -> None:
    visit.open("healthy/kills.html")
    page = visit.page
    names = page.locator("#defects .item h3").all_inner_texts()
    page.locator("select[name=order]").select_option("slowest")
    slowest = [float(item.get_attribute("data-slowest") or 0) for item in page.locator(".item").all()]
    assert slowest == sorted(slowest, reverse=True)
    page.locator("select[name=order]").select_option("")
    assert page.locator("#defects .item h3").all_inner_texts() == names
    page.locator("input[name=text]").fill("claims_of_taken_sessions")
    assert page.locator("#defects .item:visible").count() == 1
