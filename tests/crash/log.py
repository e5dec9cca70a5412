"""The recorder's log as events."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_ENTRY = struct.Struct("<IiqQ")
_CREATED, _EMPTIED = 1, 2


class Kind(Enum):
    """What was done."""

    OPEN = "o"
    CLOSE = "c"
    WRITE = "w"
    TRUNCATE = "t"
    SYNC = "s"
    #: A sync that failed.
    FAILED = "f"
    #: A write that failed.
    UNWRITTEN = "n"
    #: What a failed sync did not write went out of the cache.
    EVICTED = "e"
    UNLINK = "u"
    RENAME = "r"
    LINK = "l"
    MARK = "m"
    REFUSED = "x"


@dataclass(frozen=True, slots=True)
class Event:
    """One call that succeeded."""

    kind: Kind
    #: The descriptor; -1 where there is none.
    file: int
    #: The offset of a write, the size of a truncation, the number of a mark, the flags of an open.
    number: int
    data: bytes

    @property
    def created(self) -> bool:
        """Of an open: the file was not there before."""
        return bool(self.number & _CREATED)

    @property
    def emptied(self) -> bool:
        """Of an open: with O_TRUNC."""
        return bool(self.number & _EMPTIED)

    @property
    def path(self) -> str:
        return os.fsdecode(self.data.partition(b"\0")[0])

    @property
    def target(self) -> str:
        """The second name of a rename or link."""
        return os.fsdecode(self.data.partition(b"\0")[2])


def parse(log: bytes) -> Iterator[Event]:
    """The events of a recording."""
    at = 0
    while at < len(log):
        operation, file, number, length = _ENTRY.unpack_from(log, at)
        at += _ENTRY.size
        yield Event(Kind(chr(operation)), file, number, log[at : at + length])
        at += length
