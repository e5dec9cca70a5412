"""A file that somebody cuts under a reader: what a memory map can do about it, and what reading does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.plaintext import fill

_READER = """
import sqlite3, sys
import lumocrypt
path, io = sys.argv[1:]
connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(bytes(range(32))), io=io)
rows = connection.execute("SELECT data FROM t NOT INDEXED")
# A map is only made for whoever reads more than a few blocks.
rows.fetchmany(1000)
print("ready", flush=True)
sys.stdin.readline()
try:
    rows.fetchall()
except sqlite3.Error as error:
    print(type(error).__name__, error.sqlite_errorcode)
"""


def read_while_it_is_cut(path: Path, io: str) -> tuple[int, str]:
    """Exit code and words of a reader under whose statement the file is cut to its first two blocks."""
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(path), io],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    # Not by SQLite, which would take locks: nothing keeps another program from it.
    os.truncate(path, 65_536 + 2 * (4096 + 40))
    words, _ = reader.communicate("\n", timeout=60)
    return reader.returncode, words.strip()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(RAW))
    fill(connection, rows=2000)
    connection.close()
    return path


def test_reading_gives_a_clean_error(database: Path) -> None:
    code, words = read_while_it_is_cut(database, "pread")
    assert code == 0
    assert words == "TamperedError 8202"


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels may send another signal")
@pytest.mark.usefixtures("mapped_folder")
def test_a_map_kills_the_process(database: Path) -> None:
    """Pages of a map that the file does not have any more cannot be read: the kernel sends SIGBUS."""
    code, _ = read_while_it_is_cut(database, "map")
    assert code == -signal.SIGBUS
