"""The write-ahead log: which one counts, its frames, and what SQLite makes of them.

docs/reference/format.md, section 4, and https://sqlite.org/fileformat2.html#the_write_ahead_log.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import ForeignLogError, LostLogError, MalformedError, UnauthenticError, UnsupportedFormatError
from .header import Cell, Length
from .overlay import Overlay
from .primitives import KIND_WAL, Keys, Opener, sha256

MAGIC = b"lumocrypt-wal\x00\x0d\x0a"
PREAMBLE = 128
SECOND_COPY = 4096
FRAMES = 8192
HEADER_INDEX = 2**64 - 1
SQLITE_HEADER = 32
FRAME_HEADER = 24


@dataclass(frozen=True, slots=True)
class WalHeader:
    generation: bytes
    previous: bytes
    sequence: int
    main_slots: int
    #: SQLite's own header.
    sqlite: bytes

    @property
    def page_size(self) -> int:
        (size,) = struct.unpack_from(">I", self.sqlite, 8)
        return size


def _open_copy(raw: bytes, keys: Keys, opener: Opener) -> WalHeader | None:
    """A copy of the header, or None if it is torn or was never written."""
    if len(raw) < PREAMBLE + 64 + opener.overhead or sha256(raw[:96]) != raw[96:128]:
        return None
    version, kind, sequence = struct.unpack_from("<IIQ", raw, 16)
    if (raw[:16], version, kind) != (MAGIC, 1, KIND_WAL) or any(raw[80:96]):
        raise UnsupportedFormatError("preamble of the WAL")
    if raw[32:48] != keys.uuid or raw[48:64] != keys.key_id:
        raise ForeignLogError("the WAL is of another database or under another key")
    generation = raw[64:80]
    try:
        body = opener.open(HEADER_INDEX, generation, raw[PREAMBLE : PREAMBLE + 64 + opener.overhead])
    except UnauthenticError:
        return None
    slots, sealed_sequence = struct.unpack_from("<QQ", body, 32)
    if sealed_sequence != sequence:
        # The number outside is not authenticated by itself; it decides which copy is newer.
        return None
    return WalHeader(generation, body[48:64], sequence, slots, body[:32])


def newest_key_id(raw: bytes) -> bytes:
    """The key id in the preamble with the higher sequence number."""
    copies = [raw[at : at + PREAMBLE] for at in (0, SECOND_COPY)]
    whole = [copy for copy in copies if len(copy) == PREAMBLE and sha256(copy[:96]) == copy[96:]]
    newest = max(whole, key=lambda copy: struct.unpack_from("<Q", copy, 24), default=b"")
    return newest[48:64]


def newest_header(raw: bytes, keys: Keys) -> WalHeader | None:
    if raw[:4] in (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"):
        raise ForeignLogError("a plaintext WAL")
    opener = keys.opener(KIND_WAL)
    copies = (_open_copy(raw[at : at + SECOND_COPY], keys, opener) for at in (0, SECOND_COPY))
    return max((copy for copy in copies if copy), key=lambda copy: copy.sequence, default=None)


def counting_header(raw: bytes, cell: Cell, keys: Keys) -> WalHeader | None:
    """The header of the log that counts, or None if no log does; an error for loss and replay."""
    header = newest_header(raw, keys) if raw else None
    if cell.active:
        if header is None:
            raise LostLogError("the database's WAL is missing or unreadable")
        if cell.current in (header.generation, header.previous):
            return header
        raise ForeignLogError("the WAL is not the one that the database names")
    if header is None or header.generation == cell.previous:
        return None
    if header.previous == cell.previous:
        return header
    raise ForeignLogError("a WAL of another time")


def frames(raw: bytes, header: WalHeader, keys: Keys) -> Iterator[tuple[int, bytes | None]]:
    """Every whole frame slot; None for one that does not open under the current generation.

    That is nothing unusual by itself: frames of earlier generations lie behind the end of the log.
    """
    opener = keys.opener(KIND_WAL)
    slot = FRAME_HEADER + header.page_size + opener.overhead
    for index in range(max(len(raw) - FRAMES, 0) // slot):
        at = FRAMES + index * slot
        try:
            yield index, opener.open(index, header.generation, raw[at : at + slot])
        except UnauthenticError:
            yield index, None


def _checksum(data: bytes, order: str, s0: int, s1: int) -> tuple[int, int]:
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + even + s1) & 0xFFFFFFFF
        s1 = (s1 + odd + s0) & 0xFFFFFFFF
    return s0, s1


@dataclass(frozen=True, slots=True)
class WalContent:
    header: WalHeader
    #: None if nothing is committed in it.
    overlay: Overlay | None
    #: Frames that open; of them, those up to the last commit.
    authentic: int
    committed: int


def read_wal(raw: bytes, cell: Cell, length: Length, keys: Keys) -> WalContent | None:
    """What the WAL's committed transactions make of the database; None if no log counts."""
    header = counting_header(raw, cell, keys)
    if header is None:
        return None
    magic, version, page_size = struct.unpack_from(">III", header.sqlite)
    if magic & ~1 != 0x377F0682 or version != 3007000:
        raise MalformedError("SQLite's WAL header")
    order = ">" if magic & 1 else "<"
    sums = _checksum(header.sqlite[:24], order, 0, 0)
    if struct.pack(">II", *sums) != header.sqlite[24:32]:
        raise MalformedError("checksum of SQLite's WAL header")
    opened = [plain for _, plain in frames(raw, header, keys)]
    pending: dict[int, bytes] = {}
    overlay: Overlay | None = None
    committed = 0
    for index, plain in enumerate(opened):
        if plain is None or plain[8:16] != header.sqlite[16:24]:
            break
        number, count = struct.unpack_from(">II", plain)
        sums = _checksum(plain[:8] + plain[FRAME_HEADER:], order, *sums)
        if number == 0 or struct.pack(">II", *sums) != plain[16:24]:
            break
        pending[number] = plain[FRAME_HEADER:]
        if count:
            overlay = Overlay(page_size, count, {**(overlay.pages if overlay else {}), **pending})
            pending.clear()
            committed = index + 1
    if committed < length.frames_of(header.generation):
        raise LostLogError("frames are missing that a checkpoint has begun to copy")
    return WalContent(header, overlay, sum(plain is not None for plain in opened), committed)
