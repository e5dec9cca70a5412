"""Changes the header of a database as docs/reference/format.md, section 2.1, has it."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from pathlib import Path

_COPY = 16384
_GENERATION_AT, _UUID_AT, _KEY_ID_AT, _SUITE_AT = 24, 32, 48, 64
_MAC_AT, _DIGEST_AT = 16320, 16352


def edit_superblock(path: Path, raw_key: bytes) -> None:
    """Writes both copies at the next generation, one synced before the other, as a change of keyslots does.

    Nobody may have the database open: closing a descriptor drops the locks of the process.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        content = os.pread(descriptor, _COPY, 0)
        copy = _next_generation(content, raw_key)
        for offset in (0, _COPY):
            os.pwrite(descriptor, copy, offset)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _next_generation(copy: bytes, raw_key: bytes) -> bytes:
    # The simulator needs no cryptography, but for this.
    from support.seal import data_key, hkdf

    edited = bytearray(copy)
    (generation,) = struct.unpack_from("<Q", copy, _GENERATION_AT)
    struct.pack_into("<Q", edited, _GENERATION_AT, generation + 1)
    uuid, key_id = copy[_UUID_AT:_KEY_ID_AT], copy[_KEY_ID_AT:_SUITE_AT]
    key = hkdf(data_key(copy, raw_key), uuid, b"lumocrypt v1 superblock mac" + key_id, 32)
    edited[_MAC_AT:_DIGEST_AT] = hmac.digest(key, bytes(edited[:_MAC_AT]), "sha256")
    edited[_DIGEST_AT:] = hashlib.sha256(edited[:_DIGEST_AT]).digest()
    return bytes(edited)
