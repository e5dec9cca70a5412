"""The independent decryptor reads a transaction over several databases, caught in mid-commit."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

import lumocrypt
from decryptor import read_database
from samples import connect, content, copy_database, fill, key_for, read, reopened
from support.known_keys import RAW


class Snooping(apsw.VFSFile):
    """Calls back when its database is synced: in a commit over several databases, after the super-journal
    and the other databases are written and before anything is finished."""

    on_sync = None

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if Snooping.on_sync is not None:
            Snooping.on_sync()


class SnoopingVFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("snooping", "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return Snooping("unix", name, flags)


@pytest.mark.parametrize("journal_mode", ["delete", "persist"])
@pytest.mark.parametrize("suite", ["aegis-256", "checksum"])
def test_a_journal_with_a_super_journal(suite: str, journal_mode: str, tmp_path: Path) -> None:
    lumocrypt.load(apsw.Connection(":memory:"))
    vfs = SnoopingVFS()
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute("PRAGMA cache_size=5")
    fill(connection)
    connection.close()
    if suite != "checksum":
        lumocrypt.unlock(path, key_for(suite))  # type: ignore[arg-type]
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    both = apsw.Connection(str(path), flags=flags, vfs="lumocrypt")
    both.execute(f"ATTACH 'file:{tmp_path}/plain.db?vfs=snooping' AS plain")
    both.execute("CREATE TABLE plain.t (a)")
    both.execute(f"PRAGMA main.journal_mode={journal_mode}")
    # A persistent journal is then longer than the one that is written over it.
    both.execute("UPDATE t SET name = name")
    before = read(path, suite).image
    both.execute("PRAGMA cache_size=5")
    both.execute("BEGIN; UPDATE t SET data = zeroblob(700) WHERE id < 90; INSERT INTO plain.t VALUES (1)")
    copies: list[tuple[Path, set[str]]] = []

    def copy() -> None:
        names = {entry.name for entry in tmp_path.iterdir()}
        copies.append((copy_database(path, tmp_path / f"crash{len(copies)}"), names))

    Snooping.on_sync = copy
    try:
        both.execute("COMMIT")
    finally:
        Snooping.on_sync = None
    both.close()
    vfs.unregister()
    lumocrypt.lock(path)
    # The last of its syncs with the super-journal in place.
    caught, names = next(pair for pair in reversed(copies) if any("-mj" in name for name in pair[1]))
    (name,) = (name for name in names if "-mj" in name)
    found = read_database(caught, RAW if suite != "checksum" else None, super_journal_exists=lambda _: True)
    assert found.super_journal == str(tmp_path / name)
    assert found.image == before
    assert found.journal is not None
    # The trailer stands in clear at the physical end, where SQLite looks for it.
    assert found.journal.rest == found.journal.logical[-len(found.journal.rest) :]
    assert found.journal.rest.startswith(str(tmp_path / name).encode())
    assert found.journal.rest.endswith(bytes.fromhex("d9d505f920a163d7"))
    # The super-journal is gone: the transaction is committed.
    committed = read(caught, suite)
    assert committed.rolled_back is None
    assert content(committed.image) == content(read(path, suite).image) != content(before)
    assert reopened(caught, suite) == content(committed.image)
