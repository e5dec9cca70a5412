"""What a process was told is committed, written down where its death does not lose it."""

from __future__ import annotations

import os
from pathlib import Path


class Ledger:
    """The numbers of one worker's acknowledged transactions, in a file of its own."""

    def __init__(self, path: Path) -> None:
        # No buffer in the process: what write() took, the kernel has.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def acknowledge(self, number: int) -> None:
        os.write(self._file, b"%d\n" % number)


def acknowledged(folder: Path) -> dict[int, int]:
    """How many transactions of each worker were acknowledged."""
    counts: dict[int, int] = {}
    for path in folder.glob("*.ledger"):
        numbers = path.read_bytes().split()
        assert numbers == [b"%d" % number for number in range(len(numbers))]
        counts[int(path.stem)] = len(numbers)
    return counts
