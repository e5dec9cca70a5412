"""The slots that a change of the data key was writing (docs/reference/format.md, section 6.1)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from .errors import UnauthenticError
from .main_file import Geometry
from .primitives import Keys, sha256

MAGIC = b"lumocrypt-rky\x00\x0d\x0a"
KIND = 7
SLOTS = 4096
#: Bytes of the longest name, and what becomes of one that would be longer.
LONGEST = 255
SUFFIX = "-lumo-rekey"


def redo_path(path: Path) -> Path:
    """Where the slots of the database at ``path`` are."""
    name = os.fsencode(path.name)
    if len(name) + len(SUFFIX) <= LONGEST:
        return path.with_name(path.name + SUFFIX)
    return path.with_name(".lumo-rekey-" + sha256(name)[:16].hex())


def find_slot(raw: bytes, keys: Keys, geometry: Geometry, index: int) -> bytes:
    """The slot as it is there; nothing if it is not."""
    if len(raw) < SLOTS or sha256(raw[:96]) != raw[96:128] or any(raw[72:96]):
        return b""
    version, kind, first = struct.unpack_from("<IIQ", raw, 16)
    (count,) = struct.unpack_from("<Q", raw, 64)
    if (raw[:16], kind) != (MAGIC, KIND) or raw[32:64] != keys.uuid + keys.key_id:
        return b""
    if version == 2 and keys.mac(b"lumocrypt v1 rekey blocks mac", raw[:128]) != raw[128:160]:
        raise UnauthenticError("what a change of the data key was writing was altered")
    if version not in (1, 2) or not first <= index < first + count:
        return b""
    at = SLOTS + (index - first) * geometry.slot
    return raw[at : at + geometry.slot]
