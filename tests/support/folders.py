"""Folders for tests that crash and recover thousands of times."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = "/dev/shm"


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A folder in memory where there is such a file system: these tests judge contents, not durability."""
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lumocrypt-", dir=memory) as folder:
        yield Path(folder)
