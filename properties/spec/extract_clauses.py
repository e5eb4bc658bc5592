"""Extract `clauses.toml` from the texts of the specification.

    python -m holdfast.properties.spec.extract_clauses DIRECTORY

DIRECTORY holds `sessions.md`, `provider.md` and `runtime.md`. Every clause becomes one table with its id, the
heading it stands under, its sentence and its marks; an invariant also has its title. A clause that ends in a
colon takes the rows of the table that follows it into its sentence; a row of the state machine (SS-25) is a
clause made of its cells. Bold, italics and trailing marks go; code stays in backticks.
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TEXTS = ("sessions.md", "provider.md", "runtime.md")

HEADING = re.compile(r"#{2,3} (?P<title>.+)")
CLAUSE = re.compile(r"(?:- )?\*\*(?P<id>(?:SS|PV|RT)-\d+\.\d+)\*\* (?P<text>.+)")
CLAUSE_ROW = re.compile(r"\| \*\*(?P<id>SS-\d+\.\d+)\*\* (?P<cells>\|.+\|)")
INVARIANT = re.compile(r"- \*\*(?P<id>INV-\d+) (?P<title>[^*]+)\.\*\* (?P<text>.+)")

MARK = re.compile(r"`\[(strict|obs|py|>=[\d.]+)(?:: [^\]]*)?\]`")
MARK_AT_START = re.compile(rf"^{MARK.pattern}\s*")
MARK_AT_END = re.compile(rf"\s*{MARK.pattern}(?P<stop>[.:]?)$")
EMPHASIS = re.compile(r"(`[^`]*`)|(?<![\w*])\*{1,2}(?=\S)([^*`]+?)(?<=\S)\*{1,2}(?![\w*])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """One clause as it goes into the data file."""

    id: str
    section: str
    title: str
    sentence: str
    marks: tuple[str, ...]


def plain(text: str) -> str:
    """Take bold and italics off, outside code."""
    return EMPHASIS.sub(lambda found: found[1] or found[2], text).strip()


def split_marks(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without the marks at its ends, and all its marks; one inside stays where it says something."""
    marks = tuple(dict.fromkeys(MARK.findall(text)))
    while found := MARK_AT_START.match(text):
        text = text[found.end() :]
    while found := MARK_AT_END.search(text):
        text = text[: found.start()] + found["stop"]
    return text, marks


def split_cells(row: str) -> list[str]:
    """The cells of a Markdown table row."""
    cells = re.split(r"(?<!\\)\|", row.strip().strip("|"))
    return [cell.replace(r"\|", "|").strip() for cell in cells]


def following_table(lines: list[str], start: int) -> Iterator[str]:
    """The body rows of the table that begins at or after `start`, each as one phrase."""
    while start < len(lines) and not lines[start].strip():
        start += 1
    for line in lines[start + 2 :]:  # without the header and its rule
        if not line.lstrip().startswith("|"):
            return
        yield ", ".join(filter(None, split_cells(line)))


def row_sentence(cells: str) -> str:
    transition, trigger, guard, effect = split_cells(cells)
    return f"{transition}; trigger: {trigger}; guard: {guard}; effect: {effect}."


def extract(text: str) -> Iterator[Extracted]:
    """All clauses of one text, in its order."""
    section = ""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        title = ""
        if heading := HEADING.fullmatch(line):
            section = plain(heading["title"])
            continue
        if found := CLAUSE.fullmatch(line):
            body = found["text"]
            if body.endswith(":"):
                body = f"{body} {'; '.join(following_table(lines, number + 1))}."
        elif found := CLAUSE_ROW.fullmatch(line):
            body = row_sentence(found["cells"])
        elif found := INVARIANT.fullmatch(line):
            title, body = found["title"], found["text"]
        else:
            continue
        sentence, marks = split_marks(body)
        yield Extracted(id=found["id"], section=section, title=title, sentence=plain(sentence), marks=marks)


def as_toml(clauses: Iterable[Extracted]) -> str:
    """The data file; a JSON string is also a TOML basic string."""
    parts = ["# Written by extract_clauses.py from the texts of the specification; do not edit.\n"]
    for clause in clauses:
        parts.append("\n[[clause]]\n")
        parts.extend(
            f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
            for key in ("id", "section", "title", "sentence", "marks")
            if (value := getattr(clause, key))
        )
    return "".join(parts)


def extract_directory(directory: Path) -> str:
    """`clauses.toml` of the three texts in `directory`."""
    clauses = [clause for name in TEXTS for clause in extract((directory / name).read_text(encoding="utf-8"))]
    return as_toml(clauses)


def main() -> None:
    parser = argparse.ArgumentParser(description="Extract the clauses of the specification as data.")
    parser.add_argument("directory", type=Path, help=f"where {', '.join(TEXTS)} are")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("clauses.toml"), help="default: %(default)s"
    )
    arguments = parser.parse_args()
    arguments.output.write_text(extract_directory(arguments.directory), encoding="utf-8")


if __name__ == "__main__":
    main()
