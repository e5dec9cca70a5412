"""Changes of the data key in many small steps."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lumocrypt
from support.seal import data_key, hkdf


@contextmanager
def steps_of(count: int) -> Iterator[None]:
    """Changes of the data key take steps of so many bytes."""
    module: Any = importlib.import_module("lumocrypt.database.rekey")
    before, module.STEP_BYTES = module.STEP_BYTES, count
    try:
        yield
    finally:
        module.STEP_BYTES = before


class Interrupted(Exception):
    """What a progress function raised."""


def interrupt(path: Path, after: int = 1, **arguments: Any) -> None:
    """A change of the data key that stops after so many steps."""
    calls = 0

    def stop(_done: int, _total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise Interrupted

    try:
        lumocrypt.rekey(path, progress=stop, **arguments)
    except Interrupted:
        return
    raise AssertionError(f"the change came to its end before step {after}")


def kept_header(content: bytes, first: int, count: int, raw_key: bytes | None) -> bytes:
    """The header of kept slots of a database that begins with ``content`` (docs/reference/format.md, 6.1).

    ``raw_key`` opens keyslot 0; None: as version 1 had it, which everybody can write.
    """
    version = 1 if raw_key is None else 2
    head = b"lumocrypt-rky\x00\x0d\x0a" + struct.pack("<IIQ", version, 7, first) + content[32:64]
    head += struct.pack("<Q", count) + bytes(24)
    head += hashlib.sha256(head).digest()
    if raw_key is None:
        return head
    key = hkdf(
        data_key(content, raw_key), content[32:48], b"lumocrypt v1 rekey blocks mac" + content[48:64], 32
    )
    return head + hmac.digest(key, head, "sha256")


def bring_back(path: Path, first: int, count: int, raw_key: bytes | None = None) -> None:
    """The slots that the last step has kept count again, as if it had been killed in its midst."""
    header = kept_header(path.read_bytes()[:16384], first, count, raw_key)
    with Path(f"{path}-lumo-rekey").open("r+b") as file:
        file.write(header)
