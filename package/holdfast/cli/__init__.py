"""The command line: `main` and its commands; each command's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "check": "Run the scenarios and checks of the specification under faults.",
    "defects": "Plant known defects one by one and see what catches them.",
    "list": "List scenarios, invariants, or rows of the matrix.",
    "replay": "Run a trace again.",
    "report": "Write the report of an earlier check again.",
    "show": "Show a trace as a timeline.",
    "shrink": "Search for a simpler run that breaks the same rule.",
    "sweep": "Strike a scenario with every single fault at every commit boundary.",
}


class _Lazy(click.Group):
    """A group that imports a command's module when the command is used, not to show its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"holdfast.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        from holdfast.cli.ending import one_line_errors

        with one_line_errors():
            return super().invoke(ctx)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="holdfast")
@click.option("--color/--no-color", default=None, help="Colour, whatever the terminal and NO_COLOR say.")
@click.pass_context
def main(ctx: click.Context, color: bool | None) -> None:
    """Check a durable-execution runtime and its providers against the whole specification, under faults.

    Exit codes: 0 nothing found, 1 a violation found, 2 wrong usage or bad input, 3 the harness itself failed,
    4 the code under test is not deterministic, 5 nothing selected, 130 interrupted.
    """
    ctx.obj = color
