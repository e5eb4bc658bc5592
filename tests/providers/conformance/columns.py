"""Wrong providers whose columns change the texts that they are given (PV-2.15); not a test.

A `Column` is the memory provider, wrong in one thing: the texts of some members are changed on their way in,
wherever a call names such a member: as an argument, or in an item, an event, the metadata or a filter.
"""

import dataclasses
import functools
import html
import inspect
import json
import unicodedata
import urllib.parse
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from holdfast.core.contract.management import Management
from holdfast.core.contract.provider import Provider, TagFilter
from holdfast.providers.memory import memory_store

Change = Callable[[str], Any]

IDS = frozenset(
    {"instance", "instance_id", "parent_instance", "parent_instance_id", "session_id", "worker_id", "tag"}
    | {"tags", "key", "token", "ids", "duroxide_version", "opened_sessions", "cancelled_sessions"}
    | {"open_sessions"}
)
"""What is looked up by; every other text is a payload."""


class Column:
    """A provider, or its management, that stores the texts of some members changed."""

    def __init__(self, inner: Any, contract: type, members: Collection[str] | None, change: Change) -> None:
        self._inner = inner
        self._contract = contract
        self._members = members
        self._change = change

    def __getattr__(self, name: str) -> Any:
        right = getattr(self._inner, name)
        if name == "as_management":
            return lambda: Column(right(), Management, self._members, self._change)
        if not inspect.iscoroutinefunction(right):
            return right
        signature = inspect.signature(getattr(self._contract, name))

        async def called(*given: Any, **named: Any) -> Any:
            bound = signature.bind(None, *given, **named)
            for argument, value in bound.arguments.items():
                bound.arguments[argument] = self._stored(argument, value)
            return await right(*bound.args[1:], **bound.kwargs)

        return called

    def _stored(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            affected = name not in IDS if self._members is None else name in self._members
            return self._change(value) if affected else value
        if isinstance(value, TagFilter):
            return dataclasses.replace(value, tags=frozenset(self._stored("tag", tag) for tag in value.tags))
        if isinstance(value, msgspec.Struct):
            fields = {field: self._stored(field, getattr(value, field)) for field in value.__struct_fields__}
            return type(value)(**fields)
        if hasattr(value, "_fields"):
            return type(value)(*map(self._stored, value._fields, value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return dataclasses.replace(
                value, **{each: self._stored(each, getattr(value, each)) for each in names}
            )
        if isinstance(value, list | tuple):
            return type(value)(self._stored(name, each) for each in value)
        return value


class ColumnStore:
    """A store whose providers are behind a `Column`."""

    def __init__(self, inner: Any, members: Collection[str] | None, change: Change) -> None:
        self._inner = inner
        self._behind = functools.partial(Column, contract=Provider, members=members, change=change)

    def open(self, observer: Any = None) -> Any:
        return self._behind(self._inner.open(observer))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def form(name: str) -> Change:
    return lambda text: unicodedata.normalize(name, text)


def encoded(name: str) -> Change:
    return lambda text: text.encode(name, errors="replace").decode(name)


def as_json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        return text


def as_number(text: str) -> str:
    try:
        return str(float(text)) if "." in text else str(int(text))
    except ValueError:
        return text


def without_accents(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))


def padded(text: str) -> str:
    """CHAR(n): blanks at the end do not count."""
    return text.rstrip(" ")


CHANGES: dict[str, Change] = {
    "cut_at_30": lambda text: text[:30],
    "cut_at_127": lambda text: text[:127],
    "cut_at_255": lambda text: text[:255],
    "cut_at_1000": lambda text: text[:1_000],
    "cut_at_4000": lambda text: text[:4_000],
    "cut_at_32k": lambda text: text[:32_767],
    "cut_at_64k": lambda text: text[:65_535],
    "cut_at_64k_bytes": lambda text: text.encode()[:65_535].decode(errors="ignore"),
    "cut_at_1_mib": lambda text: text[:1_048_575],
    "empty_is_null": lambda text: text or None,
    "trailing_spaces_lost": padded,
    "trimmed": str.strip,
    "newline_at_the_end_lost": lambda text: text.removesuffix("\n"),
    "crlf_is_lf": lambda text: text.replace("\r\n", "\n"),
    "cr_is_lf": lambda text: text.replace("\r", "\n"),
    "lf_is_crlf": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"),
    "no_break_space_is_space": lambda text: text.replace("\u00a0", " "),
    "ideographic_space_lost": lambda text: text.rstrip("\u3000"),
    "byte_order_mark_lost": lambda text: text.removeprefix("\ufeff"),
    "zero_width_lost": lambda text: text.replace("\u200b", ""),
    "joiner_lost": lambda text: text.replace("\u200d", ""),
    "nul_lost": lambda text: text.replace("\0", ""),
    "cut_at_nul": lambda text: text.split("\0")[0],
    "control_characters_lost": lambda text: text.replace("\x1b", "").replace("\x7f", ""),
    "basic_plane_only": lambda text: "".join(each if each < "\U00010000" else "?" for each in text),
    "latin_1": encoded("latin-1"),
    "windows_1252": encoded("cp1252"),
    "composed": form("NFC"),
    "decomposed": form("NFD"),
    "compatibility": form("NFKC"),
    "lower_case": str.lower,
    "upper_case": str.upper,
    "case_folded": str.casefold,
    "no_accents": without_accents,
    "quotes_doubled": lambda text: text.replace("'", "''"),
    "backslashes_taken": lambda text: text.replace("\\\\", "\\"),
    "percent_decoded": urllib.parse.unquote,
    "html_decoded": html.unescape,
    "json_encoded_anew": as_json,
    "numbers_are_numbers": as_number,
    "null_is_null": lambda text: None if text.lower() == "null" else text,
}


def column_store(
    change: Change, members: Collection[str] | None = None, *, long_polling: bool = True
) -> Callable[[Any, Any], Any]:
    """A provider factory: every payload text goes through the change, or that of these members."""
    return lambda clock, ids: ColumnStore(
        memory_store(clock, ids, long_polling=long_polling), members, change
    )


cut_at_255 = column_store(CHANGES["cut_at_255"], long_polling=False)
cut_at_64k = column_store(CHANGES["cut_at_64k"], long_polling=False)
empty_is_null = column_store(CHANGES["empty_is_null"], long_polling=False)
trailing_spaces_lost = column_store(CHANGES["trailing_spaces_lost"], long_polling=False)
crlf_is_lf = column_store(CHANGES["crlf_is_lf"], long_polling=False)
