"""What a step can be: a request that commits, an answer that arrives, timers that fire.

The stage keeps the enabled ones in one list, in the order in which they became enabled; a fault is drawn when
one of them is taken, and time advances when there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdfast.sim.loop.tasks import Future
from holdfast.sim.stage.process import Process

FETCHES = frozenset({"fetch_orchestration_item", "fetch_work_item", "fetch_session_work_item"})
"""The calls that may wait; the world does the waiting for them."""

Arguments = dict[str, Any]
"""The arguments of a provider call by parameter name, defaults filled in; their types are the contract's."""

_NO_TIMEOUT: Final = {"poll_timeout": 0}


Kind = tuple[Process, str, object]
"""What makes two fetches interchangeable: who asks, for what, and with which filter."""


class Request:
    """A provider call on its way. Enabled until it commits, unless it is parked or slow.

    `deadline_us` is when a fetch that found nothing gives up; None until it has been parked once. `slowed`
    says that a fault has held it up: it was on its way then, and a crash of its process does not stop it.
    `settled` says that the answer is decided, delivered or not.
    """

    __slots__ = (
        "arguments",
        "deadline_us",
        "future",
        "issued_us",
        "kind",
        "operation",
        "process",
        "settled",
        "slowed",
    )

    def __init__(
        self, process: Process, operation: str, arguments: Arguments, future: Future, issued_us: int
    ) -> None:
        assert not future.done(), f"{operation} of {process!r} is sent and has its answer"
        self.process = process
        self.operation = operation
        self.arguments = arguments
        self.future = future
        self.issued_us = issued_us
        self.deadline_us: int | None = None
        self.settled = False
        self.slowed = False
        self.kind: Kind | None = None

    @property
    def actor(self) -> str:
        """Who moves if this is chosen, for strategies that keep priorities."""
        return f"{self.process.name}/{self.operation}"

    def effective_arguments(self) -> Arguments:
        """What the store is called with: fetches never wait there."""
        if self.operation in FETCHES:
            assert "poll_timeout" in self.arguments, f"{self.operation} with {sorted(self.arguments)} alone"
            return {**self.arguments, **_NO_TIMEOUT}
        return self.arguments

    def fetch_kind(self) -> Kind:
        """The kind of a fetch, made once."""
        kind = self.kind
        if kind is None:
            assert self.operation in FETCHES, f"{self.operation} is no fetch, it has no kind"
            arguments = self.arguments
            asked = (arguments.get("tag_filter"), arguments.get("claim_new"), arguments.get("filter"))
            kind = self.kind = (self.process, self.operation, asked)
        return kind


class Delivery:
    """Something for one process to hear: an answer, a call from outside, its boot."""

    __slots__ = ("arguments", "callback", "process")

    def __init__(
        self, process: Process, callback: Callable[..., object], arguments: tuple[object, ...]
    ) -> None:
        self.process = process
        self.callback = callback
        self.arguments = arguments

    @property
    def actor(self) -> str:
        """Who moves if this is chosen."""
        return f"{self.process.name}/deliver"


class DueTimers:
    """The timers of one process whose time has come; they fire in order of due time.

    At most one of these stands for a process, and for all its timers: which of them fire in the step is drawn
    when it is taken, and if more are due then, the next one is announced after that pass of the loop.
    """

    __slots__ = ("process",)

    def __init__(self, process: Process) -> None:
        self.process = process

    @property
    def actor(self) -> str:
        """Who moves if this is chosen."""
        return f"{self.process.name}/timer"


Step = Request | Delivery | DueTimers


def settle_future(future: Future, result: object, error: BaseException | None) -> None:
    """Answer a request, unless its caller has been cancelled meanwhile: then the answer is dropped."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
