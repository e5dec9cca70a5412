"""The slots of the main file (docs/reference/format.md, section 2)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .errors import UnauthenticError
from .header import REGION, Header
from .primitives import KIND_MAIN

LOCK_BYTE = 1 << 30
NO_CONTEXT = bytes(16)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where slots lie."""

    block_size: int
    overhead: int

    @property
    def slot(self) -> int:
        return self.block_size + self.overhead

    @property
    def below_lock(self) -> int:
        """The number of slots that fit below the byte that SQLite locks."""
        return (LOCK_BYTE - REGION) // self.slot

    def offset(self, index: int) -> int:
        if index < self.below_lock:
            return REGION + index * self.slot
        return LOCK_BYTE + REGION + (index - self.below_lock) * self.slot

    def logical_size(self, physical: int) -> int:
        if physical >= LOCK_BYTE + REGION:
            first, start = self.below_lock, LOCK_BYTE + REGION
        else:
            # A file that ends in the space that is never written has all slots below it.
            first, start = 0, REGION
            physical = min(physical, self.offset(0) + self.below_lock * self.slot)
        whole, rest = divmod(max(physical - start, 0), self.slot)
        # Without tags a torn append is told by its not being a page.
        rest = max(rest - self.overhead, 0) if self.overhead else rest // 512 * 512
        return (first + whole) * self.block_size + rest


class MainFile:
    """Decrypts blocks of a main file."""

    def __init__(
        self,
        file: BinaryIO,
        physical: int,
        header: Header,
        find_slot: Callable[[Geometry, int], bytes] | None = None,
    ) -> None:
        superblock = header.superblock
        self._file = file
        self._opener = header.keys.opener(KIND_MAIN)
        self._older = None if header.older is None else header.older.opener(KIND_MAIN)
        self._find_slot = find_slot
        self.geometry = Geometry(superblock.block_size, self._opener.overhead)
        self.block_size = superblock.block_size
        self.size = self.geometry.logical_size(physical)
        #: Slots from here on may be holes, by the header of the current WAL.
        self.holes_from: int | None = None

    def block(self, index: int) -> bytes:
        """The plaintext of a block; the last one may be short."""
        length = min(self.block_size, self.size - index * self.block_size)
        self._file.seek(self.geometry.offset(index))
        sealed = self._file.read(length + self._opener.overhead)
        if self.holes_from is not None and index >= self.holes_from and not any(sealed):
            return bytes(length)
        candidates = [(self._opener, sealed)]
        if self._older is not None:
            candidates.append((self._older, sealed))
            if self._find_slot is not None:
                candidates.append((self._opener, self._find_slot(self.geometry, index)))
        for opener, slot in candidates:
            with contextlib.suppress(UnauthenticError):
                return opener.open(index, NO_CONTEXT, slot)
        raise UnauthenticError(f"main file, block {index}")

    def blocks(self) -> Iterator[bytes]:
        for index in range(-(-self.size // self.block_size)):
            yield self.block(index)
