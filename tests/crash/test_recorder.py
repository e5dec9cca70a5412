"""Recorders and counters: what SQLite asked for, no more and no less."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.gosqlite import JOURNAL, KEYS, LOG_BLOCK, MAIN, WAL, connect, insert, make

STRACE = shutil.which("strace")
KEY = KEYS["adiantum"]
SHORT_READ = 522


@dataclass(frozen=True)
class Event:
    operation: str
    kind: int
    offset: int
    size: int
    rc: int


class Events:
    def __init__(self) -> None:
        self.all: list[Event] = []
        self.seconds: list[float] = []

    def on_read(self, kind: int, offset: int, size: int, seconds: float, rc: int) -> None:
        self.all.append(Event("read", kind, offset, size, rc))
        self.seconds.append(seconds)

    def on_write(self, kind: int, offset: int, size: int, seconds: float, rc: int) -> None:
        self.all.append(Event("write", kind, offset, size, rc))
        self.seconds.append(seconds)


def test_events(tmp_path: Path) -> None:
    events = Events()
    assert isinstance(events, lumocrypt.Recorder)
    with (
        lumocrypt.crypto_vfs(KEY, recorder=events) as vfs,
        contextlib.closing(connect(vfs, tmp_path / "a.db")) as connection,
    ):
        assert events.all == [Event("read", MAIN, 0, 100, SHORT_READ)]
        connection.execute("CREATE TABLE t (a)")
        events.all.clear()
        connection.execute("INSERT INTO t VALUES (zeroblob(3000))")
        writes = [event for event in events.all if event.operation == "write"]
        assert {event.rc for event in events.all} <= {0, SHORT_READ}
        assert Event("write", MAIN, 4096, 4096, 0) in writes
        assert {event.kind for event in writes} == {MAIN, JOURNAL}
        assert writes[0].kind == JOURNAL
        connection.execute("PRAGMA journal_mode=WAL")
        events.all.clear()
        connection.execute("INSERT INTO t VALUES (1)")
        assert {event.kind for event in events.all if event.operation == "write"} == {WAL}
        assert Event("write", WAL, 0, 32, 0) in events.all
    assert all(0 <= seconds < 5 for seconds in events.seconds)
    assert sum(events.seconds) > 0


def test_failures_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEY) as vfs:
        make(vfs, path, 4096).close()
    events = Events()
    with (
        lumocrypt.crypto_vfs(bytes(32), recorder=events) as vfs,
        contextlib.closing(sqlite3.connect(f"file:{path}?vfs={vfs.name}&nolock=1", uri=True)) as connection,
    ):
        with pytest.raises(lumocrypt.WrongKeyError):
            connection.execute("SELECT * FROM t").fetchall()
        assert 23 in {event.rc for event in events.all}


@pytest.mark.parametrize("raised", [ValueError("broken"), KeyboardInterrupt()])
def test_an_exception_in_a_recorder_changes_nothing(
    tmp_path: Path, raised: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: caught.append(hook.exc_value))

    class Broken:
        def on_read(self, *_: object) -> None:
            raise raised

        def on_write(self, *_: object) -> None:
            raise raised

    with (
        lumocrypt.crypto_vfs(KEY, recorder=Broken()) as vfs,
        contextlib.closing(make(vfs, tmp_path / "a.db", 4096)) as connection,
    ):
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (100,)
    assert caught
    assert all(error is raised for error in caught)


def test_a_recorder_may_use_the_engine_and_keeps_no_failure_from_its_statement(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEY) as vfs:
        make(vfs, path, 4096).close()

    class Busy:
        def on_read(self, *_: object) -> None:
            with lumocrypt.crypto_vfs(KEY) as other, contextlib.closing(connect(other, path)) as connection:
                connection.execute("SELECT count(*) FROM t").fetchone()
            with contextlib.suppress(ValueError):
                lumocrypt.crypto_vfs(b"")

        on_write = on_read

    with (
        lumocrypt.crypto_vfs(bytes(32), recorder=Busy()) as vfs,
        contextlib.closing(connect(vfs, path)) as connection,
        pytest.raises(lumocrypt.WrongKeyError),
    ):
        connection.execute("SELECT * FROM t").fetchall()


def test_threads(tmp_path: Path) -> None:
    events = Events()
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(KEY, recorder=events) as vfs:
        make(vfs, path, 4096, "wal").close()

        def work() -> None:
            with contextlib.closing(connect(vfs, path, timeout=30)) as connection:
                for _ in range(20):
                    insert(connection, 3)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with contextlib.closing(connect(vfs, path)) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (100 + 4 * 20 * 3,)


def test_logging(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = lumocrypt.LoggingRecorder()
    assert isinstance(recorder, lumocrypt.Recorder)
    with caplog.at_level(logging.DEBUG, logger="lumocrypt.vfs"):
        with lumocrypt.crypto_vfs(KEY, recorder=recorder) as vfs:
            make(vfs, tmp_path / "a.db", 4096).close()
        levels = {record.levelno for record in caplog.records}
        assert levels == {logging.DEBUG}
        assert {vars(record)["rc"] for record in caplog.records} == {0, SHORT_READ}
        assert {vars(record)["kind"] for record in caplog.records} == {"main", "journal"}
        assert any(
            record.getMessage().startswith("write of main: 4096 bytes at ") for record in caplog.records
        )
        caplog.clear()
        recorder.on_write(WAL, 32, 24, 0.25, 10)
        (warning,) = caplog.records
        assert warning.levelno == logging.WARNING
        assert warning.getMessage() == "write of wal: 24 bytes at 32, 0.250000 s, rc=10"
    other = logging.getLogger("tests.other")
    with caplog.at_level(logging.WARNING, logger="tests.other"):
        caplog.clear()
        lumocrypt.LoggingRecorder(other).on_read(MAIN, 0, 100, 0.0, SHORT_READ)
        assert not caplog.records
        lumocrypt.LoggingRecorder(other).on_read(MAIN, 0, 100, 0.0, 266)
        assert [record.name for record in caplog.records] == ["tests.other"]


def test_names_of_kinds() -> None:
    names = [lumocrypt.file_kind_name(kind) for kind in range(8)]
    assert names == [
        "unencrypted",
        "main",
        "journal",
        "wal",
        "temp",
        "temp-journal",
        "sub-journal",
        "unencrypted",
    ]
    assert set(names[1:-1]) == set(lumocrypt.stats()["files"])


CHILD = """
import json, sqlite3, sys
import lumocrypt

folder, page_size, mode = sys.argv[1:]
events = []
class Events:
    def on_read(self, kind, offset, size, seconds, rc):
        events.append(("read", kind, offset, size))
    def on_write(self, kind, offset, size, seconds, rc):
        events.append(("write", kind, offset, size))
with lumocrypt.crypto_vfs(bytes(32), page_size=int(page_size), recorder=Events()) as vfs:
    connection = sqlite3.connect(f"file:{folder}/a.db?vfs={vfs.name}", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("PRAGMA cache_size=20")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data)")
    for turn in range(5):
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t (data) VALUES (?)", [(bytes(700),)] * 50)
        connection.execute("UPDATE t SET data = zeroblob(701) WHERE id % 7 = 0")
        connection.execute("COMMIT")
        connection.execute("SELECT sum(length(data)) FROM t").fetchall()
    connection.close()
print(json.dumps(events))
"""
# pread64(5</tmp/x/a.db>, ""..., 100, 0) = 0
_CALL = re.compile(r"(pread64|pwrite64)\(\d+<(.*?)>(?:\(deleted\))?, .*, (\d+), (\d+)\) += (\d+)")


@pytest.mark.skipif(
    STRACE is None, reason="strace is not installed: events are not compared with system calls"
)
@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("page_size", [512, 4096, 16384])
def test_events_are_the_system_calls(tmp_path: Path, page_size: int, mode: str) -> None:
    """Each event is one call for the blocks that it touches, and one more for a write of a part of its first
    block, and of its last."""
    assert STRACE is not None
    trace = tmp_path / "trace"
    folder = tmp_path / "files"
    folder.mkdir()
    command = [
        STRACE,
        "-f",
        "--seccomp-bpf",
        "-y",
        "-qq",
        "-s",
        "0",
        "-e",
        "trace=pread64,pwrite64",
        "-o",
        str(trace),
    ]
    command += [sys.executable, "-c", CHILD, str(folder), str(page_size), mode]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "SQLITE_TMPDIR": str(tmp_path)},
    )
    kinds = {"a.db": MAIN, "a.db-journal": JOURNAL, "a.db-wal": WAL}
    called: Counter[tuple[str, int, int, int]] = Counter()
    rest: dict[Path, tuple[int, int]] = {}
    for line in trace.read_text().splitlines():
        match = _CALL.search(line)
        assert match is not None, line
        name, path, size, offset = match[1], Path(match[2]), int(match[3]), int(match[4])
        done_bytes = int(match[5])
        # SQLite asks again for what a read behind the end of a file did not give.
        if rest.pop(path, None) == (offset, size):
            continue
        if 0 < done_bytes < size:
            rest[path] = offset + done_bytes, size - done_bytes
        if path.parent == folder and path.name in kinds:
            called["read" if name == "pread64" else "write", kinds[path.name], offset, size] += 1
    expected: Counter[tuple[str, int, int, int]] = Counter()
    for operation, kind, offset, size in json.loads(done.stdout):
        block = page_size if kind == MAIN else LOG_BLOCK
        start = offset // block * block
        end = -(-(offset + size) // block) * block
        expected[operation, kind, start, end - start] += 1
        if operation == "write":
            parts = [offset > start, offset + size < end]
            if all(parts) and end - start <= 2 * block:
                expected["read", kind, start, end - start] += 1
                continue
            for is_part, place in zip(parts, (start, end - block), strict=True):
                expected["read", kind, place, block] += is_part
    assert sum(expected.values()) > 100
    # The last frame of a WAL is read with its header, whose checksum it must have.
    missing = expected - called
    assert {(operation, kind) for operation, kind, *_ in missing} <= {("read", WAL)}
    assert sum(missing.values()) <= 5
    # Nobody's reads: the header and the beginnings of logs, and the checksum of a WAL's last frame.
    looks = called - expected
    assert {operation for operation, *_ in looks} <= {"read"}
    assert all(offset == 0 for _, kind, offset, _ in looks if kind != WAL)
    assert sum(looks.values()) <= (4 if mode == "delete" else 16 + sum(expected.values()) / 20)


def test_counters(tmp_path: Path) -> None:
    events = Events()
    before = lumocrypt.stats()["files"]
    with lumocrypt.crypto_vfs(KEY, recorder=events) as vfs:
        connection = make(vfs, tmp_path / "a.db", 4096)
        open_now = lumocrypt.stats()["files"]
        seen = len(events.all)
        connection.close()
    for kind, name in [(MAIN, "main"), (JOURNAL, "journal")]:
        for operation in ("read", "write"):
            told = [
                event.size
                for event in events.all[:seen]
                if (event.kind, event.operation) == (kind, operation)
            ]
            more = {key: open_now[name][key] - before[name][key] for key in before[name]}
            assert (more[f"{operation}s"], more[f"{operation}_bytes"]) == (len(told), sum(told))
            assert (more[f"{operation}_nanoseconds"] > 0) == bool(told)


def test_counters_of_the_native_format(tmp_path: Path, key: lumocrypt.Key) -> None:
    before = lumocrypt.stats()
    with contextlib.closing(lumocrypt.connect(tmp_path / "a.db", key=key)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (zeroblob(?))", [(3000,)] * 300)
        connection.commit()
        now = lumocrypt.stats()
    for kind in ("main", "wal"):
        assert now["files"][kind]["writes"] > before["files"][kind]["writes"]
        assert now["files"][kind]["write_bytes"] > before["files"][kind]["write_bytes"]
    assert now["files"]["wal"]["write_nanoseconds"] > before["files"]["wal"]["write_nanoseconds"]
    kinds = ("main", "journal", "wal")
    assert now["writes"] == sum(now["files"][kind]["writes"] for kind in kinds)
    content = bytearray((tmp_path / "a.db").read_bytes())
    content[-3000] ^= 1
    (tmp_path / "a.db").write_bytes(content)
    with (
        contextlib.closing(lumocrypt.connect(tmp_path / "a.db", key=key)) as connection,
        pytest.raises(lumocrypt.TamperedError),
    ):
        connection.execute("SELECT sum(length(a)) FROM t").fetchall()
    after = lumocrypt.stats()
    assert after["files"]["main"]["unauthentic"] > now["files"]["main"]["unauthentic"]


def test_prometheus(tmp_path: Path) -> None:
    with lumocrypt.crypto_vfs(KEY) as vfs:
        make(vfs, tmp_path / "a.db", 4096).close()
    text = lumocrypt.stats_prometheus()
    sample = re.compile(r'[a-z_]+(\{kind="[a-z-]+"(,operation="(read|write)")?\})? [0-9.e+-]+')
    for line in text.splitlines():
        assert line.startswith(("# HELP lumocrypt_", "# TYPE lumocrypt_")) or sample.fullmatch(line), line
    found = lumocrypt.stats()["files"]["main"]
    assert f'lumocrypt_operations_total{{kind="main",operation="write"}} {found["writes"]}' in text
    assert text.count("# TYPE") == len(
        {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
    )


def test_nothing_is_told_once_the_interpreter_ends(tmp_path: Path) -> None:
    script = f"""
import atexit, lumocrypt, sqlite3
class Recorder:
    def on_read(self, *args):
        print("told", flush=True)
    on_write = on_read
vfs = lumocrypt.crypto_vfs(bytes(32), recorder=Recorder())
connection = sqlite3.connect("file:{tmp_path}/a.db?vfs=" + vfs.name, uri=True)
class Late:
    def __del__(self, print=print, connection=connection):
        print("late", flush=True)
        connection.execute("CREATE TABLE t (a)")
        connection.close()
late = Late()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "late" in done.stdout
    assert "told" not in done.stdout.split("late")[1]
