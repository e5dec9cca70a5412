"""How fast whole files are encrypted, verified, rekeyed and decrypted.

The final sync is part of what the functions do and belongs to the disk; on tmpfs it costs nothing, so that is
where to measure. Everything is read from the page cache.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from .environments import OWN
from .measured import interval_of
from .processes import Children
from .results import Record
from .subjects import RAW

#: ``copy`` is shutil.copyfile, for comparison.
OPERATIONS = ("encrypt", "verify", "rekey", "decrypt", "copy")


def measure(folder: Path, children: Children, megabytes: int, rounds: int) -> Iterator[list[Record]]:
    """Megabytes of the database a second, on one core and on all."""
    source = folder / "offline.db"
    _make(source, megabytes)
    cores = sorted(os.sched_getaffinity(0))
    for name, allowed in (("one core", cores[:1]), (f"{len(cores)} cores", cores)):
        seconds: dict[str, list[float]] = children.run(
            OWN, "offline", path=str(source), cores=allowed, rounds=rounds
        )
        size = source.stat().st_size
        records: list[Record] = []
        for operation, times in seconds.items():
            rates = [size / 1e6 / one for one in times]
            low, high = interval_of(rates)
            records.append(
                Record(
                    kind="offline",
                    subject=operation,
                    name=name,
                    value=round(median(rates)),
                    unit="MB/s",
                    interval=(round(low), round(high)),
                    details={"bytes": size, "seconds": [round(one, 4) for one in times]},
                )
            )
        yield records


def child(path: str, cores: list[int], rounds: int) -> dict[str, list[float]]:
    """Seconds of each operation, round by round, after one that is not counted."""
    os.sched_setaffinity(0, cores)
    lumocrypt: Any = importlib.import_module("lumocrypt")
    key = lumocrypt.Key.raw(bytes.fromhex(RAW))
    encrypted, decrypted = Path(path + ".encrypted"), Path(path + ".decrypted")
    jobs = {
        "encrypt": lambda: lumocrypt.encrypt(path, encrypted, key=key),
        "verify": lambda: lumocrypt.verify(encrypted, key=key),
        "rekey": lambda: lumocrypt.rekey(encrypted, key=key),
        "decrypt": lambda: lumocrypt.decrypt(encrypted, decrypted, key=key),
        "copy": lambda: shutil.copyfile(path, decrypted),
    }
    found: dict[str, list[float]] = {operation: [] for operation in OPERATIONS}
    for number in range(rounds + 1):
        for operation in OPERATIONS:
            if operation == "copy":
                decrypted.unlink()
            begun = time.perf_counter()
            jobs[operation]()
            if number:
                found[operation].append(time.perf_counter() - begun)
        encrypted.unlink()
        decrypted.unlink()
    return found


def _make(path: Path, megabytes: int) -> None:
    """A database of about that size."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO t SELECT i, zeroblob(1000) FROM n",
        (megabytes * 1_000_000 // 1020,),
    )
    connection.close()
