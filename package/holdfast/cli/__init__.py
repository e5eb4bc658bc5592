"""The command line: `main` and its commands; each command's module is imported when it runs."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="holdfast")
def main() -> None:
    """Check a durable-execution runtime and its providers against the whole specification, under faults."""
