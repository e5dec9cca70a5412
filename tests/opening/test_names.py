"""Names of files are bytes: what the operating system takes opens, is guarded, converted and told of."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from lumocrypt.errors.names import shown, valid
from lumocrypt.files.paths import StrPath
from support.known_keys import RAW

#: Latin-1, no character of any encoding, half of a character, what a URI and a shell would take for theirs,
#: what acts on a terminal, and an ordinary name that is not ASCII.
NAMES = [
    b"caf\xe9.db",
    b"\xff\xfe",
    b"a\xe2\x82.db",
    b"a?b#c%41&d=e f.db",
    b"a\nb\x1b[31m.db",
    "größe 😀.db".encode(),
]
#: All of it at once.
WORST = b"a\nb\x1b[31m?c#%41\xe9\xc3\xa9 \xe2\x82.db"
NEW_KEY = lumocrypt.Key.raw(b"2" * 32)


class BytesPath:
    """A path whose ``__fspath__`` gives bytes."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def __fspath__(self) -> bytes:
        return self.name


def as_path(name: bytes) -> Path:
    return Path(os.fsdecode(name))


FORMS: list[Callable[[bytes], StrPath]] = [bytes, os.fsdecode, as_path, BytesPath]


@pytest.fixture(params=NAMES, ids=[shown(os.fsdecode(name)) for name in NAMES])
def name(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    """The path of a database, in bytes."""
    return os.fsencode(tmp_path) + b"/" + request.param


def make(name: bytes, key: lumocrypt.Key, *, wal: bool = False) -> bytes:
    connection = lumocrypt.connect(name, key=key)
    connection.execute(f"PRAGMA journal_mode={'wal' if wal else 'delete'}")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    connection.close()
    return name


def rows(name: StrPath, key: lumocrypt.Key | None) -> list[tuple[int]]:
    connection = lumocrypt.connect(name, key=key)
    try:
        return connection.execute("SELECT x FROM t").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("form", "name"),
    [*((bytes, name) for name in NAMES), *((form, WORST) for form in FORMS)],
    ids=lambda given: given.__name__ if callable(given) else shown(os.fsdecode(given)),
    indirect=["name"],
)
def test_every_function_takes_every_form_of_a_name(
    form: Callable[[bytes], StrPath], name: bytes, key: lumocrypt.Key
) -> None:
    path, text = form(make(name, key)), os.fsdecode(name)
    assert rows(path, key) == [(1,)]
    assert lumocrypt.verify(path, key=key).path == text
    assert lumocrypt.verify(path, key=key).ok
    assert lumocrypt.info(path).path == text
    slot = lumocrypt.add_key(path, key=key, new_key=NEW_KEY)
    assert len(lumocrypt.keyslots(path)) == 2
    lumocrypt.remove_key(path, key=key, slot=slot.index)
    lumocrypt.change_key(path, key=key, new_key=NEW_KEY)
    lumocrypt.change_key(path, key=NEW_KEY, new_key=key)
    assert lumocrypt.rekey(path, key=key, new_key=NEW_KEY).path == text
    lumocrypt.unlock(path, NEW_KEY)
    assert rows(path, None) == [(1,)]
    assert lumocrypt.lock(path)
    assert not lumocrypt.lock(path)
    clear, other, saved = form(name + b".clear"), form(name + b".other"), form(name + b".saved")
    assert lumocrypt.decrypt(path, clear, key=NEW_KEY).destination == text + ".clear"
    assert lumocrypt.encrypt(clear, other, key=key).destination == text + ".other"
    again = form(name + b".again")
    lumocrypt.convert(other, again, format="lumocrypt", key=key, new_format="lumocrypt", new_key=NEW_KEY)
    lumocrypt.decrypt(other, key=key)
    lumocrypt.encrypt(other, key=key)
    assert lumocrypt.salvage(other, form(name + b".saved-rows"), key=key).ok
    lumocrypt.backup_header(path, saved)
    assert lumocrypt.restore_header(path, saved, key=NEW_KEY).path == text
    connection = lumocrypt.connect(":memory:")
    lumocrypt.attach(connection, path, "other", key=NEW_KEY)
    assert connection.execute("SELECT x FROM other.t").fetchall() == [(1,)]
    connection.close()


def test_the_log_that_is_looked_for_has_the_real_name(name: bytes, key: lumocrypt.Key) -> None:
    connection = lumocrypt.connect(name, key=key)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("CREATE TABLE t (x)")
    log = Path(os.fsdecode(name) + "-wal")
    content = log.read_bytes()
    connection.close()
    Path(os.fsdecode(name)).write_bytes(b"")
    log.write_bytes(content)
    with pytest.raises(lumocrypt.TamperedError) as caught:
        lumocrypt.connect(name, key=key).execute("CREATE TABLE n (x)")
    assert caught.value.path == os.fsdecode(name)
    assert log.read_bytes() == content


def test_a_hot_journal_is_rolled_back_under_its_real_name(name: bytes, key: lumocrypt.Key) -> None:
    make(name, key)
    connection = lumocrypt.connect(name, key=key, isolation_level=None)
    connection.execute("PRAGMA cache_size=1")
    connection.execute("BEGIN")
    connection.execute(
        "CREATE TABLE big AS WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) "
        "SELECT i, randomblob(900) AS data FROM n"
    )
    copy = name + b".copy"
    shutil.copy(name, copy)
    shutil.copy(name + b"-journal", copy + b"-journal")
    connection.close()
    assert "rollback journal" in " ".join(lumocrypt.verify(copy, key=key).warnings)
    assert lumocrypt.salvage(copy, copy + b".saved", key=key).ok
    assert rows(copy, key) == [(1,)]
    assert not os.path.exists(copy + b"-journal")


def test_a_change_of_the_data_key_in_sql(name: bytes, key: lumocrypt.Key) -> None:
    make(name, key)
    connection = lumocrypt.connect(name, key=key)
    connection.execute(f"PRAGMA lumo_change_key = \"x'{'02' * 32}'\"")
    connection.close()
    assert rows(name, lumocrypt.Key.raw(b"\2" * 32)) == [(1,)]
    assert not os.path.exists(name + b"-lumo-rekey")


def damaged_log(name: bytes, copy: bytes, key: lumocrypt.Key) -> None:
    """Makes ``copy`` a database whose WAL is damaged in front of a commit."""
    connection = lumocrypt.connect(name, key=key, isolation_level=None)
    connection.execute("PRAGMA journal_mode=wal")
    for number in range(3):
        connection.execute(f"CREATE TABLE t{number} (x)")
    shutil.copy(name, copy)
    shutil.copy(name + b"-wal", copy + b"-wal")
    connection.close()
    with open(copy + b"-wal", "r+b") as log:
        log.seek(-12000, os.SEEK_END)
        log.write(b"damage")


def test_the_copy_of_a_damaged_log_has_the_logs_name(name: bytes, key: lumocrypt.Key) -> None:
    copy = name + b".copy"
    damaged_log(name, copy, key)
    lumocrypt.connect(copy, key=key).execute("SELECT 1 FROM sqlite_schema").fetchall()
    assert os.path.exists(copy + b"-wal.lumo-damaged")
    warnings = lumocrypt.verify(copy, key=key).warnings
    assert any(shown(os.fsdecode(copy)) in warning for warning in warnings)
    " ".join(warnings).encode()


@pytest.mark.parametrize("fill", ["n", "é", "😀"])
def test_a_log_whose_name_leaves_no_room_is_kept_under_a_shorter_one(
    fill: str, tmp_path: Path, key: lumocrypt.Key
) -> None:
    # SQLite's own limit: the name of the journal, eight bytes longer, is the longest that there is.
    copy = (
        os.fsencode(tmp_path) + b"/" + (fill * 250).encode()[:244].decode(errors="ignore").encode() + b".db"
    )
    damaged_log(os.fsencode(tmp_path / "app.db"), copy, key)
    before = Path(os.fsdecode(copy) + "-wal").read_bytes()
    lumocrypt.connect(copy, key=key).execute("SELECT 1 FROM sqlite_schema").fetchall()
    (kept,) = tmp_path.glob("*.lumo-damaged")
    assert kept.read_bytes() == before
    kept.name.encode()
    assert any(kept.name in warning for warning in lumocrypt.verify(copy, key=key).warnings)


def test_messages_are_text_and_attributes_are_names(name: bytes, key: lumocrypt.Key) -> None:
    make(name, key)
    text = os.fsdecode(name)
    for call in (
        lambda: lumocrypt.connect(name, key=NEW_KEY),
        lambda: lumocrypt.verify(name, key=NEW_KEY),
        lambda: lumocrypt.rekey(name, key=NEW_KEY),
        lambda: lumocrypt.encrypt(name, key=NEW_KEY),
        lambda: lumocrypt.load(sqlite3.connect(name)),
    ):
        with pytest.raises((sqlite3.Error, ValueError)) as caught:
            call()
        message = str(caught.value)
        message.encode()
        if isinstance(caught.value, lumocrypt.CryptError):
            assert caught.value.path == text
            assert shown(text) in message


COMMANDS: list[tuple[list[str], list[bytes]]] = [
    (["info"], []),
    (["verify"], []),
    (["key", "list"], []),
    (["rekey", "--change-key"], []),
    (["header", "backup"], [b".header"]),
    (["header", "restore"], [b".header"]),
    (["decrypt"], [b".clear"]),
    (["salvage"], [b".rows"]),
    (["convert", "--from", "lumocrypt", "--to", "lumocrypt"], [b".converted"]),
]


def run(words: list[str | bytes], key: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LUMO_KEY": key, "LUMO_NEW_KEY": key}
    command = [sys.executable, "-m", "lumocrypt", *words]
    return subprocess.run(command, env=environment, capture_output=True, check=False)


def strict(text: bytes) -> dict[str, Any]:
    """JSON that is nothing but text."""
    content = json.loads(text.decode())
    json.dumps(content, ensure_ascii=False).encode()
    return content


def test_the_command_line(tmp_path: Path, key: lumocrypt.Key) -> None:
    name = make(os.fsencode(tmp_path) + b"/" + WORST, key)
    text = shown(os.fsdecode(name))
    for words, suffixes in COMMANDS:
        others = [name + suffix for suffix in suffixes]
        done = run([*words, name, *others], f"x'{RAW.hex()}'")
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert words == ["key", "list"] or text in done.stdout.decode()
        for other in others:
            if words != ["header", "backup"]:
                os.unlink(other)
        if words == ["header", "restore"]:
            others = [*map(os.fsencode, tmp_path.glob("*lumo-header*"))]
        done = run([*words, name, *others, "--json"], f"x'{RAW.hex()}'")
        if words != ["header", "backup"]:
            assert done.returncode == 0, done.stderr
            strict(done.stdout)
        else:
            assert done.returncode == 1
            assert text + ".header: File exists" == strict(done.stderr)["message"]
    done = run(["shell", name, "SELECT x FROM t", ".databases", ".show"], f"x'{RAW.hex()}'")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"1\n")


def test_the_command_lines_errors(tmp_path: Path, key: lumocrypt.Key) -> None:
    name = make(os.fsencode(tmp_path) + b"/" + WORST, key)
    text = shown(os.fsdecode(name))
    done = run(["verify", name], "another key")
    assert done.returncode == 3
    assert text in done.stderr.decode()
    error = strict(run(["verify", name, "--json"], "another key").stderr)
    assert text in error["message"]
    assert error["path"] == valid(os.fsdecode(name))
    done = run(["verify", name + b".absent"], "another key")
    assert done.returncode == 1
    assert text + ".absent: No such file" in done.stderr.decode()


@pytest.mark.parametrize("path", [b"a\0b", "a\0b", "\ud800.db"])
def test_a_name_that_no_file_can_have_is_a_value_error(
    path: StrPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: lumocrypt.Key
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: lumocrypt.connect(path, key=key),
        lambda: lumocrypt.verify(path, key=key),
        lambda: lumocrypt.encrypt(path, key=key),
        lambda: lumocrypt.decrypt(path, key=key),
        lambda: lumocrypt.rekey(path, key=key),
        lambda: lumocrypt.info(path),
        lambda: lumocrypt.unlock(path, key),
        lambda: lumocrypt.lock(path),
        lambda: lumocrypt.backup_header(path, "b"),
        lambda: lumocrypt.attach(lumocrypt.connect(":memory:"), path, "x", key=key),
    ):
        with pytest.raises(ValueError, match=r"null|surrogates"):
            call()
    assert not os.listdir(tmp_path)
