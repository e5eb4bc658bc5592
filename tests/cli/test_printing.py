"""What is printed: nothing that a terminal would obey; and the end of a command that nobody foresaw."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli import main, show_command
from holdfast.cli.terminal import console
from holdfast.reports.escaping import printable, printable_json
from holdfast.reports.shown import Shown
from holdfast.sim.toolkit.scenario import _SCENARIOS
from holdfast.traces.file import safe_file_name

Holdfast = Callable[..., Result]

BAD = "\x1b[31m\r\x08\x07\u202e\x9b2J\x00\u200b\u2028"
OBEYED = {one for one in BAD if not one.isascii() or not one.isprintable()}

OWN = """
from holdfast.core import Registry
from holdfast.sim import World, scenario

BAD = "\\x1b[31m\\r\\x08\\x07\\u202e\\x9b2J\\u200b\\u2028"


def registry():
    made = Registry()

    @made.orchestration("o" + BAD)
    async def o(ctx, input):
        return await ctx.schedule_activity("a" + BAD)

    @made.activity("a" + BAD)
    async def a(ctx, input):
        raise ValueError("no" + BAD)

    return made


async def evil(world: World) -> None:
    world.worker("w" + BAD, registry)
    await world.client.start_orchestration("i" + BAD, "o" + BAD)
    with world.oracle("5.1"):
        assert (await world.finished("i" + BAD)).output == "x", BAD


evil.__name__ = NAME
evil.__doc__ = "Title" + BAD
scenario(covers=["5.1"])(evil)
"""
NAMES = {
    "a slash": "../../x/y",
    "controls": "x\x1b[2J\r\x00\u202ey",
    "dots": "..",
    "long": "x" * 3_000,
    "blanks": " ",
    "letters of others": "заказ-訂單-🚚",
}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    before = dict(_SCENARIOS)
    yield
    _SCENARIOS.clear()
    _SCENARIOS.update(before)
    sys.modules.pop("evil", None)


def test_no_control_character_is_lost_on_the_way_to_the_terminal() -> None:
    """Rich drops some of them: a name would be shown as another's."""
    with click.Context(click.Command("show")):
        shown = console()
    with shown.capture() as captured:
        shown.print("a\x07b\rc", markup=False)
        shown.print(Shown("d\x07e").append("f\rg"))
        shown.print(Shown.assemble(("h\x08i", "bold")))
    assert captured.get() == "a\\x07b\\x0dc\nd\\x07ef\\x0dg\nh\\x08i\n"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_results_survive_any_name_and_nothing_printed_is_obeyed(holdfast: Holdfast, name: str) -> None:
    Path("evil.py").write_text(OWN.replace("NAME", ascii(name)))
    module = ("--scenario", "evil")
    done = holdfast("check", "5.1", *module, "--jobs", 1, "--schedules", 1, "--provider", "memory")
    told = [done]
    assert done.exit_code == 1, done.output
    coverage = json.loads(Path("holdfast-report/coverage.json").read_text())
    assert coverage and Path("holdfast-report/index.html").exists()
    traces = [trace for trace in Path("holdfast-report/traces").iterdir() if "owner" not in trace.name]
    assert traces and all(len(trace.name) < 250 for trace in traces)
    assert not Path("x").exists() and not (Path.cwd().parent / "x").exists()
    told += [holdfast("show", trace) for trace in traces]
    told += [holdfast("show", "--all", trace) for trace in traces]
    told += [holdfast("replay", trace, *module) for trace in traces]
    told += [holdfast("report"), holdfast("list", "scenarios"), holdfast("list", "scenarios", "--json")]
    for one in told:
        assert one.exit_code in (0, 1), one.output
        assert not set(one.output) & OBEYED, repr(one.output)


@given(st.text())
def test_what_is_printable_holds_nothing_that_is_not(text: str) -> None:
    shown = printable(text)
    assert not set(shown) & OBEYED and bool(shown.encode()) == bool(text)
    assert printable(shown) == shown
    assert printable(text, "ascii").isascii()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_that_is_printed_is_the_same_json(text: str) -> None:
    shown = printable_json(json.dumps({text: text}, ensure_ascii=False))
    assert shown.isascii() and json.loads(shown) == {text: text}


@given(st.lists(st.text(max_size=400), unique=True, max_size=8))
def test_names_of_files_are_safe_and_differ_as_the_texts_do(texts: list[str]) -> None:
    names = [safe_file_name(text) for text in texts]
    assert len(set(names)) == len(texts)
    for name in names:
        assert 0 < len(name.encode()) < 200 and not name.startswith(".")
        assert not set(name) & set("/\\\0\n")


@pytest.mark.parametrize(
    "error",
    [RuntimeError("odd" + BAD), RecursionError("deep"), AssertionError(), KeyError("x"), MemoryError()],
)
def test_an_unforeseen_error_is_one_line_and_3(
    holdfast: Holdfast, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(show_command, "read_trace", fails)
    done = holdfast("show", "any.trace.jsonl")
    assert done.exit_code == 3 and done.stderr.count("\n") == 1
    assert type(error).__name__ in done.stderr and "Traceback" not in done.output
    assert not set(done.output) & OBEYED
    monkeypatch.setenv("HOLDFAST_TRACEBACK", "1")
    assert "Traceback" in holdfast("show", "any.trace.jsonl").stderr


def test_wrong_usage_is_still_2_and_help_0() -> None:
    assert CliRunner().invoke(main, ["show"]).exit_code == 2
    assert CliRunner().invoke(main, ["show", "--help"]).exit_code == 0
    assert CliRunner().invoke(main, ["show", "absent\x1b[2J"]).exit_code == 2
