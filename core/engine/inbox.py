"""What came from outside, and which wait gets it (RT-8).

Positional events go to waits that are there already, one each, and are lost otherwise. Queue messages are
kept, and the n-th unresolved dequeue of a queue is entitled to the n-th unread message, whether or not the
code looks at it first.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core.engine.actions import Operation


class PositionalEvents:
    """Waits in binding order, each with the value it got (RT-8.1 to RT-8.8)."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Operation]] = {}

    def bind(self, name: str, wait: Operation) -> None:
        """A wait now has its event; from here on it can receive (RT-8.2)."""
        _line_up(self._waiting.setdefault(name, []), wait)

    def deliver(self, name: str, data: str) -> bool:
        """Give the value to the oldest wait of the name without one; False if the event is lost (RT-8.3).

        Values reach active waits in binding order, so this is the position arithmetic of RT-8.5: a wait
        cancelled with its value takes the value along (RT-4.77), one cancelled without gives up its turn.
        """
        for wait in self._waiting.get(name, ()):
            if not wait.cancelled and wait.answer is None:
                wait.resolve(data)
                return True
        return False


@dataclass(slots=True, eq=False)
class _QueueMessage:
    name: str
    data: str
    read: bool = False


class QueueMessages:
    """Messages in arrival order over all queues, and the dequeues of each queue in binding order."""

    def __init__(self) -> None:
        self._messages: list[_QueueMessage] = []
        self._unread: dict[str, list[_QueueMessage]] = {}
        self._dequeues: dict[str, list[Operation]] = {}  # unresolved ones, cancelled ones left in place

    def __len__(self) -> int:
        return len(self._messages)

    def bind(self, name: str, dequeue: Operation) -> None:
        """A dequeue now has its event; from here on it has a place in line (RT-8.13)."""
        _line_up(self._dequeues.setdefault(name, []), dequeue)

    def arrive(self, name: str, data: str) -> None:
        """Keep a message (RT-4.41)."""
        message = _QueueMessage(name, data)
        self._messages.append(message)
        self._unread.setdefault(name, []).append(message)

    def is_ready(self, name: str, dequeue: Operation) -> bool:
        """Whether the message this dequeue is entitled to has arrived (RT-8.13, RT-8.14)."""
        return self._message_for(name, dequeue) is not None

    def take(self, name: str, dequeue: Operation) -> None:
        """The code observes the dequeue: its message is read, and answers it for good."""
        message = self._message_for(name, dequeue)
        assert message is not None, f"dequeue of {name!r} taken before its message arrived"
        assert not message.read, f"{message} is read a second time, by {dequeue.action!r}"
        message.read = True
        self._unread[name].remove(message)
        self._dequeues[name].remove(dequeue)
        dequeue.resolve(message.data)

    def unread(self) -> tuple[tuple[str, str], ...]:
        """What no dequeue returned to the code, in arrival order across all queues (RT-10.12)."""
        return tuple((message.name, message.data) for message in self._messages if not message.read)

    def _message_for(self, name: str, dequeue: Operation) -> _QueueMessage | None:
        unread = self._unread.get(name)
        if not unread:
            return None
        place = 0
        for other in self._dequeues.get(name, ()):
            if other is dequeue:
                return unread[place] if not other.cancelled and place < len(unread) else None
            if not other.cancelled:
                place += 1
        return None


def _line_up(line: list[Operation], operation: Operation) -> None:
    """Who receives first is decided by the order in history: nobody gets in line before an older one."""
    schedule_id = operation.schedule_id
    assert schedule_id is not None, f"{operation.action!r} gets in line before it has an event"
    if line and (last_id := line[-1].schedule_id) is not None:
        assert last_id < schedule_id, (
            f"{operation.action!r} of event {schedule_id} gets in line after {last_id}"
        )
    line.append(operation)
