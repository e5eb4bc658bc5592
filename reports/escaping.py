"""Escaping: what is printed for a reader's terminal, whatever the names and messages in it hold."""

from __future__ import annotations

import json
import re
from typing import Final

_NOT_SHOWN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters but tab and newline, marks of direction and of nothing, halves of characters."""


def printable(text: str, encoding: str = "utf-8") -> str:
    """The text with everything escaped that a terminal would obey, hide, or cannot be sent."""
    escaped = _NOT_SHOWN.sub(_escape, text)
    return escaped.encode(encoding, errors="backslashreplace").decode(encoding)


def printable_json(text: str) -> str:
    """The same JSON in ASCII."""
    return "".join(one if " " <= one <= "~" or one in "\n\t" else json.dumps(one)[1:-1] for one in text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
