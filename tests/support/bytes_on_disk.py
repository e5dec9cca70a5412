"""Bytes of files, changed behind everybody's back."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path, offset: int, mask: int = 1) -> None:
    """Changes one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))
