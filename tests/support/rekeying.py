"""Changes of the data key in many small steps."""

from __future__ import annotations

import hashlib
import importlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lumocrypt


@contextmanager
def steps_of(count: int) -> Iterator[None]:
    """Changes of the data key take steps of so many bytes."""
    module: Any = importlib.import_module("lumocrypt.rekey")
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


def bring_back(path: Path, first: int, count: int) -> None:
    """The slots that the last step has kept count again, as if it had been killed in its midst."""
    header = path.read_bytes()[:64]
    head = b"lumocrypt-rky\x00\x0d\x0a" + struct.pack("<IIQ", 1, 7, first) + header[32:64]
    head += struct.pack("<Q", count) + bytes(24)
    with Path(f"{path}-lumo-rekey").open("r+b") as file:
        file.write(head + hashlib.sha256(head).digest())
