"""The pages of the documentation that show a change to Holdfast, applied to a copy of the tree.

A block whose first line is a comment with a path is a file to add; a `diff` block inserts lines: a path after
`+++`, lines of context as they stand in the file, and the lines to add behind a `+`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)
ROOMS = ("core", "providers", "traces", "sim", "properties", "reports", "package")


def copy_of_the_tree(folder: Path) -> Path:
    """The rooms and the front door, as they stand, in a folder of their own."""
    for room in ROOMS:
        shutil.copytree(
            ROOT / room, folder / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def apply(page: Path, tree: Path) -> list[str]:
    """Do what a page shows; the paths of the files that it added or changed, each once."""
    touched: dict[str, None] = {}
    for language, code in BLOCK.findall(page.read_text()):
        first, _, rest = code.partition("\n")
        if language == "python" and (found := re.fullmatch(r"# ([\w/]+\.py)", first)):
            new = tree / found[1]
            assert not new.exists(), f"{page.name} adds {found[1]}, which is there"
            new.write_text(rest)
            touched[found[1]] = None
        elif language == "diff":
            path = first.removeprefix("+++ ")
            insert(tree / path, rest.splitlines())
            touched[path] = None
    return list(touched)


def insert(file: Path, lines: Sequence[str]) -> None:
    """Insert the lines behind a `+` between the lines of context, which must stand there once."""
    context = [line[1:] for line in lines if not line.startswith("+")]
    wanted = [line[1:] for line in lines]
    before = "\n".join(context) + "\n"
    text = file.read_text()
    assert text.count(before) == 1, f"{file}: these lines stand there {text.count(before)} times:\n{before}"
    file.write_text(text.replace(before, "\n".join(wanted) + "\n"))


def run(tree: Path, *arguments: str) -> str:
    """What a fresh Python prints that knows Holdfast from the copy alone."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "package")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
