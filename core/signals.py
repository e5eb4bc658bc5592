"""What ends a turn from inside orchestration code and cannot be caught there (H23, SS-16.5).

They derive from BaseException so that `except Exception` in user code does not swallow them; and code that
catches even those still ends the turn, because the state of the turn remembers the first one raised.
"""


class TurnSignal(BaseException):
    """The root of the signals. Never raised itself."""


class SessionRefused(TurnSignal):
    """A session check failed; the execution fails with this text (SS-16.3, SS-16.4)."""


class Misuse(TurnSignal):
    """The code uses the context in a way that cannot be meant; the execution ends as panicked (RT-4.70)."""


class TurnOver(TurnSignal):
    """The coroutine is being torn down after its turn; what it still asks for is ignored (RT-4.56)."""
