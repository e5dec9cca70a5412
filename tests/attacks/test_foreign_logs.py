"""Logs that do not belong to the database: plaintext ones, another database's, a newer version's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.attacked_logs import log, refused
from support.crash import contents, log_of
from support.folders import fast_folder
from support.history import KEY, crash_in_a_transaction, crash_in_wal_mode
from support.tiny import BLOCK, Attacked, make_plain_tiny, make_tiny

LOG_KINDS = pytest.mark.parametrize("kind", ["wal", "journal"])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with fast_folder() as made:
        yield made


@LOG_KINDS
def test_a_plaintext_log_is_refused_hazard_4(folder: Path, kind: str) -> None:
    """A real one, of a plaintext twin, that SQLite would replay if the VFS let it."""
    here = folder / f"plain-{kind}"
    here.mkdir()
    twin = make_plain_tiny(here / "twin.db")
    connection = sqlite3.connect(twin, isolation_level=None)
    if kind == "wal":
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE t SET v = 'injected'")
    else:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET v = v || ' injected by a log'")
    injected = log_of(twin, f"-{kind}").read_bytes()
    assert len(injected) > BLOCK
    connection.close()
    for mode in ("DELETE", "WAL"):
        path = here / mode / "tiny.db"
        path.parent.mkdir()
        make_tiny(path)
        lumocrypt.connect(path, key=KEY).execute(f"PRAGMA journal_mode={mode}").close()
        attacked = Attacked(path, KEY)
        right = attacked.rows()
        log_of(path, f"-{kind}").write_bytes(injected)
        refused(attacked, kind, "plaintext")
        # Moving it away is all that it takes.
        log_of(path, f"-{kind}").unlink()
        assert attacked.rows() == right


@LOG_KINDS
@pytest.mark.parametrize("owner", ["stranger", "relative"])
def test_a_log_of_another_database_is_refused_hazard_4(folder: Path, kind: str, owner: str) -> None:
    """Of one with the same raw key, and of a VACUUM INTO copy with the same data key."""
    here = folder / f"{owner}-{kind}"
    here.mkdir()
    make = crash_in_wal_mode if kind == "wal" else crash_in_a_transaction
    foreign = make(here)
    path = here / "other" / "tiny.db"
    path.parent.mkdir()
    if owner == "stranger":
        make_tiny(path)
    else:
        foreign.rows()
        connection = lumocrypt.connect(foreign.path, key=KEY)
        connection.execute("VACUUM INTO ?", (str(path),))
        connection.close()
        assert lumocrypt.info(path).key_id == lumocrypt.info(foreign.path).key_id
    attacked = Attacked(path, KEY)
    right = attacked.rows()
    log_of(path, f"-{kind}").write_bytes(log(foreign))
    refused(attacked, kind, "belongs to another database or another key")
    log_of(path, f"-{kind}").unlink()
    assert attacked.rows() == right


@LOG_KINDS
def test_a_log_of_a_newer_version_is_refused(folder: Path, kind: str) -> None:
    import hashlib

    here = folder / f"newer-{kind}"
    here.mkdir()
    crash = crash_in_wal_mode(here) if kind == "wal" else crash_in_a_transaction(here)
    content = bytearray(log(crash))
    for copy in (0, 4096) if kind == "wal" else (0,):
        if any(content[copy : copy + 16]):
            content[copy + 16] = 2
            content[copy + 96 : copy + 128] = hashlib.sha256(content[copy : copy + 96]).digest()
    crash.put(**{kind: bytes(content)})
    before = contents(crash.path.parent)
    with pytest.raises(lumocrypt.UnsupportedFormatError, match="version 2"):
        crash.rows()
    assert contents(crash.path.parent) == before
