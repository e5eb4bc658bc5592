"""checked: every call of a client checks its arguments, by the types that its signature says (RT-19.1).

One place for all of them, so that none is forgotten: what a method declares as `str` is a text that can be
stored, and so on. A parameter of type `object` takes anything; it is encoded.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import Final, TypeVar

from holdfast.core.contract import arguments
from holdfast.core.contract.arguments import OF_CLIENT
from holdfast.core.contract.errors import CodecError, InvalidInput
from holdfast.core.contract.ids import INT63_MAX
from holdfast.core.contract.management import InstanceFilter, PruneOptions
from holdfast.core.program import payload

_C = TypeVar("_C", bound=type)

_Check = Callable[[str, object], object]
"""Takes the name of an argument and its value; returns it as it is passed on, or raises InvalidInput."""


def _type(name: str, value: object) -> object:
    try:
        payload.check_type(value)
    except CodecError as error:
        raise InvalidInput(f"{name}: {error}") from None
    return value


def _optional(check: _Check) -> _Check:
    return lambda name, value: None if value is None else check(name, value)


_text: Final = partial(arguments.text, errors=OF_CLIENT)
_number: Final = partial(arguments.number, errors=OF_CLIENT, least=-INT63_MAX)

CHECKS: Final[Mapping[str, _Check | None]] = {
    "object": None,
    "str": _text,
    "str | None": _optional(_text),
    "int": _number,
    "int | None": _optional(_number),
    "bool": partial(arguments.flag, errors=OF_CLIENT),
    "timedelta": partial(arguments.duration, errors=OF_CLIENT),
    "type[_T]": _type,
    "InstanceFilter": partial(arguments.instance_of, kind=InstanceFilter, errors=OF_CLIENT),
    "PruneOptions": partial(arguments.instance_of, kind=PruneOptions, errors=OF_CLIENT),
}
"""By the text of an annotation, how an argument is checked; None: not at all, the method encodes it."""


def checked(owner: _C) -> _C:
    """Make every public coroutine method of a class check its arguments before it does anything."""
    methods = list(vars(owner).items())
    for name, method in methods:
        if inspect.iscoroutinefunction(method) and not name.startswith("_"):
            setattr(owner, name, _checking(method))
    assert vars(owner).keys() == dict(methods).keys(), f"{owner.__name__} has got further attributes"
    return owner


def _checking(method: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    for each in parameters:
        assert each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD), (
            f"{method} takes any number of {each}"
        )
    checks = {each.name: CHECKS[str(each.annotation)] for each in parameters}
    in_order = [(name, check) for name, check in checks.items()]

    @wraps(method)
    async def call(self: object, /, *given: object, **named: object) -> object:
        passed = [
            value if check is None else check(name, value)
            for (name, check), value in zip(in_order, given, strict=False)
        ]
        for name, value in named.items():
            check = checks.get(name)
            if check is not None:
                named[name] = check(name, value)
        return await method(self, *passed, *given[len(passed) :], **named)

    return call
