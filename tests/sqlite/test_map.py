"""The map that databases and their WALs are read through: one per file and process, without a descriptor."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="maps are made on Linux only")

KEY = lumocrypt.Key.raw(RAW)


def maps(path: Path) -> int:
    """How many maps of the file this process has."""
    return sum(line.endswith(f" {path}") for line in Path("/proc/self/maps").read_text().splitlines())


def descriptors(path: Path) -> int:
    """How many descriptors of the file this process has."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(link) == str(path)
        except FileNotFoundError:  # the directory's own
            continue
    return found


def make(path: Path) -> None:
    connection = lumocrypt.connect(path, key=KEY)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, "x" * 500) for n in range(2000)))
    connection.commit()
    connection.close()


def total(connection: sqlite3.Connection) -> object:
    return connection.execute("SELECT count(*), sum(length(b)) FROM t").fetchone()


def test_connections_share_one_map_per_file(mapped_folder: Path) -> None:
    path = mapped_folder / "app.db"
    make(path)
    connections = [lumocrypt.connect(path, key=KEY, io="map") for _ in range(4)]
    connections[0].execute("UPDATE t SET b = b || 'y'")
    connections[0].commit()
    assert {total(connection) for connection in connections} == {(2000, 2000 * 501)}
    for file in (path, Path(f"{path}-wal")):
        assert maps(file) == 1
        # SQLite's own, and none for the map: closing it would drop the process's locks.
        assert descriptors(file) == len(connections)
    for connection in connections:
        connection.close()
    assert maps(path) == 0
    assert maps(Path(f"{path}-wal")) == 0


def test_whoever_reads_little_makes_no_map(mapped_folder: Path) -> None:
    """It would cost more than it saves: opening, looking up a row and closing are to stay cheap."""
    path = mapped_folder / "app.db"
    make(path)
    connection = lumocrypt.connect(path, key=KEY, io="map")
    assert connection.execute("SELECT length(b) FROM t WHERE a = 1000").fetchone() == (500,)
    assert maps(path) == 0
    assert total(connection) == (2000, 2000 * 500)
    assert maps(path) == 1
    connection.execute("UPDATE t SET b = b || 'y' WHERE a = 1000")
    connection.commit()
    assert connection.execute("SELECT length(b) FROM t WHERE a = 1000").fetchone() == (501,)
    assert maps(Path(f"{path}-wal")) == 0
    connection.close()


def test_pread_maps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    make(path)
    connection = lumocrypt.connect(path, key=KEY, io="pread")
    assert total(connection) == (2000, 2000 * 500)
    assert maps(path) == 0
    connection.close()


def test_a_file_that_took_the_name_of_another_has_a_map_of_its_own(mapped_folder: Path) -> None:
    path, other = mapped_folder / "app.db", mapped_folder / "other.db"
    make(path)
    make(other)
    first = lumocrypt.connect(path, key=KEY)
    assert total(first) == (2000, 2000 * 500)
    changed = lumocrypt.connect(other, key=KEY)
    changed.execute("DELETE FROM t WHERE a >= 1000")
    changed.commit()
    changed.close()
    os.replace(other, path)
    for log in ("-wal", "-shm"):
        Path(f"{path}{log}").unlink(missing_ok=True)
    second = lumocrypt.connect(path, key=KEY)
    assert total(second) == (1000, 1000 * 500)
    assert total(first) == (2000, 2000 * 500)
    assert (maps(Path(f"{path} (deleted)")), maps(path)) == (1, 1)
    second.close()
    first.close()


_REPLACED = """
import os, sys
import lumocrypt
path, other = sys.argv[1:]
key = lumocrypt.Key.raw(bytes(range(32)))
# A long log, of which nothing was read.
first = lumocrypt.connect(path, key=key)
first.execute("UPDATE t SET b = b || 'y'")
first.commit()
first.execute("PRAGMA shrink_memory")
os.replace(other, path)
for log in ("-wal", "-shm"):
    os.unlink(path + log)
# A short one in its place, which is read through a map.
second = lumocrypt.connect(path, key=key)
second.execute("UPDATE t SET b = 'z' WHERE a = 1")
second.commit()
for _ in range(50):
    second.execute("PRAGMA shrink_memory")
    assert second.execute("SELECT b FROM t WHERE a = 1").fetchone() == ("z",)
assert first.execute("SELECT sum(length(b)) FROM t").fetchone() == (2000 * 501,)
assert second.execute("SELECT sum(length(b)) FROM t").fetchone() == (1999 * 500 + 1,)
print("read")
"""


def test_a_log_that_took_the_name_of_another_has_a_map_of_its_own(mapped_folder: Path) -> None:
    path, other = mapped_folder / "app.db", mapped_folder / "other.db"
    make(path)
    make(other)
    # In a process of its own: a read behind the end of the other log would kill it.
    done = subprocess.run(
        [sys.executable, "-c", _REPLACED, str(path), str(other)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr


_LOCKED = """
import sqlite3, sys
import lumocrypt
connection = lumocrypt.connect(sys.argv[1], key=lumocrypt.Key.raw(bytes(range(32))), timeout=0)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("free")
except sqlite3.OperationalError as error:
    print(error.sqlite_errorname)
"""


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_maps_leave_locks_alone(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "app.db"
    make(path)
    first = lumocrypt.connect(path, key=KEY, isolation_level=None)
    first.execute(f"PRAGMA journal_mode={mode}").fetchall()
    first.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        second = lumocrypt.connect(path, key=KEY)
        assert total(second) == (2000, 2000 * 500)
        second.close()
    done = subprocess.run(
        [sys.executable, "-c", _LOCKED, str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "SQLITE_BUSY\n"
    first.execute("COMMIT")
    first.close()


_NARROW = """
import resource, sys
from pathlib import Path
import lumocrypt

def size():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) * 1024

path = Path(sys.argv[1])
# Too little for what is usually reserved, enough for the file itself.
resource.setrlimit(resource.RLIMIT_AS, (size() + (600 << 20),) * 2)
connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(bytes(range(32))), isolation_level=None)
spans = set()
for turn in range(6):
    connection.execute("INSERT INTO t (b) SELECT b FROM t")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    rows = connection.execute("SELECT count(*), sum(length(b)) FROM t NOT INDEXED").fetchone()
    assert rows == (2000 << turn + 1, 1000000 << turn + 1), rows
    for line in open("/proc/self/maps"):
        if line.rstrip().endswith(str(path)):
            start, end = (int(at, 16) for at in line.split()[0].split("-"))
            spans.add(end - start)
print(len(spans), max(spans, default=0) >= path.stat().st_size // 2, max(spans, default=0) < 1 << 30)
"""


def test_where_address_space_is_short_the_map_grows_with_the_file(mapped_folder: Path) -> None:
    path = mapped_folder / "app.db"
    make(path)
    done = subprocess.run(
        [sys.executable, "-c", _NARROW, str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    spans, covers, bounded = done.stdout.split()
    assert int(spans) > 1
    assert (covers, bounded) == ("True", "True")


_IDLE = """
import sys
import lumocrypt
connection = lumocrypt.connect(sys.argv[1], key=lumocrypt.Key.raw(bytes(range(32))), io="map")
print(connection.execute("SELECT sum(length(b)) FROM t").fetchone()[0], flush=True)
for line in sys.stdin:
    print(connection.execute("SELECT sum(length(b)) FROM t").fetchone()[0], flush=True)
"""


def test_a_last_block_that_became_short_is_read_within_the_file(mapped_folder: Path) -> None:
    """Pages smaller than blocks: another process cut the file and let it grow by less than a block."""
    plain, path = mapped_folder / "plain.db", mapped_folder / "app.db"
    with sqlite3.connect(plain) as connection:
        connection.execute("PRAGMA page_size=1024")
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, "x" * 900) for n in range(900)))
    connection.close()
    lumocrypt.encrypt(plain, path, key=KEY, block_size=65536)
    writer = lumocrypt.connect(path, key=KEY, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL").fetchall()
    reader = subprocess.Popen(
        [sys.executable, "-c", _IDLE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    assert reader.stdout.readline() == f"{900 * 900}\n"
    writer.execute("DELETE FROM t WHERE a >= 50")
    writer.execute("VACUUM")
    for rows in range(50, 130, 7):
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        writer.executemany("INSERT INTO t VALUES (?, ?)", ((rows + n, "x" * 900) for n in range(7)))
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        writer.execute(f"PRAGMA user_version={rows}")
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == f"{(rows + 7) * 900}\n"
    reader.communicate(timeout=60)
    assert reader.returncode == 0
    writer.close()
