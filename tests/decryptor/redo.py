"""The slots that a change of the data key was writing (docs/format.md, section 6.1)."""

from __future__ import annotations

import struct

from .main_file import Geometry
from .primitives import Keys, sha256

MAGIC = b"lumocrypt-rky\x00\x0d\x0a"
KIND = 7
SLOTS = 4096


def find_slot(raw: bytes, keys: Keys, geometry: Geometry, index: int) -> bytes:
    """The slot as it is there; nothing if it is not."""
    if len(raw) < SLOTS or sha256(raw[:96]) != raw[96:128] or any(raw[72:96]):
        return b""
    version, kind, first = struct.unpack_from("<IIQ", raw, 16)
    (count,) = struct.unpack_from("<Q", raw, 64)
    if (raw[:16], version, kind) != (MAGIC, 1, KIND) or raw[32:64] != keys.uuid + keys.key_id:
        return b""
    if not first <= index < first + count:
        return b""
    at = SLOTS + (index - first) * geometry.slot
    return raw[at : at + geometry.slot]
