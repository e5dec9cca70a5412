"""The engine's functions for LMDB (docs/reference/c-abi.md), with what they need of cffi."""

from __future__ import annotations

import os
from typing import Any

from ..engine import native
from .errors import failure

#: cffi and the functions. Every one but ``close`` and ``generation`` answers with a status.
ffi, lib = native.library()

#: What keys and values are given as.
Bytes = bytes | bytearray | memoryview

# LMDB's flags and a cursor's moves (lmdb.h).
REVERSEKEY, DUPSORT, INTEGERKEY, DUPFIXED, INTEGERDUP, CREATE = 0x02, 0x04, 0x08, 0x10, 0x20, 0x40000
NOOVERWRITE, NODUPDATA, APPEND, APPENDDUP = 0x10, 0x20, 0x20000, 0x40000
FIRST, FIRST_DUP, GET_BOTH, GET_BOTH_RANGE, GET_CURRENT, GET_MULTIPLE, LAST, LAST_DUP = range(8)
NEXT, NEXT_DUP, NEXT_MULTIPLE, NEXT_NODUP, PREV, PREV_DUP, PREV_NODUP, SET, SET_KEY, SET_RANGE = range(8, 18)


def check(what: str, status: int) -> None:
    """Raises the exception for a status that is not 0."""
    if status:
        raise failure(what)


def given(material: Bytes) -> Any:
    """A caller's bytes for C. Raises TypeError for anything else."""
    if isinstance(material, bytes):
        # Nobody changes those, so nothing is copied.
        return material
    if isinstance(material, str):
        raise TypeError("bytes are expected, not str; encode the text first")
    return bytes(memoryview(material))


class Address:
    """What the engine gave out, and takes back when nobody has it any more. A call keeps it by having a name
    for it, so that another thread cannot close it meanwhile."""

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: Any, close: Any) -> None:
        self._value: Any = ffi.gc(value, close)

    def get(self) -> Any:
        """The address."""
        return self._value


def numbers(what: str, function: Any, *arguments: Any, count: int) -> list[int]:
    """What a function fills in."""
    found = ffi.new("uint64_t[]", count)
    check(what, function(*arguments, found))
    return list(found)


def stat(found: list[int]) -> dict[str, int]:
    """The numbers of a database by their names."""
    names = ("psize", "depth", "branch_pages", "leaf_pages", "overflow_pages", "entries")
    return dict(zip(names, found, strict=True))


def put_flags(kind: int, *, dupdata: bool, overwrite: bool, append: bool) -> int:
    """LMDB's flags of a put into a database of this kind."""
    flags = (0 if dupdata else NODUPDATA) | (0 if overwrite else NOOVERWRITE)
    if append:
        flags |= APPENDDUP if kind & DUPSORT else APPEND
    return flags


def version(subpatch: bool = False) -> tuple[int, ...]:
    """LMDB's version, which is the same for all environments. With ``subpatch`` a fourth number: 1, since
    it is edited (decision 47)."""
    found = ffi.new("int[]", 3)
    check("version", lib.lumo_lmdb_version(found))
    return (*found, 1) if subpatch else tuple(found)


def process() -> int:
    """Which process this is, however it came to be."""
    return os.getpid()
