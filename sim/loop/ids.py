"""VirtualIds: ids that look random but depend only on who asks and on how many were asked for before."""

from typing import Final

from holdfast.core.contract.ids import LockToken

_SPREAD: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""An odd number: multiplying by it modulo 2**128 maps different counters to different, far apart values."""

_MASK_128: Final = 2**128 - 1


class VirtualIds:
    """The `core.clock.IdSource` of one process, or of the store.

    `line` tells sources apart. `identity_line` is what `bits` are made from: a process restarted with the
    same identity keeps it, while its tokens and UUIDs are new.
    """

    __slots__ = ("_bits", "_identity_line", "_line", "_made")

    def __init__(self, line: int, identity_line: int | None = None) -> None:
        assert line >= 0, f"a source of names has line {line}"
        self._line = line << 64
        self._identity_line = (line if identity_line is None else identity_line) << 64 | 1 << 63
        self._made = 0
        self._bits = 0

    def _next(self) -> int:
        self._made += 1
        return (self._line + self._made) * _SPREAD & _MASK_128

    def token(self) -> LockToken:
        """A lock token, unique in this world."""
        return LockToken(f"{self._next():032x}")

    def guid(self) -> str:
        """A version 4 UUID, unique in this world up to its 6 fixed bits."""
        text = f"{self._next():032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def bits(self, count: int) -> int:
        """A number of `count` bits, the same at every boot with the same identity."""
        assert count > 0, f"a number of {count} bits"
        self._bits += 1
        value = (self._identity_line + self._bits) * _SPREAD & _MASK_128
        if count <= 128:
            return value >> (128 - count)
        return value << (count - 128)
