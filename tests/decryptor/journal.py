"""The rollback journal: its extents, and the rollback that SQLite would do.

docs/reference/format.md, section 5, and https://sqlite.org/fileformat2.html#the_rollback_journal.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .errors import ForeignLogError, MalformedError, UnauthenticError, UnsupportedFormatError
from .overlay import Overlay
from .primitives import KIND_JOURNAL, Keys, sha256

MAGIC = b"lumocrypt-jnl\x00\x0d\x0a"
PREAMBLE = 128
EXTENT_HEAD = 24
PAYLOAD_HEAD = 16
MAX_PAYLOAD = PAYLOAD_HEAD + (1 << 20)
SQLITE_MAGIC = bytes.fromhex("d9d505f920a163d7")
LOCK_BYTE = 1 << 30
PAGE_SIZES = [1 << shift for shift in range(9, 17)]
SECTOR_SIZES = [1 << shift for shift in range(5, 17)]


@dataclass(frozen=True, slots=True)
class JournalFile:
    #: The journal as SQLite wrote it.
    logical: bytes
    extents: int
    #: Physical bytes behind the last authentic extent.
    rest: bytes


def _journal_id(raw: bytes, keys: Keys) -> bytes | None:
    """The id of the journal, None if it is finished."""
    preamble = raw[:PREAMBLE].ljust(PREAMBLE, b"\0")
    if preamble.startswith(SQLITE_MAGIC):
        raise ForeignLogError("a plaintext journal")
    if not any(preamble):
        return None
    if sha256(preamble[:96]) != preamble[96:]:
        extent = raw[PREAMBLE : PREAMBLE + EXTENT_HEAD]
        return extent[8:24] if extent.startswith(b"LJX1") and len(extent) == EXTENT_HEAD else None
    version, kind = struct.unpack_from("<II", preamble, 16)
    if (preamble[:16], version, kind) != (MAGIC, 1, KIND_JOURNAL) or any(preamble[24:32] + preamble[80:96]):
        raise UnsupportedFormatError("preamble of the journal")
    if preamble[32:48] != keys.uuid or preamble[48:64] != keys.key_id:
        raise ForeignLogError("the journal is of another database or under another key")
    return preamble[64:80]


def open_journal(raw: bytes, keys: Keys) -> JournalFile:
    """Decrypts the extents and lays them over one another."""
    journal_id = _journal_id(raw, keys) if raw else None
    if journal_id is None:
        return JournalFile(b"", 0, b"")
    opener = keys.opener(KIND_JOURNAL)
    logical = bytearray()
    at, count = PREAMBLE, 0
    while len(raw) - at >= EXTENT_HEAD:
        mark, length = struct.unpack_from("<4sI", raw, at)
        end = at + EXTENT_HEAD + length + opener.overhead
        if mark != b"LJX1" or not PAYLOAD_HEAD <= length <= MAX_PAYLOAD or end > len(raw):
            break
        if raw[at + 8 : at + EXTENT_HEAD] != journal_id:
            break
        try:
            payload = opener.open(count, journal_id, raw[at + EXTENT_HEAD : end])
        except UnauthenticError:
            break
        (offset,) = struct.unpack_from("<Q", payload)
        data = payload[PAYLOAD_HEAD:]
        if data:
            logical.extend(bytes(max(offset + len(data) - len(logical), 0)))
            logical[offset : offset + len(data)] = data
        else:
            del logical[offset:]
        at, count = end, count + 1
    rest = raw[at:]
    name = super_journal(bytes(logical))
    if name is not None:
        # The record counts while the clear trailer stands behind the last extent.
        trailer = logical[-len(name.encode()) - 16 :]
        if rest != trailer:
            del logical[-len(trailer) :]
    return JournalFile(bytes(logical), count, rest)


def super_journal(journal: bytes) -> str | None:
    """The super-journal that a journal ends with (pager.c, readSuperJournal)."""
    if len(journal) < 16 or journal[-8:] != SQLITE_MAGIC:
        return None
    length, checksum = struct.unpack(">II", journal[-16:-8])
    name = journal[-16 - length : -16]
    # C's char is signed on the platforms of this test.
    if not length or len(name) != length or sum(struct.unpack(f"{length}b", name)) & 0xFFFFFFFF != checksum:
        return None
    return name.decode()


def _page_checksum(initial: int, page: bytes) -> int:
    return (initial + sum(page[at] for at in range(len(page) - 200, 0, -200))) & 0xFFFFFFFF


def rollback(journal: bytes) -> Overlay | None:
    """What the rollback of a hot journal puts back (pager.c, pager_playback); None if nothing."""
    overlay: Overlay | None = None
    sector = 512
    at = 0
    while len(journal) >= at + 28 and journal[at : at + 8] == SQLITE_MAGIC:
        records, initial, pages = struct.unpack_from(">III", journal, at + 8)
        if overlay is None:
            sector, page_size = struct.unpack_from(">II", journal, at + 20)
            if page_size not in PAGE_SIZES or sector not in SECTOR_SIZES:
                raise MalformedError("SQLite's journal header")
            overlay = Overlay(page_size, pages)
        at += sector
        record = 4 + overlay.page_size + 4
        # Without syncs the count is 2^32 - 1: as many as there are.
        for _ in range(records):
            if not _play(journal[at : at + record], initial, overlay):
                return overlay
            at += record
        at = -(-at // sector) * sector
    return overlay


def _play(record: bytes, initial: int, overlay: Overlay) -> bool:
    """One record; False if the journal ends here."""
    size = overlay.page_size
    if len(record) < size + 8:
        return False
    number, checksum = struct.unpack(f">I{size}xI", record)
    if number in (0, LOCK_BYTE // size + 1):
        return False
    if number > overlay.page_count or number in overlay.pages:
        return True
    page = record[4:-4]
    if _page_checksum(initial, page) != checksum:
        return False
    overlay.pages[number] = page
    return True
