"""The code in the documentation runs, and its links lead somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.core.client import Client, Completed
from holdfast.properties.spec.clauses_page import clauses_page
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def test_the_scenario_page_runs(tmp_path: Path) -> None:
    (module,) = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "writing-a-scenario.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "my_scenarios.py").write_text(module)
    command = "check greeting_survives --scenario my_scenarios --schedules 20 --jobs 1 --provider memory"
    ended = subprocess.run(
        [sys.executable, "-m", "holdfast", *command.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (tmp_path / "holdfast-report" / "coverage.json").exists()


def python_on(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def test_the_worker_of_its_page_works_and_ends_when_it_is_told(tmp_path: Path) -> None:
    """RT-21.6: what `running-workers.md` begins with, as a process of its own."""
    program, path = tmp_path / "worker.py", str(tmp_path / "x.db")
    program.write_text(python_on("running-workers.md")[0])
    worker = subprocess.Popen([sys.executable, str(program), path], stderr=subprocess.PIPE, text=True)

    async def one_orchestration() -> object:
        store = sqlite_store(provider_clock, SystemIds(), path=path)
        client = Client(store.open(), clock=SystemClock())
        await client.start_orchestration("i", "count", "some words")
        status = await client.wait_for_orchestration("i", timedelta(seconds=30))
        store.close()
        return status

    try:
        status = asyncio.run(one_orchestration())
        worker.terminate()
        _, err = worker.communicate(timeout=30)
    finally:
        worker.kill()
    assert isinstance(status, Completed) and status.output == "10"
    assert (worker.returncode, err) == (0, "")


@pytest.mark.parametrize("number", [1, 2])
def test_the_other_programs_of_the_page_on_workers_run(number: int, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.metrics")
    program = tmp_path / "program.py"
    program.write_text(python_on("running-workers.md")[number])
    ended = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_page_of_clauses_is_made_from_the_clauses() -> None:
    """`python -m holdfast.properties.spec.clauses_page > docs/clauses.md` makes it anew."""
    assert (DOCS / "clauses.md").read_text() == clauses_page()


def test_the_house_page_and_the_tree_agree() -> None:
    """Every path it names is there, and every room, and every room within a room, is on it."""
    page = (DOCS / "house.md").read_text()
    root = DOCS.parent
    named = set(re.findall(r"`((?:core|providers|traces|sim|properties|reports|package)/[\w./]*)`", page))
    assert not [path for path in named if not (root / path).exists()]
    rooms = [*(f"{room}/" for room in ("core", "providers", "traces", "sim", "properties", "reports"))]
    for divided in ("core", "sim", "properties"):
        rooms += [f"{divided}/{entry.parent.name}/" for entry in (root / divided).glob("*/__init__.py")]
    assert not [room for room in rooms if room not in named]


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text().splitlines()
    assert not [page.stem for page in PAGES if page.stem != "index" and page.stem not in index]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([\w./-]+\.md)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_links_lead_somewhere() -> None:
    """All but the picture, which the report makes."""
    root = DOCS.parent
    for target in re.findall(r"\]\(((?!https)[\w./-]+)\)", (root / "README.md").read_text()):
        assert target.endswith(".png") or (root / target).exists(), target
