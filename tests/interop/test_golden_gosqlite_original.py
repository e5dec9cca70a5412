"""Databases that gosqlite itself wrote, in two of its versions: logs in blocks of a page, and of 512 bytes.

``golden/gosqlite-original/manifest.json`` has, for each, what gosqlite read in it: the SHA-256 of its rows as
compact JSON. States: closed; a WAL with commits that no checkpoint has copied, and behind them a transaction
without an end; a hot journal, beside a main file that a transaction without an end has reached.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from decryptor.length_preserving import adiantum_open
from support.crash import crashed, log_of
from support.gosqlite import JOURNAL, WAL, decrypt_xts

FOLDER = Path(__file__).parents[1] / "golden" / "gosqlite-original"
SAMPLES: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["samples"]
#: What the names of logs end in, by the state they belong to.
LOGS = {"closed": "", "wal": "-wal", "journal": "-journal"}


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample["name"])
def sample(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture
def path(sample: dict[str, Any], tmp_path: Path) -> Path:
    for suffix, name in sample["files"].items():
        shutil.copyfile(FOLDER / name, tmp_path / f"sample.db{suffix}")
    return tmp_path / "sample.db"


def vfs_of(sample: dict[str, Any]) -> lumocrypt.CryptoVFS:
    return lumocrypt.crypto_vfs(bytes.fromhex(sample["key"]), sample["cipher"], sample["page_size"])


def connect(vfs: lumocrypt.CryptoVFS, path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?vfs={vfs.name}", uri=True, isolation_level=None)


def digest(connection: sqlite3.Connection) -> str:
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = connection.execute("SELECT id, name, length(data) FROM t ORDER BY id").fetchall()
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def test_all_kinds_are_there() -> None:
    def kinds(size: int) -> list[str]:
        # With larger pages gosqlite fails on its logs.
        return list(LOGS) if size < 65536 else ["closed"]

    there = {(one["cipher"], one["page_size"], one["log_blocks"], one["state"]) for one in SAMPLES}
    assert there == {
        (cipher, size, blocks, state)
        for cipher in ("adiantum", "aes-256-xts")
        for size in (512, 4096, 65536)
        for blocks in {512, size}
        for state in kinds(size)
    }
    for one in SAMPLES:
        assert list(one["files"]) == (["", LOGS[one["state"]]] if LOGS[one["state"]] else [""])


def test_it_opens_as_gosqlite_saw_it(sample: dict[str, Any], path: Path) -> None:
    with vfs_of(sample) as vfs, contextlib.closing(connect(vfs, path)) as connection:
        assert digest(connection) == sample["sha256"]
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (sample["rows"],)
    # Worked off, and nothing taken for damage.
    assert sorted(file.name for file in path.parent.iterdir()) == ["sample.db"]


def test_it_is_written_and_read_again(sample: dict[str, Any], path: Path) -> None:
    """Also after a kill, with what its log had and what was added in the same log."""
    added = [(1000 + row, f"added {row}", bytes([row]) * 700) for row in range(40)]
    with vfs_of(sample) as vfs:
        with contextlib.closing(connect(vfs, path)) as connection:
            connection.executemany("INSERT INTO t (id, name, data) VALUES (?, ?, ?)", added)
            connection.execute("PRAGMA cache_size=1")
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET name = 'never', data = zeroblob(900)")
            copy = crashed(path, path.parent / "crashed")
        for one in (copy, path):
            with contextlib.closing(connect(vfs, one)) as connection:
                query = "SELECT id, name, data FROM t WHERE id >= 1000 ORDER BY id"
                assert connection.execute(query).fetchall() == added
                connection.execute("DELETE FROM t WHERE id >= 1000")
                assert digest(connection) == sample["sha256"]
                connection.execute("VACUUM")
            assert not list(one.parent.glob("*.lumo-damaged"))


def test_its_wal_is_continued_in_its_own_blocks(sample: dict[str, Any], path: Path) -> None:
    """Others may have it open. The next log is in blocks of 512 bytes."""
    if sample["state"] != "wal":
        pytest.skip("it has no WAL")
    with vfs_of(sample) as vfs, contextlib.closing(connect(vfs, path)) as connection:
        before = log_of(path, "-wal").stat().st_size
        connection.execute("INSERT INTO t (id, name) VALUES (2000, 'more')")
        assert in_blocks(sample, log_of(path, "-wal"), WAL) == sample["log_blocks"]
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.execute("INSERT INTO t (id, name) VALUES (2001, 'restarted')")
        assert log_of(path, "-wal").stat().st_size >= before
        assert in_blocks(sample, log_of(path, "-wal"), WAL) == sample["log_blocks"]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO t (id, name) VALUES (2002, 'begun anew')")
        assert in_blocks(sample, log_of(path, "-wal"), WAL) == 512
        connection.execute("PRAGMA journal_mode=PERSIST")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET name = 'again', data = zeroblob(900)")
        assert in_blocks(sample, log_of(path, "-journal"), JOURNAL) == 512
        connection.execute("ROLLBACK")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (sample["rows"] + 3,)


def in_blocks(sample: dict[str, Any], log: Path, kind: int) -> int:
    """In which blocks a log is: those in which it begins as one, and its second page has a number."""
    content, key, page_size = log.read_bytes(), bytes.fromhex(sample["key"]), sample["page_size"]
    magic = {WAL: b"\x37\x7f\x06", JOURNAL: b"\xd9\xd5\x05"}[kind]
    found = []
    for blocks in {512, page_size}:
        if sample["cipher"] == "adiantum":
            # Under a wrong size of blocks all of it would be noise.
            plain = adiantum_open(key, bytes([kind, *bytes(8)]), content[:blocks])
            fits = True
        else:
            plain = decrypt_xts(content[: len(content) // blocks * blocks], kind, blocks, key=key)
            start, extra = (32, 24) if kind == WAL else (int.from_bytes(plain[20:24], "big"), 8)
            second = start + extra + page_size
            fits = 0 < int.from_bytes(plain[second : second + 4], "big") < 1000
        found += [blocks] if fits and plain.startswith(magic) else []
    assert len(found) == 1
    return found[0]


def test_it_is_converted(sample: dict[str, Any], path: Path, tmp_path: Path) -> None:
    key, cipher = bytes.fromhex(sample["key"]), sample["cipher"]
    lumocrypt.decrypt(path, tmp_path / "plain.db", key=key, format="gosqlite", cipher=cipher)
    with contextlib.closing(sqlite3.connect(tmp_path / "plain.db")) as connection:
        assert digest(connection) == sample["sha256"]
    raw = lumocrypt.Key.raw(bytes(32))
    options: dict[str, Any] = {"format": "gosqlite", "new_format": "lumocrypt"}
    lumocrypt.convert(path, key=key, cipher=cipher, new_key=raw, **options)
    with contextlib.closing(lumocrypt.connect(path, key=raw)) as connection:
        assert digest(connection) == sample["sha256"]


def test_a_wrong_key_leaves_its_logs_alone(sample: dict[str, Any], path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    wrong = bytes(reversed(bytes.fromhex(sample["key"])))
    with lumocrypt.crypto_vfs(wrong, sample["cipher"], sample["page_size"]) as vfs:
        for statement in ("SELECT * FROM t", "CREATE TABLE u (a)", "PRAGMA journal_mode=WAL"):
            with contextlib.closing(connect(vfs, path)) as connection, pytest.raises(lumocrypt.WrongKeyError):
                connection.execute(statement).fetchall()
    assert {f.name: f.read_bytes() for f in path.parent.iterdir() if not f.name.endswith("-shm")} == before
