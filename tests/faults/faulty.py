"""The VFS whose n-th call fails: building and registering it, and what there is that can fail."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

from campaigns.shared_object import build

FOLDER = Path(__file__).parent
#: The name under which the VFS is registered.
NAME = "faulty"
#: The VFS below it.
BASE = b"unix"


class Operation(IntEnum):
    """A call of the VFS; the numbers are faulty.c's."""

    OPEN = 0
    CLOSE = 1
    READ = 2
    WRITE = 3
    TRUNCATE = 4
    SYNC = 5
    SIZE = 6
    LOCK = 7
    UNLOCK = 8
    RESERVED = 9
    CONTROL = 10
    FETCH = 11
    SHM_MAP = 12
    SHM_LOCK = 13
    SHM_UNLOCK = 14
    SHM_UNMAP = 15
    DELETE = 16
    ACCESS = 17
    FULL_PATH = 18


class Effect(IntEnum):
    """How much of a failing call is done all the same."""

    NOTHING = 0
    HALF = 1
    ALL = 2


class Scope(IntEnum):
    """Which calls fail: one, all of its sort from then on, or all."""

    ONCE = 0
    SAME_OPERATION = 1
    EVERY = 2


FILES = ("", "main", "journal", "wal", "temporary")


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to fail."""

    name: str
    code: int
    effect: Effect = Effect.NOTHING


# SQLite's result codes (sqlite3.h).
_OK, _BUSY, _IOERR, _FULL, _CANTOPEN = 0, 5, 10, 13, 14
SHORT_READ = Fault("short read", _IOERR | 2 << 8, Effect.HALF)
#: The storage is gone: how each call fails then.
GONE = Fault("gone", _IOERR)

#: The ways in which each operation can fail, with the codes that SQLite's own VFS returns.
FAULTS: dict[Operation, tuple[Fault, ...]] = {
    Operation.OPEN: (Fault("cannot open", _CANTOPEN),),
    Operation.CLOSE: (Fault("EIO", _IOERR | 16 << 8, Effect.ALL),),
    Operation.READ: (Fault("EIO", _IOERR | 1 << 8), SHORT_READ),
    Operation.WRITE: (
        Fault("EIO", _IOERR | 3 << 8),
        Fault("ENOSPC", _FULL),
        Fault("short write, EIO", _IOERR | 3 << 8, Effect.HALF),
        Fault("short write, ENOSPC", _FULL, Effect.HALF),
    ),
    Operation.TRUNCATE: (Fault("EIO", _IOERR | 6 << 8),),
    Operation.SYNC: (Fault("EIO", _IOERR | 4 << 8),),
    Operation.SIZE: (Fault("EIO", _IOERR | 7 << 8),),
    Operation.LOCK: (Fault("busy", _BUSY), Fault("EIO", _IOERR | 15 << 8)),
    Operation.UNLOCK: (
        Fault("EIO", _IOERR | 8 << 8),
        Fault("EIO after all", _IOERR | 8 << 8, Effect.ALL),
    ),
    Operation.RESERVED: (Fault("EIO", _IOERR | 14 << 8),),
    Operation.CONTROL: (Fault("EIO", _IOERR),),
    Operation.FETCH: (Fault("no map", _OK), Fault("EIO", _IOERR | 7 << 8)),
    Operation.SHM_MAP: (Fault("EIO", _IOERR | 21 << 8),),
    Operation.SHM_LOCK: (Fault("busy", _BUSY), Fault("EIO", _IOERR | 20 << 8)),
    Operation.SHM_UNLOCK: (Fault("EIO after all", _IOERR | 20 << 8, Effect.ALL),),
    Operation.SHM_UNMAP: (Fault("EIO after all", _IOERR, Effect.ALL),),
    Operation.DELETE: (
        Fault("EIO", _IOERR | 10 << 8),
        Fault("EIO of the folder", _IOERR | 5 << 8, Effect.ALL),
    ),
    Operation.ACCESS: (Fault("EIO", _IOERR | 13 << 8),),
    Operation.FULL_PATH: (Fault("cannot open", _CANTOPEN),),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a run without faults made."""

    operation: Operation
    file: str


class Faulty:
    """The VFS, registered in the SQLite of the standard library's sqlite3."""

    def __init__(self) -> None:
        import _sqlite3

        # The names of SQLite's functions resolve through the module that uses them.
        sqlite = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        self._library = library = ctypes.CDLL(str(build(FOLDER / "faulty.c")))
        library.faulty_arm.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        library.faulty_calls.restype = ctypes.c_void_p
        library.faulty_calls.argtypes = [ctypes.POINTER(ctypes.c_long)]
        library.faulty_register.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p]
        find, add = (
            ctypes.cast(function, ctypes.c_void_p)
            for function in (sqlite.sqlite3_vfs_find, sqlite.sqlite3_vfs_register)
        )
        code = library.faulty_register(find, add, BASE)
        if code != 0:
            raise RuntimeError(f"the faulty VFS cannot be registered: {code}")

    def count(self) -> None:
        """Counts calls from here on; none fails."""
        self._library.faulty_arm(-1, 0, 0, 0)

    def arm(self, at: int, fault: Fault, scope: Scope) -> None:
        """Counts calls from here on; number ``at`` fails."""
        self._library.faulty_arm(at, fault.code, fault.effect, scope)

    def disarm(self) -> int:
        """Ends it; how many calls failed."""
        return self._library.faulty_disarm()

    def calls(self) -> list[Call]:
        """The calls since the last ``count`` or ``arm``."""
        number = ctypes.c_long()
        address = self._library.faulty_calls(ctypes.byref(number))
        log = ctypes.string_at(address, number.value * 2) if number.value else b""
        return [
            Call(Operation(operation), FILES[file])
            for operation, file in zip(log[::2], log[1::2], strict=True)
        ]


@cache
def faulty() -> Faulty:
    """The one of this process."""
    return Faulty()
