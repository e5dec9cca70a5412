"""Attacks by somebody who may write to the files and has no key: what each of them comes to.

What is left open (older states put back) is written down here too, as SECURITY.md has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.known_keys import RAW
from support.layout import COPY, HEADER

KEY = lumocrypt.Key.raw(RAW)
OTHER = lumocrypt.Key.raw(bytes(range(32, 64)))
BLOCK = 4096
SLOT = BLOCK + 40
#: Bytes of a sealed frame of the WAL, and where the first is.
FRAME, FRAMES_AT = 24 + BLOCK + 40, 8192
ROWS = 300

TAMPERED, HEADER_DAMAGED = lumocrypt.TamperedError, lumocrypt.HeaderDamagedError
Outcome = type[BaseException] | tuple[type[BaseException], ...]


def make(path: Path, rows: int = ROWS, *, mode: str = "delete", key: lumocrypt.Key = KEY) -> Path:
    with contextlib.closing(lumocrypt.connect(path, key, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t (x) VALUES (?)", ((b"%06d" % i * 50,) for i in range(rows)))
        connection.execute("COMMIT")
    return path


def look(path: Path, key: lumocrypt.Key = KEY, sql: str = "SELECT count(*), sum(length(x)) FROM t") -> Any:
    with contextlib.closing(lumocrypt.connect(path, key)) as connection:
        return connection.execute(sql).fetchall()


def slot(content: bytes | bytearray, index: int) -> bytes:
    return bytes(content[HEADER + index * SLOT : HEADER + (index + 1) * SLOT])


def put(content: bytearray, index: int, sealed: bytes) -> None:
    content[HEADER + index * SLOT : HEADER + (index + 1) * SLOT] = sealed


def attacked(path: Path, content: bytes | bytearray) -> Path:
    """The content in a file of its own, without the logs of the original."""
    target = path.with_name("attacked.db")
    target.write_bytes(content)
    return target


# Blocks of the main file


def swap_slots(content: bytearray, copy: bytes) -> None:
    two, three = slot(content, 2), slot(content, 3)
    put(content, 2, three)
    put(content, 3, two)


def slot_of_a_relative(content: bytearray, copy: bytes) -> None:
    put(content, 2, slot(copy, 2))


def zeroed_slot(content: bytearray, copy: bytes) -> None:
    put(content, 4, bytes(SLOT))


def cut_at_a_boundary(content: bytearray, copy: bytes) -> None:
    del content[-SLOT:]


def cut_in_a_slot(content: bytearray, copy: bytes) -> None:
    del content[-100:]


def cut_to_the_header(content: bytearray, copy: bytes) -> None:
    del content[HEADER:]


# Headers, of a copy that VACUUM INTO made: the same data key, another UUID


def header_of_a_relative(content: bytearray, copy: bytes) -> None:
    content[:HEADER] = copy[:HEADER]


def superblocks_of_a_relative(content: bytearray, copy: bytes) -> None:
    content[: 2 * COPY] = copy[: 2 * COPY]


def cells_of_a_relative(content: bytearray, copy: bytes) -> None:
    content[2 * COPY : HEADER] = copy[2 * COPY : HEADER]


BLOCKS: list[tuple[Callable[[bytearray, bytes], None], Outcome]] = [
    (swap_slots, TAMPERED),
    (slot_of_a_relative, TAMPERED),
    (zeroed_slot, TAMPERED),
    # SQLite counts its pages.
    (cut_at_a_boundary, sqlite3.DatabaseError),
    (cut_in_a_slot, TAMPERED),
    (cut_to_the_header, TAMPERED),
    (header_of_a_relative, TAMPERED),
    (superblocks_of_a_relative, (TAMPERED, HEADER_DAMAGED)),
    (cells_of_a_relative, (TAMPERED, HEADER_DAMAGED)),
]


@pytest.mark.parametrize(("change", "expected"), BLOCKS, ids=[change.__name__ for change, _ in BLOCKS])
def test_blocks_and_headers_of_others(
    tmp_path: Path, change: Callable[[bytearray, bytes], None], expected: Outcome
) -> None:
    path, copy = make(tmp_path / "app.db"), tmp_path / "copy.db"
    with contextlib.closing(lumocrypt.connect(path, KEY)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    content = bytearray(path.read_bytes())
    assert look(attacked(path, content)) == [(ROWS, ROWS * 300)]
    change(content, copy.read_bytes())
    with pytest.raises(expected):
        look(attacked(path, content))


# A superblock that somebody without the key made: its digest is right, its MAC is not

Forge = Callable[[bytearray], None]


def field(offset: int, format_: str, value: int) -> Forge:
    return lambda copy: struct.pack_into(format_, copy, offset, value)


def all_of(*forges: Forge) -> Forge:
    return lambda copy: [forge(copy) for forge in forges] and None


def zeros(start: int, end: int) -> Forge:
    def forge(copy: bytearray) -> None:
        copy[start:end] = bytes(end - start)

    return forge


#: A generation that outdoes the real one.
NEWEST = field(24, "<Q", 50)
FORGED: dict[str, Forge] = {
    "checksum": all_of(NEWEST, field(64, "<I", 7), zeros(48, 64), zeros(1024, 13312)),
    "untagged": all_of(NEWEST, field(64, "<I", 5)),
    "block size": all_of(NEWEST, field(68, "<I", 512)),
    "uuid": all_of(NEWEST, field(32, "<B", 0x55)),
    "no keyslot": all_of(NEWEST, zeros(1024, 2048)),
    "rekeying": all_of(NEWEST, field(72, "<Q", 1), field(528, "<I", 2)),
    "generation": field(24, "<Q", 2**64 - 1),
}


@pytest.mark.parametrize("both", [False, True], ids=["one copy", "both copies"])
@pytest.mark.parametrize("name", FORGED)
def test_forged_superblocks(tmp_path: Path, name: str, both: bool) -> None:
    """Beside a sound copy they count for nothing or are an error; never do they decide."""
    path = make(tmp_path / "app.db")
    content = bytearray(path.read_bytes())
    for offset in (COPY, 0) if both else (COPY,):
        copy = bytearray(content[offset : offset + COPY])
        FORGED[name](copy)
        copy[COPY - 32 :] = hashlib.sha256(copy[: COPY - 32]).digest()
        content[offset : offset + COPY] = copy
    target = attacked(path, content)
    try:
        assert look(target) == [(ROWS, ROWS * 300)]
    except lumocrypt.CryptError:
        pass
    else:
        assert not both, "there was no sound copy"
    with (
        contextlib.suppress(lumocrypt.CryptError),
        contextlib.closing(lumocrypt.connect(target, KEY)) as writer,
    ):
        writer.execute("INSERT INTO t (x) VALUES ('FORGED-AND-IN-CLEAR')")
        writer.commit()
    assert b"FORGED-AND-IN-CLEAR" not in target.read_bytes()


def test_files_and_headers_under_the_attackers_key(tmp_path: Path) -> None:
    path, theirs = make(tmp_path / "app.db"), make(tmp_path / "theirs.db", key=OTHER)
    with pytest.raises(lumocrypt.WrongKeyError):
        look(attacked(path, theirs.read_bytes()))
    content = bytearray(path.read_bytes())
    content[:HEADER] = theirs.read_bytes()[:HEADER]
    target = attacked(path, content)
    with pytest.raises(lumocrypt.WrongKeyError):
        look(target)
    with pytest.raises(TAMPERED):
        look(target, OTHER)


@pytest.mark.parametrize("how", ["function", "sql"])
def test_an_attached_database_that_became_a_checksum_one(tmp_path: Path, how: str) -> None:
    path, theirs = make(tmp_path / "app.db", 5), tmp_path / "theirs.db"
    with contextlib.closing(lumocrypt.connect(theirs, cipher="checksum")) as connection:
        connection.execute("CREATE TABLE t (id, x)")
    with contextlib.closing(lumocrypt.connect(path, KEY)) as connection:
        attach: dict[str, Callable[[], object]] = {
            "function": lambda: lumocrypt.attach(connection, theirs, "other", KEY),
            "sql": lambda: connection.execute("ATTACH ? AS other", (str(theirs),)),
        }
        with pytest.raises(lumocrypt.NotEncryptedError):
            attach[how]()


# Logs


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, bytes, bytes, bytes]:
    """A database in WAL mode: the main file, a log of an earlier generation, and the current one."""
    path = make(tmp_path / "app.db", 50, mode="wal")
    with contextlib.closing(lumocrypt.connect(path, KEY, isolation_level=None)) as connection:
        log = Path(f"{path}-wal")
        connection.execute("INSERT INTO t (x) VALUES ('g1')")
        older = log.read_bytes()
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        connection.execute("INSERT INTO t (x) VALUES ('g2')")
        connection.execute("INSERT INTO t (x) VALUES ('g2b')")
        return path, path.read_bytes(), older, log.read_bytes()


def frame(log: bytes | bytearray, index: int) -> bytes:
    return bytes(log[FRAMES_AT + index * FRAME : FRAMES_AT + (index + 1) * FRAME])


def with_log(path: Path, main: bytes, log: bytes | bytearray | None) -> Path:
    target = attacked(path, main)
    if log is not None:
        Path(f"{target}-wal").write_bytes(log)
    return target


COUNT = "SELECT count(*) FROM t"


def test_frames_of_an_earlier_generation_and_moved_ones(logs: tuple[Path, bytes, bytes, bytes]) -> None:
    """They end the log: what is behind is not read, and none of them is taken for another."""
    path, main, older, current = logs
    assert look(with_log(path, main, current), sql=COUNT) == [(53,)]
    replayed = bytearray(current)
    replayed[FRAMES_AT : FRAMES_AT + FRAME] = frame(older, 0)
    moved = bytearray(current)
    moved[FRAMES_AT : FRAMES_AT + 2 * FRAME] = frame(current, 1) + frame(current, 0)
    for log in (replayed, moved):
        with contextlib.suppress(TAMPERED):
            assert look(with_log(path, main, log), sql=COUNT) == [(51,)]
        for left in path.parent.glob("attacked*"):
            left.unlink()


def test_logs_of_another_time_and_missing_ones(logs: tuple[Path, bytes, bytes, bytes]) -> None:
    path, main, older, current = logs
    heads = bytearray(current)
    heads[:FRAMES_AT] = older[:FRAMES_AT]
    for log in (heads, older, None):
        with pytest.raises((TAMPERED, HEADER_DAMAGED)):
            look(with_log(path, main, log), sql=COUNT)
        for left in path.parent.glob("attacked*"):
            left.unlink()


def old_journal(path: Path) -> bytes:
    """A hot journal of an earlier transaction."""
    child = os.fork()
    if child == 0:
        connection = lumocrypt.connect(path, KEY, isolation_level=None)
        connection.execute("PRAGMA cache_size=2")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET x = 'old'")
        shutil.copy(f"{path}-journal", f"{path}.kept")
        connection.execute("COMMIT")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return Path(f"{path}.kept").read_bytes()


def test_journals_of_others(tmp_path: Path) -> None:
    journal = old_journal(make(tmp_path / "app.db", 50))
    plain = bytes.fromhex("d9d505f920a163d7") + bytes(504)
    for name, content in (("one.db", journal), ("two.db", plain)):
        path = make(tmp_path / name, 50)
        Path(f"{path}-journal").write_bytes(content)
        with pytest.raises(lumocrypt.CryptError):
            look(path, sql=COUNT)
        Path(f"{path}-journal").unlink()
        assert look(path, sql=COUNT) == [(50,)]


# Keys that were removed


def test_a_removed_key(tmp_path: Path) -> None:
    """It is out, also where one copy of the header is older; with both the whole header was put back."""
    path = make(tmp_path / "app.db", 50)
    lumocrypt.add_key(path, key=KEY, new_key=OTHER)
    before = path.read_bytes()[: 2 * COPY]
    lumocrypt.remove_key(path, key=OTHER)
    content = bytearray(path.read_bytes())
    one = bytearray(content)
    one[:COPY] = before[:COPY]
    for state in (content, one):
        with pytest.raises(lumocrypt.WrongKeyError):
            look(attacked(path, state), OTHER, COUNT)
    content[: 2 * COPY] = before
    assert look(attacked(path, content), OTHER, COUNT) == [(50,)], "as SECURITY.md says"


def test_known_limit_a_file_from_before_a_rekey(tmp_path: Path) -> None:
    """It opens, and new rows are sealed under the old data key: nothing remembers that there was a change."""
    path = make(tmp_path / "app.db", 20)
    before = path.read_bytes()
    lumocrypt.rekey(path, key=KEY)
    path.write_bytes(before)
    assert look(path, sql=COUNT) == [(20,)]
    assert lumocrypt.info(path).key_id == before[48:64].hex()
