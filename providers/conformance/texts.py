"""Texts that columns, drivers and collations are known to change, as data (PV-2.15, PV-2.16).

`payloads` are texts for places that only hold text: many lengths, each end that something trims or converts.
`TWINS` are texts for places that are looked up by: each is another text than all the others, though some
collation takes it for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from holdfast.core.contract.user_texts import first_difference

MIB: Final = 1_048_576

ENDS: Final[dict[str, str]] = {
    "a letter": "z",
    "a space": " ",
    "two spaces": "  ",
    "a tab": "\t",
    "a newline": "\n",
    "a carriage return and newline": "\r\n",
    "a carriage return": "\r",
    "a no-break space": "\u00a0",
    "an ideographic space": "\u3000",
    "a line separator": "\u2028",
    "a next-line control": "\u0085",
    "a vertical tab and a form feed": "\v\f",
    "an escape and a delete": "\x1b\x7f",
    "a zero-width space": "\u200b",
    "a zero-width joiner": "\u200d",
    "a byte order mark": "\ufeff",
    "a NUL": "\0",
    "a noncharacter": "\uffff",
    "a combining accent": "e\u0301",
    "a composed accent": "\u00e9",
    "a capital I with dot": "\u0130",
    "a sharp s": "\u00df",
    "a Kelvin sign": "\u212a",
    "a ligature": "\ufb01",
    "a sign of Windows-1252": "\u20ac\x80",
    "an ideograph": "\u6f22",
    "a character beyond the basic plane": "\U0001f9f5",
    "a family of emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a quote": "'",
    "a double quote": '"',
    "a backslash": "\\",
    "a percent sign": "%",
    "an underscore": "_",
    "a zero": "0",
    "a full stop": ".",
}
"""What stands at the begin, in the middle and at the end of a text, by its name in a failure."""

LENGTHS: Final = (
    *(1, 2, 3, 30, 31, 63, 64, 127, 128, 129, 254, 255, 256, 257, 511, 512, 999, 1_000, 1_001, 1_023, 1_024),
    *(1_025, 2_000, 3_999, 4_000, 4_001, 8_000, 8_001, 16_384, 32_767, 32_768, 65_535, 65_536, 65_537),
)
"""Lengths in characters, around those at which columns end or change their kind of storage."""

_CROSSED: Final = (1, 31, 128, 255, 256, 1_001, 4_001)
"""At these lengths `payloads` has every end."""

WHOLE: Final = (
    *("", "null", "NULL", "None", "true", "false", "undefined", "NaN", "Infinity"),
    *("0", "007", "-0", "0.0", "1.0", "1.50", "1e3", "1E400", "0x1F", "1_000", "+1", ".5", "\u0661\u0662"),
    *("2024-01-01", "2024-01-01T00:00:00Z", "12345678901234567890", "123456789012345678901234567890"),
    *('""', "''", "[]", "{}", '"text"', "'text'", " {} ", "[1 , 2]", '{"b": 1.0, "a":1e0,  "a": 2}'),
    *(
        '{"A":1,"a":2}',
        '"\\u0041\\/"',
        "\\u0041",
        "\\n",
        "\\0",
        "\\",
        "\\\\",
        "%41",
        "%s%n",
        "&amp;<b>",
        "+ ",
    ),
    *("?", ":name", "$1", "@p1", "{0}", "${x}", "--", ";", "/* */", "a'; DROP TABLE history; --", "=1+1"),
    *("data:text/plain;base64,eA==", "eA==", "\x89PNG\r\n\x1a\n", "\x01\x02\x1f", "\ufdd0", "\u202eabc"),
    *(
        "A" * 100 + "a" * 100,
        "\u0130\u0131Ii",
        "\u1e9e\u00df",
        "\u212b\u00c5A\u030a",
        "\uff21\u24b6",
        "\u2460",
    ),
    "{" + ", ".join(f'"k{n:03}": {n}.0' for n in reversed(range(700))) + "}",
)
"""Texts that mean something to somebody: numbers, JSON, markup, placeholders, escapes."""


def shaped(length: int, end: str) -> str:
    """A text of this length (of one more, if the end is longer) that has the end at all its places."""
    if length < 4 * len(end):
        return (end * length)[: max(length, len(end))]
    filling = length - 3 * len(end)
    half = filling // 2
    return end + "a" * half + end + "b" * (filling - half) + end


@cache
def each() -> dict[str, str]:
    """Every length and every end once, and the empty text."""
    names, count = list(ENDS), max(len(ENDS), len(LENGTHS))
    pairs = ((LENGTHS[rank % len(LENGTHS)], names[rank % len(names)]) for rank in range(count))
    return {"the empty text": ""} | {what: text for pair in pairs for what, text in _named(*pair).items()}


@cache
def sizes() -> dict[str, str]:
    """`each`, and 1 MiB."""
    return each() | _named(MIB, "a newline")


@cache
def brief() -> dict[str, str]:
    """Every length once, every end at two lengths, and 1 MiB."""
    made = sizes()
    for rank, name in enumerate(ENDS):
        made |= _named((255, 40, 129)[rank % 3], name)
    return made


@cache
def payloads() -> dict[str, str]:
    """Every end at seven lengths, and many beyond the longest; then those of `brief`."""
    made: dict[str, str] = {}
    names = list(ENDS)
    for name in names:
        for length in _CROSSED:
            made |= _named(length, name)
    for rank, name in enumerate(names[:14]):
        made |= _named(65_537 + rank, name)
    return made | brief()


@cache
def whole() -> dict[str, str]:
    """The texts that are taken as they are, by what they look like."""
    return {f"{escaped(text, 24)}, {_count(text)}": text for text in WHOLE}


@cache
def mixed() -> dict[str, str]:
    """A few that have everything: for places that differ by little more than their name."""
    middle = "".join(end for end in ENDS.values() if end != "\0")
    blanks = (name for name, end in ENDS.items() if not end.strip() or name in _INVISIBLE)
    made = {f"a mixture that ends with {name}": ENDS[name] + middle + ENDS[name] for name in blanks}
    long = middle + "x" * 2_048 + middle
    return {"the empty text": "", f"a mixture of {_count(long)}": long} | made


def long() -> dict[str, str]:
    """One that is longer than 64 KiB."""
    return _named(65_600, "a space")


_INVISIBLE: Final = ("a NUL", "a zero-width space", "a byte order mark", "a capital I with dot")


def outside_json(texts: Mapping[str, str], *, bytes_max: int | None = None) -> dict[str, str]:
    """Those without a NUL, which may be refused outside JSON (PV-2.15), and not longer than that in UTF-8."""
    return {
        name: text
        for name, text in texts.items()
        if "\0" not in text and (bytes_max is None or len(text.encode()) <= bytes_max)
    }


def _named(length: int, end: str) -> dict[str, str]:
    text = shaped(length, ENDS[end])
    return {f"{_count(text)} with {end} at the end": text}


# --- texts that are looked up by ----------------------------------------------------------------------------

_LONG: Final = (
    *("\u6f22" * 1_023 + last for last in ("\u6f22", "\u5b57")),
    *("\U0001f9f5" * 1_023 + last for last in ("\U0001f9f5", "\U0001f9f6")),
    *("x" * 1_023 + last for last in "yz"),
    *("x" * length for length in (127, 128, 191, 192, 255, 256, 767, 768, 1_000)),
)
"""Of up to 1,024 characters, equal but for the last: an index that keeps a prefix cannot tell them apart."""

TWINS: Final = (
    "",
    *("a", "A", "\uff41", "a ", "a  ", " a", "a\t", "a\n", "a\r\n", "a\r", "a\u00a0", "a\u3000", "a\u200b"),
    *(
        "\ufeffa",
        "a\u00ad",
        "a\u0301",
        "\u00e1",
        "\u00e4",
        "ae",
        "\u00e6",
        "\u00aa",
        "a%",
        "a_",
        "a\\",
        "%",
        "_",
    ),
    *(
        "\\",
        "'",
        '"',
        "a'",
        "ss",
        "SS",
        "\u00df",
        "\u1e9e",
        "i",
        "I",
        "\u0130",
        "\u0131",
        "i\u0307",
        "k",
        "K",
    ),
    *(
        "\u212a",
        "\u00c5",
        "\u212b",
        "A\u030a",
        "\u03a9",
        "\u2126",
        "\u03c3",
        "\u03c2",
        "fi",
        "\ufb01",
        "n",
        "N",
    ),
    *(
        "1",
        "01",
        "1.0",
        "+1",
        "1e0",
        "\uff11",
        "\u00b9",
        "\u2460",
        "0",
        "-0",
        "null",
        "NULL",
        " ",
        "  ",
        "\u3000",
    ),
    *(
        "\U0001f9f5",
        "\U0001f9f6",
        "\uac00",
        "\u1100\u1161",
        "\u30a2",
        "\u3042",
        "\uff71",
        "\x01",
        "\x7f",
        "*",
        "?",
    ),
    *("a::b", "a:b", "a/b", "a\\b", "[a]", "{a}"),
)
"""Short ones: equal but for case, width, accents, blanks, composition, or their meaning as numbers."""


SEPARATORS: Final = ("", ":", "::", "/", "|", "-", "_", ".", " ", ",", "#", "\n", "\x1f")
"""What might join the parts of a key, so that two keys of other parts become one."""

FEW: Final = (
    *(
        "a",
        "A",
        "\uff41",
        "a ",
        "a  ",
        " a",
        "a\n",
        "a\r\n",
        "a\u00a0",
        "a\u200b",
        "\ufeffa",
        "\u00e1",
        "a\u0301",
    ),
    *(
        "a%",
        "a_",
        "\\",
        "'",
        "ss",
        "\u00df",
        "i",
        "I",
        "\u0130",
        "\u0131",
        "k",
        "\u212a",
        "fi",
        "\ufb01",
        "1",
        "01",
    ),
    *("1.0", " ", "\u3000", "\U0001f9f5", "\U0001f9f6", "\uac00", "\u1100\u1161", "\u30a2", "\u3042", "null"),
    *("\u6f22" * 1_023 + last for last in ("\u6f22", "\u5b57")),
    *("x" * 255 + last for last in ("", "y", "z")),
)
"""Enough of them for places where each costs several calls."""


def twins(*, length_max: int, bytes_max: int | None = None) -> tuple[str, ...]:
    """All twins that are not longer, in characters and, if that is limited, in UTF-8."""
    return tuple(
        text
        for text in TWINS + _LONG
        if len(text) <= length_max and (bytes_max is None or len(text.encode()) <= bytes_max)
    )


assert len(set(TWINS + _LONG)) == len(TWINS + _LONG), "a twin is listed twice"


# --- how a failure shows them -------------------------------------------------------------------------------


def difference(sent: str, back: object) -> str:
    """What came back instead of a text: short, escaped, and only where the two part."""
    if back is None:
        return f"sent {escaped(sent, 24)}, nothing came back"
    if not isinstance(back, str):
        return f"sent {escaped(sent, 24)}, a {type(back).__name__} came back: {escaped(repr(back), 24)}"
    at = first_difference(sent, back)
    begin = max(0, at - 4)
    return (
        f"from character {at:,} on {escaped(sent[begin:], 16)} came back as {escaped(back[begin:], 16)}"
        f" ({_count(sent)} became {len(back):,})"
    )


def escaped(text: str, length_max: int = 32) -> str:
    """A text as it can be printed, cut."""
    return ascii(text) if len(text) <= length_max else ascii(text[:length_max]) + "…"


def _count(text: str) -> str:
    return "1 character" if len(text) == 1 else f"{len(text):,} characters"
