"""A tape as one short line of text, for a shell's environment: its format, version 1.

    1/s3=1,17=2/f4=1

The version, then each stream that deviates from the plain run: its initial, and `position=answer` for every
answer that is not 0, by position. No character means anything to a shell. The plain run is `1`.
"""

from __future__ import annotations

import re
from typing import Final

from holdfast.core.contract.errors import ConfigurationError
from holdfast.traces.choice import STREAMS, Tape

VERSION: Final = "1"
POSITION_MAX: Final = 1_000_000
"""Beyond the longest run: a mistyped position must not make a huge tape."""

_NUMBER = "[0-9]{1,7}"
_PART: Final = re.compile(f"([sfd])({_NUMBER}={_NUMBER}(?:,{_NUMBER}={_NUMBER})*)")
_STREAM_OF: Final = {stream[0]: stream for stream in STREAMS}


def tape_to_text(tape: Tape) -> str:
    """The text of a tape; trailing zeros mean nothing and are left out."""
    parts = [VERSION]
    for stream in STREAMS:
        answers = [f"{at}={answer}" for at, answer in enumerate(tape.stream(stream)) if answer]
        if answers:
            parts.append(stream[0] + ",".join(answers))
    return "/".join(parts)


def tape_from_text(text: str) -> Tape:
    """The tape of a text. Raises ConfigurationError for a text that is not one, or of another version."""
    version, *parts = text.split("/")
    if version != VERSION:
        raise ConfigurationError(
            f"tape text {text!r} is of version {version!r}, expected {VERSION!r}: copy the whole line again"
        )
    tape = Tape()
    for part in parts:
        found = _PART.fullmatch(part)
        if found is None:
            raise ConfigurationError(
                f"tape text {text!r}: {part!r} is not a stream such as 's3=1,17=2': copy the whole line again"
            )
        answers = tape.stream(_STREAM_OF[found[1]])
        for entry in found[2].split(","):
            position, answer = (int(number) for number in entry.split("="))
            if not len(answers) <= position < POSITION_MAX:
                raise ConfigurationError(
                    f"tape text {text!r}: position {position} of {part!r} is out of order or too large"
                )
            answers += [0] * (position - len(answers)) + [answer]
    return tape
