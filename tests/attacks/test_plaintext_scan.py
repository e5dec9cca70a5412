"""No file that SQLite makes may hold anything in clear: every byte that is written is looked at."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest

import lumocrypt
from support.crash import log_of
from support.history import KEY, open_wal
from support.tiny import Attacked, make_plain_tiny, make_tiny
from support.trace import STRACE, Write, writes
from support.workload import MARKER

CLEAR = MARKER.encode()
SQLITE_MAGIC = b"SQLite format 3"
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
WAL_MAGICS = (bytes.fromhex("377f0682"), bytes.fromhex("377f0683"))
LOG_MODES = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "OFF"]


def _strace_works() -> bool:
    if STRACE is None:
        return False
    done = subprocess.run([STRACE, "-o", "/dev/null", "true"], capture_output=True, check=False)
    return done.returncode == 0


needs_strace = pytest.mark.skipif(
    not _strace_works(),
    reason="NOT TESTED: strace is missing or may not trace; install it to scan every write",
)


def trailer_of_a_super_journal(write: Write) -> bool:
    """The one clear part of a journal: a super-journal's name at its end (docs/reference/format.md, 5)."""
    tail = write.data[-8:] == JOURNAL_MAGIC and write.data.count(JOURNAL_MAGIC) == 1
    return (
        write.phase == "several" and write.file.endswith("-journal") and tail and b"-mj" in write.data[-200:]
    )


def clear(write: Write) -> set[str]:
    """What is in clear in one write."""
    found: set[str] = set()
    if CLEAR in write.data:
        found.add("marker")
    if SQLITE_MAGIC in write.data:
        found.add("database header")
    if JOURNAL_MAGIC in write.data and not trailer_of_a_super_journal(write):
        found.add("journal header")
    if write.data.startswith(WAL_MAGICS):
        found.add("WAL header")
    return found


def kinds(journal_mode: str, temp_store: str) -> set[tuple[str, str]]:
    """In which phase which kind of file must be seen with content, for the test to mean something."""
    expected = {
        ("fill", "app.db"),
        ("vacuum", "app.db"),
        ("vacuum", "app.db.copy"),
        ("several", "app.db.other"),
    }
    if journal_mode in ("DELETE", "TRUNCATE", "PERSIST"):
        expected |= {(phase, "app.db-journal") for phase in ("savepoints", "statement", "vacuum")}
    if journal_mode == "WAL":
        expected |= {(phase, "app.db-wal") for phase in ("fill", "sort", "savepoints", "vacuum")}
    if temp_store != "2":
        # The sorter; a temporary database; VACUUM's copy.
        expected |= {(phase, "temporary") for phase in ("sort", "temporary", "vacuum")}
        if journal_mode not in ("MEMORY", "OFF"):
            # The journals of savepoints and of statements.
            expected |= {(phase, "temporary") for phase in ("savepoints", "statement")}
    return expected


def with_content(trace: list[Write]) -> set[tuple[str, str]]:
    return {(write.phase, write.file) for write in trace if len(write.data) > 100}


@needs_strace
@pytest.mark.parametrize(
    ("journal_mode", "temp_store"), [("DELETE", "0"), ("WAL", "1"), ("PERSIST", "2"), ("OFF", "1")]
)
def test_control_the_scan_finds_every_kind_of_plaintext(
    tmp_path: Path, journal_mode: str, temp_store: str
) -> None:
    """The same workload without encryption: the marker is seen in each kind of file, and each header."""
    trace = writes(tmp_path / "work", "plain", journal_mode, temp_store)
    marked = {(write.phase, write.file) for write in trace if "marker" in clear(write)}
    assert marked >= kinds(journal_mode, temp_store)
    found = set().union(*(clear(write) for write in trace))
    assert "database header" in found
    if journal_mode in ("DELETE", "PERSIST"):
        assert "journal header" in found
    if journal_mode == "WAL":
        assert "WAL header" in found


@needs_strace
@pytest.mark.parametrize(
    ("journal_mode", "temp_store"),
    [*((mode, "1") for mode in LOG_MODES), ("DELETE", "0"), ("WAL", "2")],
)
def test_nothing_is_written_in_clear(tmp_path: Path, journal_mode: str, temp_store: str) -> None:
    folder = tmp_path / "work"
    trace = writes(folder, "encrypted", journal_mode, temp_store)
    leaks = [(write.phase, write.file, clear(write)) for write in trace if clear(write)]
    assert leaks == []
    assert with_content(trace) >= kinds(journal_mode, temp_store)
    # Nothing goes to a place that the scan of what was left behind does not see.
    assert {write.file for write in trace if write.file.startswith("/")} <= {"/dev/null"}
    for path in folder.rglob("*"):
        # What was mapped and not written, the wal-index for one, strace does not show.
        if path.is_file():
            assert clear(Write("end", path.name, path.read_bytes())) == set(), path
    connection = lumocrypt.connect(folder / "app.db", key=KEY)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM t WHERE instr(v, ?)", (MARKER,)).fetchone()[0] > 300
    connection.close()


def last_checksum(database: Path) -> bytes:
    """The checksum of the last frame, as the wal-index knows it (wal.c, WalIndexHdr.aFrameCksum)."""
    first, second = struct.unpack_from("=II", log_of(database, "-shm").read_bytes(), 24)
    assert (first, second) != (0, 0)
    return struct.pack(">II", first, second)


def test_checksums_of_frames_are_not_readable(tmp_path: Path) -> None:
    """They are computed over plaintext: in clear they would confirm guesses."""
    plain = make_plain_tiny(tmp_path / "plain.db")
    connection = sqlite3.connect(plain, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("UPDATE t SET v = 'new' WHERE id = 1")
    # The control.
    assert last_checksum(plain) in log_of(plain, "-wal").read_bytes()
    connection.close()
    encrypted = make_tiny(tmp_path / "encrypted.db")
    connection = open_wal(encrypted)
    connection.execute("UPDATE t SET v = 'new' WHERE id = 1")
    checksum = last_checksum(encrypted)
    for path in (encrypted, log_of(encrypted, "-wal")):
        content = path.read_bytes()
        assert checksum not in content
        assert struct.pack("<II", *struct.unpack(">II", checksum)) not in content
    connection.close()


def test_equal_pages_look_different(tmp_path: Path) -> None:
    """Neither two equal pages nor two writes of the same page are alike on the disk."""
    path = make_tiny(tmp_path / "tiny.db")
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    connection.execute("CREATE TABLE same (a)")
    connection.executemany("INSERT INTO same VALUES (zeroblob(400))", [()] * 50)
    connection.close()
    first = path.read_bytes()[65536:]
    blocks = [first[at : at + 512] for at in range(0, len(first), 552)]
    assert len(set(blocks)) == len(blocks)
    chunks = [first[at : at + 16] for at in range(0, len(first), 16)]
    assert len(set(chunks)) == len(chunks)
    right = Attacked(path, KEY).rows()
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    connection.execute("UPDATE same SET a = zeroblob(400)")
    connection.close()
    second = path.read_bytes()[65536:]
    rewritten = [at for at in range(0, len(first), 552) if first[at : at + 552] != second[at : at + 552]]
    for at in rewritten:
        # A nonce that came twice would leave equal plaintext equal.
        assert first[at + 512 : at + 536] != second[at + 512 : at + 536]
        assert first[at : at + 16] != second[at : at + 16]
    assert Attacked(path, KEY).rows() == right
