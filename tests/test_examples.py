"""The example: a real SIGKILL, and a test that finds a bug planted in the orchestration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "conversation"
KILLS = EXAMPLE.with_name("kills")
TEST = "test_conversation.py"


def run(
    folder: Path, *arguments: str, timeout: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "HOLDFAST_"))
    }
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_tests(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    options = ("--rootdir", str(folder), "-p", "no:cacheprovider", "-q")
    return run(folder, "-m", "pytest", "-c", os.devnull, *options, *arguments, **environment)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A copy whose orchestration takes every worker's memory for warm."""
    folder = tmp_path / "conversation"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "conversation.py"
    careful = file.read_text()
    careless = careful.replace("while answer == COLD:", "while False:")
    assert careless != careful
    file.write_text(careless)
    return folder


@pytest.mark.slow
def test_the_conversation_survives_the_kill_of_its_owner() -> None:
    ended = run(EXAMPLE, "main.py")
    assert ended.returncode == 0, ended.stderr
    killed = re.search(r"(ann|bob) owns the session: kill -9", ended.stdout)
    assert killed, ended.stdout
    other = {"ann": "bob", "bob": "ann"}[killed[1]]
    after = ended.stdout[killed.end() :]
    assert f"{other}: told again what was said" in after
    assert f"{killed[1]}:" not in after
    assert "Completed: 1:hello 2:it rains 3:and it pours 4:the sun again 5:good night" in after


@pytest.mark.slow
def test_no_order_is_lost_though_worker_after_worker_is_killed() -> None:
    """Real processes and SIGKILL: plain, coroutine, blocking and failing activities; 3 minutes in full."""
    seconds = 180 if os.environ.get("HOLDFAST_FULL") else 6
    ended = run(KILLS, "main.py", str(seconds), timeout=seconds + 600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = re.search(r"(\d+) kills, (\d+) orders, nothing lost", ended.stdout)
    assert found and int(found[1]) >= seconds / 6 and int(found[2]) >= 30, ended.stdout


def test_the_examples_tests_pass() -> None:
    ended = run_tests(EXAMPLE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout


def test_its_test_finds_the_planted_bug_and_the_line_repeats_it(planted: Path) -> None:
    found = run_tests(planted, TEST, "-k", "nothing_said")
    assert found.returncode == 1, found.stdout + found.stderr
    line = re.search(r"HOLDFAST_TAPE=(\S+) pytest (\S+)", found.stdout)
    assert line, found.stdout
    assert "scenario: " in found.stdout and "cold" in found.stdout

    again = run_tests(planted, line[2], HOLDFAST_TAPE=line[1])
    assert again.returncode == 1 and f"HOLDFAST_TAPE={line[1]} " in again.stdout, again.stdout

    mended = run_tests(EXAMPLE, line[2], HOLDFAST_TAPE=line[1])
    assert mended.returncode == 0, mended.stdout


def test_fault_plans_find_the_planted_bug_too(planted: Path) -> None:
    found = run_tests(planted, TEST, "-k", "any_plan")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "cold" in found.stdout
    tape, test = re.findall(r"HOLDFAST_TAPE=(\S+) pytest (\S+)", found.stdout)[-1]
    again = run_tests(planted, test, HOLDFAST_TAPE=tape)
    assert again.returncode == 1 and "1 failed" in again.stdout, again.stdout


def test_a_damaged_tape_is_refused_in_one_line() -> None:
    ended = run_tests(EXAMPLE, HOLDFAST_TAPE="1/nonsense")
    assert ended.returncode == 4
    assert "HOLDFAST_TAPE: tape text '1/nonsense'" in ended.stderr + ended.stdout


def test_the_plugin_imports_no_room_until_a_tape_is_given() -> None:
    program = (
        "import sys, holdfast.pytest_plugin;"
        "print([m for m in sys.modules if m.startswith(('holdfast.', 'hypothesis'))])"
    )
    assert run(EXAMPLE, "-c", program).stdout.strip() == "['holdfast.pytest_plugin']"
