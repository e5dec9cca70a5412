"""Where things are in a database file (docs/reference/format.md), for tests that change bytes."""

from __future__ import annotations

import hashlib
import struct

HEADER = 65536
#: Length of a superblock copy; A is at 0, B behind it.
COPY = 16384
VERSION_AT, GENERATION_AT, SUITE_AT, BLOCK_SIZE_AT, FLAGS_AT = 16, 24, 64, 68, 72
KEYSLOTS_AT, KEYSLOT = 1024, 1024
#: Within a keyslot.
KDF_T_AT, KDF_M_AT, KDF_P_AT = 20, 24, 28
DIGEST_AT = 16352
CELL_A, CELL_B, LENGTH_A, LENGTH_B, CELLS_END = 0x8000, 0x9000, 0xA000, 0xB000, 0xC000
#: Bytes of a cell that mean something.
CELL_USED = 224
#: What the AEAD suites add to a block: nonce and tag.
OVERHEAD = 40
WAL_FRAMES = 8192
WAL_FRAME_HEADER = 24


def slot_at(index: int, block_size: int) -> int:
    """The offset of a slot of the main file, for files below 1 GiB."""
    return HEADER + index * (block_size + OVERHEAD)


def frame_at(index: int, page_size: int) -> int:
    """The offset of a frame's slot in a WAL."""
    return WAL_FRAMES + index * (WAL_FRAME_HEADER + page_size + OVERHEAD)


def patched(content: bytes, offset: int, value: bytes, copies: tuple[int, ...] = (0, COPY)) -> bytes:
    """``content`` with bytes of its superblock copies replaced, and their digests right again.

    This is what anybody can do without a key: the digest is unkeyed.
    """
    out = bytearray(content)
    for copy in copies:
        out[copy + offset : copy + offset + len(value)] = value
        digest = hashlib.sha256(out[copy : copy + DIGEST_AT]).digest()
        out[copy + DIGEST_AT : copy + DIGEST_AT + len(digest)] = digest
    return bytes(out)


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def u64(number: int) -> bytes:
    return struct.pack("<Q", number)
