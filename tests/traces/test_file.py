"""The trace file: what is written is read again, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.traces.choice import Tape
from holdfast.traces.file import (
    Fingerprints,
    Trace,
    TraceFileError,
    TraceHeader,
    Violation,
    decode_trace,
    encode_trace,
    read_trace,
    trace_file_name,
    write_trace,
)
from holdfast.traces.steps import StepRecord

counts = st.integers(min_value=0, max_value=2**53)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
answers = st.lists(st.integers(0, 9), max_size=8)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Whole traces: any texts, ascending times, steps numbered by place."""
    times = sorted(draw(st.lists(counts, max_size=6)))
    steps = tuple(
        StepRecord(
            n=n,
            t_us=t_us,
            provider_ms=draw(st.none() | counts),
            kind=draw(st.sampled_from(["commit", "local", "fault", "boot"])),
            process=draw(st.none() | texts),
            boot=draw(st.integers(0, 3)),
            operation=draw(texts),
            outcome=draw(st.sampled_from([None, "answered", "lost", "refused", "unsent"])),
            arguments=draw(st.dictionaries(texts, st.none() | st.booleans() | texts | st.lists(texts))),
            result=draw(texts),
            rows=tuple(draw(st.lists(texts, max_size=2))),
        )
        for n, t_us in enumerate(times)
    )
    violation = draw(
        st.none() | st.builds(Violation, rule=texts, message=texts, witness=json_values, step=st.just(0))
    )
    header = TraceHeader(
        scenario=draw(texts),
        provider=draw(texts),
        defect=draw(st.none() | texts),
        options=draw(st.dictionaries(texts, json_values, max_size=2)),
        budgets=draw(st.dictionaries(texts, counts, max_size=2)),
        fingerprints=Fingerprints(code=draw(texts), spec=draw(texts)),
        versions=draw(st.dictionaries(texts, texts, max_size=2)),
        seed=draw(st.integers(-(2**53), 2**53)),
        strategy=draw(texts),
        schedule=draw(counts),
        violation=violation,
        digest=draw(texts),
    )
    return Trace(header=header, tape=Tape(draw(answers), draw(answers), draw(answers)), steps=steps)


def a_trace(*, steps: int = 3) -> Trace:
    header = TraceHeader(
        scenario="owner_crashes",
        provider="sqlite",
        fingerprints=Fingerprints(code="c", spec="s"),
        seed=1,
        strategy="random",
        schedule=4,
        violation=Violation(rule="INV-03", message="delivered to a stranger", step=2) if steps > 2 else None,
        digest="d",
    )
    made = (
        StepRecord(n=n, t_us=n, kind="local", process="a", boot=1, operation="lease_taken")
        for n in range(steps)
    )
    return Trace(header=header, tape=Tape([0, 1], [2], []), steps=tuple(made))


@given(traces())
def test_what_is_written_is_read_again(trace: Trace) -> None:
    content = encode_trace(trace)
    assert decode_trace(content) == trace
    assert encode_trace(decode_trace(content)) == content


@given(traces(), st.data())
def test_every_cut_is_noticed(trace: Trace, data: st.DataObject) -> None:
    content = encode_trace(trace)
    end = data.draw(st.integers(0, len(content) - 2))  # without its last newline it is still whole
    with pytest.raises(TraceFileError):
        decode_trace(content[:end])


def test_line_ends_of_another_system_do_no_harm() -> None:
    content = encode_trace(a_trace())
    assert decode_trace(content.replace(b"\n", b"\r\n")) == a_trace()


def edited(number: int, **members: Any) -> bytes:
    """The file with members of one line changed; None removes a member."""
    lines = encode_trace(a_trace()).splitlines()
    line = {**msgspec.json.decode(lines[number]), **members}
    lines[number] = msgspec.json.encode({key: value for key, value in line.items() if value is not None})
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n", "is not a trace"),
        (b"hello\n", "is not a trace"),
        (b"[" * 100_000, "is not a trace"),
        (b"\xff\xfe\n", "is not a trace"),
        (b'{"format": "something", "version": 1}\n', "has format 'something'"),
        (edited(0, version=2), "is a trace of version 2; this Holdfast reads version 1"),
        (encode_trace(a_trace())[:-60], "is truncated"),
        (b"".join(encode_trace(a_trace()).splitlines(keepends=True)[:-1]), "is truncated"),
        (b"".join(encode_trace(a_trace()).splitlines(keepends=True)[:1]), "is truncated"),
        (edited(0, surprise=1), "line 1 is not a trace header"),
        (edited(0, scenario=None), "line 1 is not a trace header"),
        (edited(0, scenario="another"), "was edited"),
        (edited(0, violation={"rule": "INV-03", "message": "m", "step": 9}), "puts its violation at step 9"),
        (edited(1, stream="fault"), "has the fault stream on line 2, not schedule"),
        (edited(1, answers=[0, 2]), "was edited"),
        (edited(1, answers=[-1]), "line 2 is not the schedule stream"),
        (edited(4, n=-1), "line 5 is not a step"),
        (edited(4, surprise=1), "line 5 is not a step"),
        (edited(4, kind="wish"), "line 5 is not a step"),
        (edited(5, n=2), "has step 2 in the place of step 1"),
        (edited(6, t_us=0), "goes back in virtual time at step 2"),
        (edited(7, steps=2), "has 3 steps but says it has 2"),
        (edited(7, digest="0"), "was edited"),
        (edited(7, end=False), "is truncated"),
    ],
)
def test_a_bad_file_is_refused_in_one_clear_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.trace.jsonl"
    path.write_bytes(content)
    with pytest.raises(TraceFileError) as caught:
        read_trace(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert complaint in message
    assert "\n" not in message
    assert "; " in message, "says what to do"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(TraceFileError, match="cannot be read"):
            read_trace(path)


def test_writing_again_changes_nothing_and_other_content_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.trace.jsonl"
    write_trace(path, a_trace())
    write_trace(path, a_trace())
    assert read_trace(path) == a_trace()
    with pytest.raises(TraceFileError, match="exists with other content"):
        write_trace(path, a_trace(steps=2))
    assert read_trace(path) == a_trace()
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TraceFileError, match="cannot be written"):
        write_trace(tmp_path / "file" / "a.trace.jsonl", a_trace())


def test_what_is_not_json_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    trace = a_trace()
    header = msgspec.structs.replace(trace.header, options={"key": object()})
    with pytest.raises(TraceFileError, match="is not JSON"):
        write_trace(tmp_path / "a", msgspec.structs.replace(trace, header=header))
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_file_tells_its_content() -> None:
    name = trace_file_name(a_trace())
    assert name.startswith("owner_crashes-sqlite-INV-03-")
    assert name == trace_file_name(a_trace())
    assert name != trace_file_name(a_trace(steps=4))
    assert "/" not in trace_file_name(
        msgspec.structs.replace(
            a_trace(), header=msgspec.structs.replace(a_trace().header, provider="my.mod:make/it")
        )
    )
