"""The page of the documentation with every clause of the specification, made from `clauses.toml`.

python -m holdfast.properties.spec.clauses_page > docs/clauses.md
"""

from itertools import groupby

from holdfast.properties.spec.load import Clause, clauses

_TEXTS = {
    "SS": "Activity sessions",
    "INV": "Invariants of activity sessions",
    "PV": "The provider contract",
    "RT": "The runtime",
}
_HEAD = """# The clauses

Every id that code, tests, messages and reports cite, with its sentence. This page is made from
`properties/spec/clauses.toml` by `python -m holdfast.properties.spec.clauses_page`.
"""


def clauses_page() -> str:
    """All clauses by text and section, in Markdown; each id is an anchor, in lower case."""
    parts = [_HEAD]
    for text, of_text in groupby(clauses(), lambda clause: clause.id.partition("-")[0]):
        parts.append(f"## {_TEXTS[text]}\n")
        for section, of_section in groupby(of_text, lambda clause: clause.section):
            parts.append(f"### {section}\n")
            parts += [_line(clause) for clause in of_section]
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _line(clause: Clause) -> str:
    title = f" *{clause.title}.*" if clause.title else ""
    marks = "".join(f" `{mark}`" for mark in clause.marks)
    anchor = clause.id.lower().replace(".", "-")
    return f'- <a id="{anchor}"></a>**{clause.id}**{marks}{title} {clause.sentence}'


if __name__ == "__main__":
    print(clauses_page(), end="")
