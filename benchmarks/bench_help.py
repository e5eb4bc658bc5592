"""The start of the command line: `holdfast --help`, against an interpreter that only imports click.

Run it with `python benchmarks/bench_help.py`.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

GOAL_MS = 150
REPETITIONS = 9


def milliseconds(*arguments: str) -> float:
    """Wall time of one fresh interpreter."""
    before = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return (perf_counter() - before) * 1_000


def main() -> int:
    """Print the figures; 1 if one falls short."""
    milliseconds("-m", "holdfast", "--help")
    help_ms, floor_ms = [], []
    for _ in range(REPETITIONS):
        help_ms.append(milliseconds("-m", "holdfast", "--help"))
        floor_ms.append(milliseconds("-c", "import click"))
    got = median(help_ms)
    print(f"holdfast --help: {got:.0f} ms (goal under {GOAL_MS} ms), floor {median(floor_ms):.0f} ms")
    return int(got >= GOAL_MS)


if __name__ == "__main__":
    sys.exit(main())
