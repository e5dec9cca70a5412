"""A transaction over two databases whose journals cannot be written, or are torn by a power cut.

What SQLite reads at the physical end of another database's journal, and what that database's own
connection reads there, must not come apart: whoever is rolled back first deletes the super-journal if no
other journal ends in its name, and a journal that names a super-journal which is gone counts as committed.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest

from faults.catalogue import workloads
from faults.faulty import FAULTS, Effect, Fault, Operation, Scope, faulty
from faults.opener import Encrypted
from faults.run import NAME, OTHER, connect, contents, prepare

by_name = attrgetter("name")

#: What a crash leaves of the last write.
TORN = (Fault("not written", 10), Fault("half written", 10, Effect.HALF))
PAIRS = {workload.label: workload for workload in workloads() if workload.name == "pairs"}


def begin(folder: Path, label: str, *, cache: int = 2000) -> tuple[sqlite3.Connection, bytes, bytes]:
    """A connection in a transaction over both databases, and what they held before."""
    faulty()
    workload = replace(PAIRS[label], cache=cache)
    prepare(folder, Encrypted(), workload)
    connection = connect(folder, Encrypted(), workload)
    before = contents(connection), contents(connection, "other")
    connection.execute("BEGIN")
    for schema in ("main", "other"):
        connection.execute(f"UPDATE {schema}.t SET v = zeroblob(900), n = n + 1")
        connection.execute(f"INSERT INTO {schema}.t (v) VALUES (zeroblob(9000))")
    return connection, *before


def writes(folder: Path, label: str, file: str, *, cache: int = 2000) -> list[int]:
    """The numbers of a COMMIT's writes to that kind of file."""
    connection, *_ = begin(folder, label, cache=cache)
    faulty().count()
    connection.execute("COMMIT")
    calls = faulty().calls()
    faulty().disarm()
    connection.close()
    return [at for at, call in enumerate(calls) if (call.operation, call.file) == (Operation.WRITE, file)]


@pytest.mark.parametrize("fault", FAULTS[Operation.WRITE], ids=by_name)
@pytest.mark.parametrize("label", ["pairs/delete/full", "pairs/truncate/normal", "pairs/persist/full"])
def test_a_journal_that_cannot_be_written(tmp_path: Path, label: str, fault: Fault) -> None:
    for at in writes(tmp_path / "count", label, "journal"):
        folder = tmp_path / str(at)
        connection, main, other = begin(folder, label)
        faulty().arm(at, fault, Scope.ONCE)
        with pytest.raises(sqlite3.OperationalError, match=r"disk I/O|full"):
            connection.execute("COMMIT")
        faulty().disarm()
        # The same connection sees no half of it, in its cache.
        assert (contents(connection), contents(connection, "other")) == (main, other)
        connection.close()


@pytest.mark.parametrize("label", ["pairs/delete/full", "pairs/delete/normal"])
@pytest.mark.parametrize(
    "torn", [Fault("not written", 10), Fault("half written", 10, Effect.HALF)], ids=by_name
)
def test_a_crash_while_a_journal_is_written(tmp_path: Path, label: str, torn: Fault) -> None:
    """Both databases had been written before, because the cache was too small."""
    opener = Encrypted()
    for at in writes(tmp_path / "count", label, "journal", cache=3):
        folder, copy = tmp_path / str(at), tmp_path / "copy"
        connection, main, other = begin(folder, label, cache=3)
        faulty().arm(at, torn, Scope.EVERY)
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("COMMIT")
        shutil.copytree(folder, copy)
        connection.close()
        faulty().disarm()
        # Super-journals name journals by their full paths.
        shutil.rmtree(folder)
        copy.rename(folder)
        for name, before in ((NAME, main), (OTHER, other)):
            with contextlib.closing(opener.open(folder / name)) as reader:
                assert contents(reader) == before
                assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
