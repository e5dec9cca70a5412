"""Seals content that SQLite would not open: the engine alone, byte by byte."""

from __future__ import annotations

from pathlib import Path

import lumocrypt
from lumocrypt.engine import native
from lumocrypt.engine.registration import stdlib_host


def seal(
    plain: Path, path: Path, *, cipher: str | None = "checksum", key: lumocrypt.Key | None = None
) -> None:
    """Makes ``path`` a database whose content is what is in ``plain``, a whole number of pages.

    Raises what the engine raises for what does not begin like a database.
    """
    number = 0 if key is None else key.number
    with path.open("w+b") as file:
        source, options = (str(plain), -1), {"cipher": cipher}
        native.encrypt_file(stdlib_host().number, source, file.fileno(), number, options, None)
