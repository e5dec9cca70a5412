"""What work costs in system calls, beside plaintext: that does not depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COUNTERS = Path("/proc/self/io")

pytestmark = pytest.mark.skipif(not COUNTERS.exists(), reason="the kernel does not count system calls")

CHILD = """
import json, os, sqlite3, sys
import lumocrypt

path, kind, io = sys.argv[1:]
if kind == "plain":
    connection = sqlite3.connect(path, isolation_level=None)
else:
    key = lumocrypt.Key.raw(b"1" * 32)
    connection = lumocrypt.connect(path, key=key, io=io, isolation_level=None)


def run(sql, *parameters):
    connection.execute(sql, parameters).fetchall()


def calls():
    lines = open("/proc/self/io").read().split()
    return int(lines[lines.index("syscr:") + 1]), int(lines[lines.index("syscw:") + 1])


def cost(work):
    # Looking at the counters is a call or two in itself.
    idle = calls()
    before = calls()
    work()
    after = calls()
    return [after[n] - before[n] - (before[n] - idle[n]) for n in (0, 1)]


def commits(pages):
    for turn in range(10):
        run("BEGIN")
        for page in range(pages):
            run("UPDATE t SET b = ? WHERE a = ?", os.urandom(3000), 1 + 20 * page + turn)
        run("COMMIT")


run("PRAGMA synchronous=OFF")
run("PRAGMA journal_mode=WAL")
run("PRAGMA wal_autocheckpoint=0")
run("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
run("BEGIN")
connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, b"x" * 3000) for n in range(4000)))
run("COMMIT")
costs = {}
costs["checkpoint"] = cost(lambda: run("PRAGMA wal_checkpoint(TRUNCATE)"))
commits(16)
costs["passive checkpoint"] = cost(lambda: run("PRAGMA wal_checkpoint(PASSIVE)"))
commits(5)
costs["five pages, WAL"] = cost(lambda: commits(5))
costs["sixteen pages, WAL"] = cost(lambda: commits(16))
run("PRAGMA wal_checkpoint(TRUNCATE)")
costs["scan"] = cost(lambda: run("SELECT count(*) FROM t NOT INDEXED WHERE length(b) > 5"))
run("PRAGMA journal_mode=TRUNCATE")
commits(16)
costs["five pages, journal"] = cost(lambda: commits(5))
costs["sixteen pages, journal"] = cost(lambda: commits(16))
run("PRAGMA journal_mode=MEMORY")
commits(5)
costs["sixteen pages, journal in memory"] = cost(lambda: commits(16))
print(json.dumps(costs))
"""


#: Writes of a checkpoint that copies frames: both copies of the length cell say how many.
LENGTH_CELL = 2


def costs(folder: Path, kind: str, io: str = "map") -> dict[str, tuple[int, int]]:
    """Reads and writes for each kind of work."""
    command = [sys.executable, "-c", CHILD, str(folder / f"{kind}-{io}.db"), kind, io]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {name: (reads, writes) for name, (reads, writes) in found.items()}


@pytest.mark.parametrize("io", ["map", "pread"])
def test_no_work_takes_more_calls_than_in_clear(tmp_path: Path, io: str) -> None:
    plain, ours = costs(tmp_path, "plain"), costs(tmp_path, "encrypted", io)
    for name, (reads, writes) in ours.items():
        # A few of them look at the header.
        assert reads <= plain[name][0] + 20, name
        # A checkpoint first says in both copies of the length cell how many frames it copies, and one
        # that makes the file longer says so afterwards.
        assert writes <= plain[name][1] + (4 if "checkpoint" in name else 0), name


def test_a_transaction_is_one_write_and_a_checkpoint_few(tmp_path: Path) -> None:
    plain, ours = costs(tmp_path, "plain"), costs(tmp_path, "encrypted")
    assert ours["five pages, WAL"][1] == 10
    assert ours["sixteen pages, WAL"][1] == 10
    assert plain["sixteen pages, WAL"][1] >= 300
    assert ours["checkpoint"][1] * 20 < plain["checkpoint"][1]
    assert ours["sixteen pages, journal"][1] * 2 < plain["sixteen pages, journal"][1]


def test_a_checkpoint_that_writers_may_overtake_writes_block_by_block(tmp_path: Path) -> None:
    """If the log grows meanwhile SQLite makes no call after the last block that could fail."""
    plain, ours = costs(tmp_path, "plain"), costs(tmp_path, "encrypted")
    assert ours["passive checkpoint"][1] == plain["passive checkpoint"][1] + LENGTH_CELL > 10


def test_nothing_waits_where_the_journal_is_in_memory(tmp_path: Path) -> None:
    """Its rollback must not meet a failure to write what it undoes: nobody could repeat it."""
    plain, ours = costs(tmp_path, "plain"), costs(tmp_path, "encrypted")
    work = "sixteen pages, journal in memory"
    assert ours[work][1] == plain[work][1] > 100


def test_a_scan_reads_many_blocks_at_once(tmp_path: Path) -> None:
    plain = costs(tmp_path, "plain")["scan"][0]
    assert plain > 3000
    assert costs(tmp_path, "encrypted", "map")["scan"][0] < plain / 100
    assert costs(tmp_path, "encrypted", "pread")["scan"][0] < plain / 10
