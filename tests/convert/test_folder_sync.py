"""Folders that cannot be synced, and media that fail at it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.plaintext import fill, make_plain

SOURCE = Path(__file__).parents[1] / "support" / "failing_folder_sync.c"
KEY = lumocrypt.Key.raw(RAW)

_PROGRAM = """
import sys, lumocrypt
from pathlib import Path
key = lumocrypt.Key.raw(bytes(range(32)))
path = Path(sys.argv[2])
try:
    match sys.argv[1]:
        case "encrypt":
            lumocrypt.encrypt(path, key=key)
        case "decrypt":
            lumocrypt.decrypt(path, key=key)
        case "copy":
            lumocrypt.encrypt(path, path.with_name("copy.db"), key=key)
        case "rekey":
            lumocrypt.rekey(path, key=key)
        case "header":
            lumocrypt.backup_header(path, path.with_name("header"))
            lumocrypt.restore_header(path, path.with_name("header"), key=key)
except OSError as error:
    print(error.errno, error)
    sys.exit(7)
except lumocrypt.Error as error:
    print(error)
    sys.exit(8)
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in front of the C library."""
    target = tmp_path_factory.mktemp("preload") / "folder_sync.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-fPIC", "-shared", "-o", target, SOURCE, "-ldl"], check=True)
    return target


def _run(library: Path, number: int, operation: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LD_PRELOAD": str(library), "FOLDER_SYNC": str(number)}
    command = [sys.executable, "-c", _PROGRAM, operation, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _source(folder: Path, operation: str) -> Path:
    if operation in ("encrypt", "copy"):
        return make_plain(folder / "app.db")
    connection = lumocrypt.connect(folder / "app.db", key=KEY)
    fill(connection)
    connection.close()
    return folder / "app.db"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
@pytest.mark.parametrize("operation", ["encrypt", "decrypt", "copy", "rekey", "header"])
def test_where_folders_cannot_be_synced_work_goes_on(
    tmp_path: Path, library: Path, operation: str, number: int
) -> None:
    path = _source(tmp_path, operation)
    done = _run(library, number, operation, path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = tmp_path / "copy.db" if operation == "copy" else path
    if operation == "decrypt":
        assert result.read_bytes().startswith(b"SQLite format 3")
    else:
        assert lumocrypt.verify(result, key=KEY).ok


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_rename_that_may_not_last_is_an_error_and_nothing_is_spoilt(
    tmp_path: Path, library: Path, operation: str, journal_mode: str
) -> None:
    path = make_plain(tmp_path / "app.db", journal_mode=journal_mode)
    if operation == "decrypt":
        lumocrypt.encrypt(path, key=KEY)
    before = path.read_bytes()
    with path.open("rb") as old:
        done = _run(library, errno.EIO, operation, path)
        assert done.returncode == 7, done.stdout + done.stderr
        assert done.stdout.startswith(f"{errno.EIO} ")
        assert "may not outlast a power cut" in done.stdout
        assert str(path) in done.stdout
        # What the name may come back to.
        assert old.read() == before
    assert os.listdir(tmp_path) == ["app.db"]
    if operation == "encrypt":
        assert lumocrypt.verify(path, key=KEY).ok


@pytest.mark.parametrize("operation", ["copy", "rekey", "header"])
def test_a_failing_medium_is_an_error(tmp_path: Path, library: Path, operation: str) -> None:
    path = _source(tmp_path, operation)
    done = _run(library, errno.EIO, operation, path)
    assert done.returncode in (7, 8), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if operation == "copy":
        assert os.listdir(tmp_path) == ["app.db"]
        assert path.read_bytes().startswith(b"SQLite format 3")
    else:
        assert lumocrypt.verify(path, key=KEY).ok
