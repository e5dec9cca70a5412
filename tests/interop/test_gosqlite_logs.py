"""Logs of the gosqlite format: in blocks of 512 bytes or of a page, each recognised, and none taken for
damaged that is only unfinished."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lumocrypt
from support.crash import crashed, log_of
from support.gosqlite import (
    CIPHERS,
    JOURNAL,
    KEYS,
    LOG_BLOCK,
    PAGE_SIZES,
    WAL,
    connect,
    count,
    decrypt_xts,
    encrypt_xts,
    insert,
    make,
)

KINDS = {"-journal": JOURNAL, "-wal": WAL}


def in_large_blocks(log: Path, page_size: int) -> None:
    """Rewrites a log, of XTS, as older versions of gosqlite and lumocrypt have it, in blocks of a page."""
    kind = KINDS[log.name[log.name.rindex("-") :]]
    plain = decrypt_xts(log.read_bytes(), kind, LOG_BLOCK)
    log.write_bytes(encrypt_xts(plain + bytes(-len(plain) % page_size), kind, page_size))


def block_of(log: Path, page_size: int) -> int:
    """In which blocks a log of XTS is: those in which the page number of its second page is one."""
    kind = KINDS[log.name[log.name.rindex("-") :]]
    for block in {LOG_BLOCK, page_size}:
        content = log.read_bytes()
        plain = decrypt_xts(content[: len(content) // block * block], kind, block)
        start, extra = (32, 24) if kind == WAL else (int.from_bytes(plain[20:24], "big"), 8)
        second = start + extra + page_size
        if 0 < int.from_bytes(plain[second : second + 4], "big") < 5000:
            return block
    raise AssertionError("neither")


@pytest.mark.parametrize("page_size", [size for size in PAGE_SIZES if size > LOG_BLOCK])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_log_of_either_kind_is_recovered(tmp_path: Path, suffix: str, page_size: int) -> None:
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEYS["aes-256-xts"], "aes-256-xts", page_size) as vfs:
        connection = make(vfs, path, page_size, "wal" if suffix == "-wal" else "delete")
        insert(connection, page_size // 25)
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(3 * 300)")
        small, large = (crashed(path, tmp_path / name) for name in ("small", "large"))
        connection.close()
        in_large_blocks(log_of(large, suffix), page_size)
        for copy, block in [(small, LOG_BLOCK), (large, page_size)]:
            assert block_of(log_of(copy, suffix), page_size) == block
            with contextlib.closing(connect(vfs, copy)) as recovered:
                assert count(recovered) == 100 + page_size // 25
                assert recovered.execute("SELECT count(*) FROM t WHERE length(data) != 300").fetchone() == (
                    0,
                )
                insert(recovered, 10)
                if suffix == "-wal":
                    assert block_of(log_of(copy, suffix), page_size) == block
            assert not log_of(copy, suffix).exists()
            assert not list(copy.parent.glob("*.lumo-damaged"))


@pytest.mark.parametrize("journal_mode", ["persist", "truncate"])
def test_a_finished_journal_of_the_other_kind_makes_room(tmp_path: Path, journal_mode: str) -> None:
    """Nothing depends on it any more, so the next one is in blocks of 512 bytes."""
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEYS["aes-256-xts"], "aes-256-xts") as vfs:
        connection = make(vfs, path, 4096, journal_mode)
        insert(connection, 1000)
        connection.close()
        if journal_mode == "persist":
            in_large_blocks(log_of(path, "-journal"), 4096)
        with contextlib.closing(connect(vfs, path)) as connection:
            connection.execute(f"PRAGMA journal_mode={journal_mode}")
            connection.execute("PRAGMA cache_size=1")
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(3 * 300)")
            copy = crashed(path, tmp_path / "crashed")
            connection.execute("ROLLBACK")
            assert count(connection) == 1100
        assert block_of(log_of(copy, "-journal"), 4096) == LOG_BLOCK
        with contextlib.closing(connect(vfs, copy)) as recovered:
            assert count(recovered) == 1100
            assert recovered.execute("SELECT count(*) FROM t WHERE length(data) != 300").fetchone() == (0,)
    assert not list(tmp_path.rglob("*.lumo-damaged"))


def hold(cipher: str, path: Path, statements: list[str], at: Any, gate: Any) -> None:
    """Runs statements and waits to be killed."""
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher) as vfs:
        connection = connect(vfs, path)
        for statement in statements:
            connection.execute(statement)
        at.set()
        gate.wait()


@pytest.mark.parametrize("statements", [
    ["UPDATE t SET text = text || '!' WHERE id < 5"],
    ["PRAGMA cache_size=1", "UPDATE t SET text = text || '!'"],
    ["SAVEPOINT s", "DELETE FROM t", "ROLLBACK TO s", "DELETE FROM t WHERE id > 50"],
])  # fmt: skip
@pytest.mark.parametrize("sync", ["off", "normal", "full", "extra"])
@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist", "wal"])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_kill_leaves_no_evidence_of_damage(
    tmp_path: Path, cipher: str, journal_mode: str, sync: str, statements: list[str]
) -> None:
    """SQLite writes a journal's magic and number of records when it first syncs it."""
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher) as vfs:
        make(vfs, path, 4096, journal_mode).close()
        with contextlib.closing(connect(vfs, path)) as connection:
            connection.execute(f"PRAGMA journal_mode={journal_mode}")
            connection.execute(f"PRAGMA synchronous={sync}")
            connection.execute("BEGIN")
            for statement in statements:
                connection.execute(statement)
            copy = crashed(path, tmp_path / "crashed")
            connection.execute("ROLLBACK")
        for one in (copy, path):
            with contextlib.closing(connect(vfs, one)) as recovered:
                assert count(recovered) == 100
    assert not list(tmp_path.rglob("*.lumo-damaged"))


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_process_that_is_killed_leaves_no_evidence_of_damage(tmp_path: Path, cipher: str) -> None:
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher) as vfs:
        make(vfs, path, 4096).close()
        context = multiprocessing.get_context("spawn")
        at, gate = context.Event(), context.Event()
        statements = ["BEGIN", "UPDATE t SET text = text || '!'"]
        child = context.Process(target=hold, args=(cipher, path, statements, at, gate))
        child.start()
        assert at.wait(60)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert log_of(path, "-journal").stat().st_size > 0
        with contextlib.closing(connect(vfs, path)) as recovered:
            assert count(recovered) == 100
    assert not list(tmp_path.glob("*.lumo-damaged"))


@pytest.mark.parametrize("large", [False, True])
def test_connections_follow_a_wal_that_changes_its_kind(tmp_path: Path, large: bool) -> None:
    """It may be emptied and begun anew, in other blocks, while a connection has it open."""
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEYS["aes-256-xts"], "aes-256-xts") as vfs:
        make(vfs, path, 4096, "wal").close()
        with contextlib.closing(connect(vfs, path)) as connection:
            insert(connection, 50)
            copy = crashed(path, tmp_path / "crashed")
        if large:
            in_large_blocks(log_of(copy, "-wal"), 4096)
        reader, writer = connect(vfs, copy), connect(vfs, copy)
        with contextlib.closing(reader), contextlib.closing(writer):
            assert count(reader) == count(writer) == 150
            insert(writer, 10)
            assert count(reader) == 160
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            insert(writer, 10)
            assert block_of(log_of(copy, "-wal"), 4096) == LOG_BLOCK
            assert count(reader) == 170
            insert(reader, 10)
            assert count(writer) == 180


@pytest.mark.parametrize("locking", ["normal", "exclusive"])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_wal_that_is_restarted_many_times(tmp_path: Path, cipher: str, locking: str) -> None:
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher, 1024) as vfs:
        with contextlib.closing(make(vfs, path, 1024, "wal")) as connection:
            connection.execute(f"PRAGMA locking_mode={locking}")
            connection.execute("PRAGMA wal_autocheckpoint=5")
            for _ in range(30):
                insert(connection, 7)
            copy = crashed(path, tmp_path / "crashed")
        with contextlib.closing(connect(vfs, copy)) as recovered:
            assert count(recovered) == 310
        with contextlib.closing(connect(vfs, path)) as again:
            assert count(again) == 310


def share(path: Path, seed: int, answers: Any) -> None:
    """Writes, reads and checkpoints beside others; how often it wrote, or what went wrong."""
    random, written = Random(seed), 0
    try:
        with lumocrypt.crypto_vfs(KEYS["aes-256-xts"], "aes-256-xts") as vfs:
            for _ in range(4):
                with contextlib.closing(connect(vfs, path, timeout=60)) as connection:
                    for _ in range(8):
                        if (choice := random.random()) < 0.5:
                            connection.execute("UPDATE t SET text = text WHERE id = 1")
                            insert(connection, 1)
                            written += 1
                        elif choice < 0.8:
                            assert count(connection) >= 100
                        else:
                            mode = random.choice(["PASSIVE", "RESTART", "TRUNCATE"])
                            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        answers.put(written)
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("large", [False, True])
def test_processes_share_a_wal(tmp_path: Path, large: bool) -> None:
    """Whatever blocks it begins in, and though it is emptied and begun anew under them."""
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEYS["aes-256-xts"], "aes-256-xts") as vfs:
        with contextlib.closing(make(vfs, path, 4096, "wal")):
            copy = crashed(path, tmp_path / "crashed")
        if large:
            in_large_blocks(log_of(copy, "-wal"), 4096)
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        processes = [context.Process(target=share, args=(copy, seed, answers)) for seed in range(3)]
        with contextlib.closing(connect(vfs, copy)) as holder:
            assert count(holder) == 100
            for process in processes:
                process.start()
            found = [answers.get(timeout=600) for _ in processes]
            for process in processes:
                process.join()
            assert [answer for answer in found if not isinstance(answer, int)] == []
            assert count(holder) == 100 + sum(found)
