"""Module state: what registered code writes that outlives a run and is shared by all simulated processes.

A simulated crash clears what a boot has made, but not a module's globals: a cache there survives every crash,
so that a cold worker is never met, and one schedule's leavings are the next one's beginning. So the compiled
code is searched for writes to globals, or to containers and objects that globals hold, and so are the
functions of the same module that it calls. A finding is a hint: the stack is followed without its branches.
"""

from __future__ import annotations

import dis
import inspect
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

_CONTAINERS: Final = (MutableMapping, MutableSequence, MutableSet, deque, bytearray)
# fmt: off
_MUTATORS: Final = frozenset(
    {
        "add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop",
        "popitem", "popleft", "remove", "setdefault", "subtract", "symmetric_difference_update",
        "difference_update", "intersection_update", "update",
    }
)
# fmt: on
_CACHED: Final = type(lru_cache(lambda: None))

Path = tuple[str, ...]
"""A global, and the attributes taken from it."""

_UNKNOWN: Final[Path] = ()


def writes(code: CodeType, names: Mapping[str, object]) -> Iterator[tuple[CodeType, str]]:
    """What this code, what is nested in it, and the functions of its module that it calls, write and keep."""
    pending, seen = [code], {code}
    while pending:
        current = pending.pop()
        for name in _written(current, names):
            yield current, name
        inner = [constant for constant in current.co_consts if isinstance(constant, CodeType)]
        called = (names.get(name) for name in current.co_names)
        inner += [
            one.__code__ for one in called if isinstance(one, FunctionType) and one.__globals__ is names
        ]
        assert current in seen, f"{current.co_qualname} is read, and was not met"
        for other in inner:
            if other not in seen:
                seen.add(other)
                pending.append(other)


def _written(code: CodeType, names: Mapping[str, object]) -> Iterator[str]:
    stack: list[Path] = []
    for instruction in dis.get_instructions(code):
        match instruction.opname:
            case "STORE_GLOBAL" | "DELETE_GLOBAL":
                yield str(instruction.argval)
            case "STORE_SUBSCR" | "DELETE_SUBSCR" if len(stack) > 1 and _is_kept(stack[-2], names):
                yield f"{'.'.join(stack[-2])}[...]"
            case "STORE_ATTR" | "DELETE_ATTR" if stack and stack[-1]:
                yield ".".join((*stack[-1], str(instruction.argval)))
            case "LOAD_ATTR" | "LOAD_METHOD" if stack and stack[-1]:
                if instruction.argval in _MUTATORS and _is_kept(stack[-1], names):
                    yield ".".join((*stack[-1], f"{instruction.argval}()"))
            case "LOAD_GLOBAL" | "LOAD_NAME" if isinstance(names.get(instruction.argval), _CACHED):
                yield f"the cache of {instruction.argval}()"
        _follow(stack, instruction, names)


def _follow(stack: list[Path], instruction: dis.Instruction, names: Mapping[str, object]) -> None:
    """What the instruction leaves on the stack, as far as it comes from a global."""
    before = list(stack)
    argument, name = instruction.arg or 0, instruction.opname
    effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
    assert argument >= 0, f"{name} has the argument {argument}"
    if effect < 0:
        del stack[effect:]
    else:
        stack += [_UNKNOWN] * effect
    if name in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval in names:
        stack[-1] = (instruction.argval,)
    elif name == "LOAD_ATTR" and before and before[-1]:
        stack[-1] = (*before[-1], str(instruction.argval))
    elif name == "COPY" and len(before) >= argument:
        stack[-1] = before[-argument]
    elif name == "SWAP" and len(stack) >= argument > 0:
        stack[-1], stack[-argument] = stack[-argument], stack[-1]
    elif stack and name not in _LEAVE_THE_TOP:
        stack[-1] = _UNKNOWN


# fmt: off
_LEAVE_THE_TOP: Final = frozenset(
    {
        "NOP", "RESUME", "PRECALL", "KW_NAMES", "CACHE", "EXTENDED_ARG", "POP_TOP", "STORE_FAST",
        "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF", "STORE_SUBSCR", "STORE_ATTR", "DELETE_SUBSCR",
        "DELETE_ATTR", "DELETE_FAST", "POP_JUMP_FORWARD_IF_FALSE", "POP_JUMP_FORWARD_IF_TRUE",
        "POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE", "JUMP_FORWARD", "JUMP_BACKWARD",
    }
)
# fmt: on


def _is_kept(path: Path, names: Mapping[str, object]) -> bool:
    """Whether a global, or what its attributes lead to, is something that can be written to."""
    if not path:
        return False
    found: Any = names.get(path[0])
    for attribute in path[1:]:
        found = inspect.getattr_static(found, attribute, None)
    if isinstance(found, ModuleType | FunctionType | type):
        return False
    return isinstance(found, _CONTAINERS) or hasattr(type(found), "__setitem__")
