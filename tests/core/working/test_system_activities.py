"""The activities built into every worker (RT-18)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.user_texts import error_text
from holdfast.core.working.system_activities import SystemActivityError, system_activities


class Asked:
    """Stands for the context of an activity, whose client is all that a system call uses."""

    def __init__(self, answer: object) -> None:
        self.client = self
        self.answer = answer

    async def get_kv_value(self, instance: str, key: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def asked(input: str, answer: object = None) -> str:
    handler: Any = system_activities(None, None)["__duroxide_syscall:get_kv_value"]  # type: ignore[arg-type]
    return str(asyncio.run(handler(Asked(answer), input)))


@pytest.mark.parametrize(
    ("input", "text"),
    [
        ("{", "get_kv_value: invalid input: "),
        ("[1]", "get_kv_value: invalid input: "),
        ("", "get_kv_value: invalid input: "),
        ('{"key": "k"}', "get_kv_value: missing instance_id"),
        ('{"instance_id": 1, "key": "k"}', "get_kv_value: missing instance_id"),
        ('{"instance_id": "i"}', "get_kv_value: missing key"),
        ('{"instance_id": "i", "key": null}', "get_kv_value: missing key"),
    ],
)
def test_rt_18_4_what_cannot_be_used_fails_with_its_text_alone(input: str, text: str) -> None:
    """RT-18.4: no name of a class stands before it."""
    with pytest.raises(SystemActivityError) as raised:
        asked(input)
    assert error_text(raised.value).startswith(text)


def test_rt_18_4_an_error_of_the_provider_is_named() -> None:
    with pytest.raises(SystemActivityError) as raised:
        asked('{"instance_id": "i", "key": "k"}', ProviderError.transient("get_kv_value", "busy"))
    assert error_text(raised.value) == "get_kv_value client error: get_kv_value: busy"


@pytest.mark.parametrize(("value", "text"), [(None, "null"), ("", '""'), ('a"b', '"a\\"b"')])
def test_rt_18_4_the_answer_is_the_json_of_the_value(value: str | None, text: str) -> None:
    """RT-18.4, PV-17.12: the empty text is a value."""
    assert asked('{"instance_id": "i", "key": "k"}', value) == text
