"""The trace file: one run, self-contained, as JSON lines that are small and can be compared line by line.

    {"format": "holdfast-trace", "version": 1, "scenario": ..., "violation": ..., "digest": ...}
    {"stream": "schedule", "answers": [...]}
    {"stream": "fault", "answers": [...]}
    {"stream": "data", "answers": [...]}
    {"n": 0, "t_us": 0, "kind": "boot", ...}                        one line for each step
    {"end": true, "steps": 41, "digest": ...}

The digest of the header is that of the run (`traces.digest`); the one of the last line is that of the lines
before it, so that a cut or an edit is noticed. Reading a trace never imports anything: scenario and provider
are names. Every file that is not a whole, unedited trace of this version raises `TraceFileError`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import xxhash

from holdfast.core.contract.errors import HoldfastError
from holdfast.traces.choice import STREAMS, Stream, Tape
from holdfast.traces.steps import Count, StepRecord

FORMAT: Final = "holdfast-trace"
VERSION: Final = 1
SUFFIX: Final = ".trace.jsonl"


class TraceFileError(HoldfastError):
    """A file that cannot be read as a trace, or written; one line that says what is wrong and what to do."""


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common configuration: a member we do not know is refused, never ignored."""


class Violation(_Line, frozen=True, kw_only=True):
    """The broken rule: an invariant or a matrix row, why, the witness as data, and the step it shows at."""

    rule: str
    message: str
    witness: Any = None
    step: Count | None = None


class Fingerprints(_Line, frozen=True, kw_only=True):
    """Names of the code and of the specification that the run was made with."""

    code: str
    spec: str


class TraceHeader(_Line, frozen=True, kw_only=True):
    """Everything about a run but its tape and its steps.

    `options` are the overrides of the runtime's options, `budgets` how many faults of a kind may strike,
    `schedule` the number of the run in its campaign, `violation` None for a run that broke no rule.
    """

    format: str = FORMAT
    version: int = VERSION
    scenario: str
    provider: str
    defect: str | None = None
    options: dict[str, Any] = {}
    budgets: dict[str, Count] = {}
    fingerprints: Fingerprints
    versions: dict[str, str] = {}
    seed: int
    strategy: str
    schedule: Count
    violation: Violation | None = None
    digest: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One run as data: what it was of, its tape, its steps."""

    header: TraceHeader
    tape: Tape
    steps: tuple[StepRecord, ...]


class _Answers(_Line, frozen=True, kw_only=True):
    stream: Stream
    answers: list[Count]


class _End(_Line, frozen=True, kw_only=True):
    end: bool
    steps: Count
    digest: str


class _Prologue(msgspec.Struct):
    """As much of any header as tells whether the rest can be understood."""

    format: str
    version: int


def encode_trace(trace: Trace) -> bytes:
    """The bytes of the file. Raises TraceFileError if an option or the witness is not JSON."""
    try:
        lines = [
            msgspec.json.encode(trace.header),
            *(
                msgspec.json.encode(_Answers(stream=name, answers=trace.tape.stream(name)))
                for name in STREAMS
            ),
            *(msgspec.json.encode(step) for step in trace.steps),
        ]
    except (TypeError, msgspec.EncodeError, UnicodeEncodeError) as error:
        raise TraceFileError(f"the trace of {trace.header.scenario} is not JSON: {error}") from None
    end = _End(end=True, steps=len(trace.steps), digest=_checksum(lines))
    return b"\n".join([*lines, msgspec.json.encode(end), b""])


def decode_trace(content: bytes, *, name: str = "trace") -> Trace:
    """The trace in the bytes of a file; `name` is what error messages call it. Raises TraceFileError."""
    return _Reader(name, content.splitlines()).trace()


def trace_file_name(trace: Trace) -> str:
    """A name that is the same for the same trace only: scenario, provider, rule, and eight digits."""
    header = trace.header
    rule = header.violation.rule if header.violation else "held"
    digits = xxhash.xxh3_64_hexdigest(encode_trace(trace))[:8]
    words = f"{header.scenario}-{header.provider}-{rule}-{digits}"
    safe = _with_safe_letters(words)
    if len(safe.encode()) > _NAME_MAX or safe.startswith("."):
        safe = safe_file_name(safe)
    return safe + SUFFIX


def _with_safe_letters(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)


_NAME_MAX: Final = 150


def safe_file_name(name: str) -> str:
    """A name of a file for any text; two texts that differ have different ones. Readable where it can be."""
    safe = _with_safe_letters(name).lstrip(".") or "_"
    if safe == name and len(name.encode()) <= _NAME_MAX:
        return name
    digits = xxhash.xxh3_64_hexdigest(name.encode(errors="surrogatepass"))[:8]
    return f"{safe.encode()[:_NAME_MAX].decode(errors='ignore')}-{digits}"


def write_trace(path: Path, trace: Trace) -> None:
    """Write the file whole or not at all; writing the same trace again changes nothing.

    Raises TraceFileError if the file exists with other content, or cannot be written.
    """
    content = encode_trace(trace)
    try:
        if path.exists():
            if path.read_bytes() != content:
                raise TraceFileError(
                    f"{path} exists with other content; choose another name or remove it first"
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            try:
                file.write(content)
                file.close()
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise TraceFileError(f"{path} cannot be written: {error.strerror}; choose another folder") from None


def read_trace(path: Path) -> Trace:
    """The trace in a file. Raises TraceFileError for anything that is not a whole trace of this version."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TraceFileError(f"{path} cannot be read: {error.strerror}; give the path of a trace") from None
    return decode_trace(content, name=str(path))


_T = TypeVar("_T")
_FRAME: Final = 2 + len(STREAMS)  # lines of a trace without steps


class _Reader:
    """The checks, from the outside in, so that the first complaint is the most helpful one."""

    def __init__(self, name: str, lines: list[bytes]) -> None:
        self._name = name
        self._lines = lines

    def trace(self) -> Trace:
        if not self._lines:
            self._refuse("is empty", "run the check again to get a new trace")
        header = self._header()
        last = self._lines[-1]
        if len(self._lines) < _FRAME or not (last.startswith(b'{"end":') and last.endswith(b"}")):
            self._refuse("is truncated: its last line is not the end mark", "copy the whole file again")
        tape = self._tape()
        steps = tuple(
            self._decoded(StepRecord, number, "a step")
            for number in range(1 + len(STREAMS), len(self._lines) - 1)
        )
        self._check_order(steps)
        self._check_violation(header, len(steps))
        self._check_end(len(steps))
        return Trace(header=header, tape=tape, steps=steps)

    def _header(self) -> TraceHeader:
        try:
            prologue = msgspec.json.decode(self._lines[0], type=_Prologue)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._refuse("is not a trace: its first line is not a trace header", "give a *.trace.jsonl file")
        if prologue.format != FORMAT:
            self._refuse(f"has format {prologue.format!r}, not {FORMAT!r}", "give a *.trace.jsonl file")
        if prologue.version != VERSION:
            self._refuse(
                f"is a trace of version {prologue.version}; this Holdfast reads version {VERSION}",
                "use the Holdfast that wrote it, or run the check again",
            )
        return self._decoded(TraceHeader, 0, "a trace header")

    def _tape(self) -> Tape:
        tape = Tape()
        for number, name in enumerate(STREAMS, start=1):
            line = self._decoded(_Answers, number, f"the {name} stream of the tape")
            if line.stream != name:
                self._refuse(f"has the {line.stream} stream on line {number + 1}, not {name}", _UNEDITED)
            tape.stream(name).extend(line.answers)
        return tape

    def _check_order(self, steps: tuple[StepRecord, ...]) -> None:
        before_us = 0
        for place, step in enumerate(steps):
            if step.n != place:
                self._refuse(f"has step {step.n} in the place of step {place}", _UNEDITED)
            if step.t_us < before_us:
                self._refuse(f"goes back in virtual time at step {place}", _UNEDITED)
            before_us = step.t_us

    def _check_violation(self, header: TraceHeader, steps: int) -> None:
        step = header.violation.step if header.violation is not None else None
        if step is not None and step >= max(steps, 1):
            self._refuse(f"puts its violation at step {step}, and has {steps} steps", _UNEDITED)

    def _check_end(self, steps: int) -> None:
        end = self._decoded(_End, len(self._lines) - 1, "the end mark")
        if end.end is not True:
            self._refuse("is truncated: its last line is not the end mark", "copy the whole file again")
        if end.steps != steps:
            self._refuse(f"has {steps} steps but says it has {end.steps}", _UNEDITED)
        if end.digest != _checksum(self._lines[:-1]):
            self._refuse("was edited: its lines do not give the digest at its end", _UNEDITED)

    def _decoded(self, kind: type[_T], number: int, expected: str) -> _T:
        try:
            return msgspec.json.decode(self._lines[number], type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(f"line {number + 1} is not {expected}: {error}", _UNEDITED)

    def _refuse(self, what: str, advice: str) -> NoReturn:
        raise TraceFileError(f"{self._name} {what}; {advice}") from None


_UNEDITED: Final = "use the file as it was written, or run the check again"


def _checksum(lines: list[bytes]) -> str:
    made = xxhash.xxh3_128()
    for line in lines:
        made.update(line)
        made.update(b"\n")
    return made.hexdigest()
