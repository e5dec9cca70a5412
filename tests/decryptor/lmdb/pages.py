"""Meta pages, pages and extents: what authenticates, in clear (docs/reference/lmdb-format.md)."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

import xxhash

from ..errors import HeaderDamagedError, MalformedError, UnauthenticError
from ..header import REGION
from ..primitives import Keys

KIND_PAGE, KIND_META = 16, 17
META, MAC = 160, 32
PAGE_HEADER = 24
SUM = 16
META_FLAG, OVERFLOW_FLAG = 0x08, 0x04
MAGIC, VERSION = 0xBEEFC0DE, 3
NO_PAGE = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Tree:
    """The record of a database, or of the many values of a key."""

    value_size: int
    flags: int
    depth: int
    branches: int
    leaves: int
    overflow: int
    entries: int
    root: int

    @classmethod
    def parse(cls, raw: bytes) -> Tree:
        return cls(*struct.unpack("<IHHQQQQQ", raw))


@dataclass(frozen=True, slots=True)
class Meta:
    transaction: int
    last_page: int
    free: Tree
    main: Tree


class Pages:
    """The pages of an environment."""

    def __init__(self, content: bytes, keys: Keys, page_size: int) -> None:
        self._content = content
        self._keys = keys
        self._opener = keys.opener(KIND_PAGE)
        self.page_size = page_size

    def meta(self, number: int) -> Meta:
        """UnauthenticError if it is not what was written there."""
        at = REGION + number * self.page_size
        raw = self._content[at : at + META + MAC]
        associated = self._keys.uuid + self._keys.key_id + struct.pack("<I", KIND_META) + bytes(28)
        mac = self._keys.mac(b"lumocrypt v1 lmdb meta mac", associated + raw[:META])
        if not hmac.compare_digest(mac, raw[META:]):
            raise UnauthenticError(f"meta page {number}")
        (found,) = struct.unpack_from("<Q", raw)
        (flags,) = struct.unpack_from("<H", raw, 18)
        magic, version = struct.unpack_from("<II", raw, 24)
        free, main = Tree.parse(raw[48:96]), Tree.parse(raw[96:144])
        last_page, transaction = struct.unpack_from("<QQ", raw, 144)
        if (found, flags, magic, version) != (number, META_FLAG, MAGIC, VERSION):
            raise UnauthenticError(f"meta page {number} is of another place")
        if free.value_size != self.page_size:
            raise MalformedError("the size of pages")
        return Meta(transaction, last_page, free, main)

    def newest(self) -> Meta:
        """Of the meta pages that authenticate."""
        found: list[Meta] = []
        for number in range(2):
            try:
                found.append(self.meta(number))
            except UnauthenticError:
                continue
        if not found:
            raise HeaderDamagedError("both meta pages")
        # A sort keeps the order of equals: the first one wins.
        return sorted(found, key=lambda meta: -meta.transaction)[0]

    def open(self, number: int, pages: int = 1) -> bytes:
        """A page or an extent as LMDB made it, without what is not LMDB's."""
        at, length = REGION + number * self.page_size, pages * self.page_size
        raw = self._content[at : at + length]
        if len(raw) != length:
            raise UnauthenticError(f"page {number} is cut off")
        found, transaction = struct.unpack_from("<QQ", raw)
        if not self._keys.suite.keyed:
            if xxhash.xxh3_128_intdigest(raw[:-SUM], seed=0).to_bytes(SUM, "little") != raw[-SUM:]:
                raise UnauthenticError(f"page {number}")
            clear = raw[:-SUM]
        else:
            context = struct.pack("<QQ", transaction, 0)
            clear = raw[:16] + self._opener.open(found, context, raw[16:])
        if found != number:
            raise UnauthenticError(f"page {found} in the place of page {number}")
        return clear

    def value(self, number: int, transaction: int, pages: int, size: int) -> bytes:
        """The big value in an extent."""
        clear = self.open(number, pages)
        (written,) = struct.unpack_from("<Q", clear, 8)
        flags, found = struct.unpack_from("<HI", clear, 18)
        if written != transaction:
            raise UnauthenticError(f"the extent at page {number} is another value's")
        if not flags & OVERFLOW_FLAG or found != pages or PAGE_HEADER + size > len(clear):
            raise MalformedError(f"the extent at page {number}")
        return clear[PAGE_HEADER : PAGE_HEADER + size]
