"""The suite from the command line, and the code of its page of documentation."""

import json
import re
from functools import partial
from pathlib import Path

import pytest

from holdfast.providers.conformance import Factory
from holdfast.providers.conformance.__main__ import main
from holdfast.providers.sqlite import sqlite_store

PAGE = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"
WRONGLY_DESCRIBED = Factory(create=partial(sqlite_store, long_polling=False), long_polling=True)
PROVIDER = "holdfast.providers.sqlite:sqlite_store"


def test_named_checks_are_run_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 when nothing failed; skips are listed with their reason."""
    assert main([PROVIDER, "PVC-001", "PVC-283"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "skipped PVC-283  the factory has no metrics wrapper",
        "1 held, 0 failed, 1 skipped",
    ]


def test_results_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints what a program can read."""
    assert main([PROVIDER, "PVC-001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"id": "PVC-001", "outcome": "held", "detail": ""}]


def test_a_failing_check_gives_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A short-polling provider called long-polling fails the check of long polling."""
    assert main([f"{__name__}:WRONGLY_DESCRIBED", "PVC-059"]) == 1
    assert capsys.readouterr().out.startswith("failed  PVC-059")


@pytest.mark.parametrize("name", ["no.such.module:x", "holdfast.providers:nothing", "holdfast", ""])
def test_a_wrong_name_gives_exit_code_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what was expected."""
    assert main([name]) == 2
    assert "MODULE:NAME" in capsys.readouterr().err


def test_an_unknown_id_gives_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the id."""
    assert main([PROVIDER, "PVC-999"]) == 2
    assert "PVC-999" in capsys.readouterr().err


def test_the_code_of_the_page_works(capsys: pytest.CaptureFixture[str]) -> None:
    """Both code blocks of docs/conformance.md run; the first defines a test that holds."""
    from_pytest, from_program = re.findall(
        r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    namespace: dict[str, object] = {}
    exec(compile(from_pytest, str(PAGE), "exec"), namespace)
    test = namespace["test_my_provider_conforms"]
    assert callable(test)
    test("PVC-214")
    exec(compile(from_program, str(PAGE), "exec"), {})
    assert capsys.readouterr().out == "PVC-214 held \nPVC-217 held \nPVC-281 held \n"


def test_the_page_names_every_field_of_the_factory() -> None:
    """The table of docs/conformance.md is complete."""
    told = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == list(Factory(create=sqlite_store).__dataclass_fields__)
