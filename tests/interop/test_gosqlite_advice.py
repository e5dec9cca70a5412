"""A database in the gosqlite format where one in lumocrypt's own is expected: errors say how to open it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support.gosqlite import CIPHERS, KEYS
from support.plaintext import make_plain
from support.program import run

KEY = lumocrypt.Key.raw(bytes(range(32)))
COMMANDS = [
    ["info"],
    ["verify"],
    ["salvage", "{}", "other.db"],
    ["decrypt", "{}", "other.db"],
    ["rekey", "{}"],
    ["key", "list", "{}"],
    ["shell", "{}"],
    ["header", "backup", "{}", "other.db"],
]
CALLS: list[Callable[[Path], object]] = [
    lumocrypt.info,
    lambda path: lumocrypt.verify(path, key=KEY),
    lambda path: lumocrypt.salvage(path, path.with_name("other.db"), key=KEY),
    lambda path: lumocrypt.connect(path, key=KEY).execute("SELECT * FROM sqlite_master"),
    lumocrypt.keyslots,
    lambda path: lumocrypt.unlock(path, KEY),
    lambda path: lumocrypt.decrypt(path, path.with_name("other.db"), key=KEY),
]


@pytest.fixture(params=CIPHERS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = make_plain(tmp_path / "a.db")
    lumocrypt.encrypt(path, key=KEYS[request.param], format="gosqlite", cipher=request.param)
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_commands_name_the_format(database: Path, command: list[str], tmp_path: Path) -> None:
    arguments = [part.format(database) for part in command]
    if len(arguments) == 1:
        arguments.append(str(database))
    arguments = [str(tmp_path / part) if part == "other.db" else part for part in arguments]
    (tmp_path / "key").write_text(f"x'{bytes(32).hex()}'\n")
    if command[0] in ("verify", "salvage", "decrypt", "rekey", "shell"):
        arguments += ["--key-file", str(tmp_path / "key")]
    before = database.read_bytes()
    done = run(*arguments)
    assert done.returncode == 1
    assert b"--format gosqlite" in done.stderr
    assert b"--from gosqlite" in done.stderr
    assert database.read_bytes() == before


@pytest.mark.parametrize("call", CALLS)
def test_functions_name_the_format(database: Path, call: Callable[[Path], object]) -> None:
    with pytest.raises(lumocrypt.NotEncryptedError, match=r"crypto_vfs.*--format gosqlite.*--from gosqlite"):
        call(database)


@pytest.mark.parametrize(
    "content",
    [
        b"no database\n" * 300,
        bytes(100) + b"x" * 3996,
        random.Random(1).randbytes(4096 + 100),
        (b"%PDF-1.7\n" + bytes(range(32, 127)) * 50)[:4096],
    ],
)
def test_other_files_are_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for call in CALLS:
        with pytest.raises(lumocrypt.NotEncryptedError) as caught:
            call(path)
        assert "gosqlite" not in str(caught.value)
