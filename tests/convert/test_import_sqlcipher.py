"""Databases that SQLCipher itself wrote: all of the content, or an error that says which page."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlcipher3 import dbapi2 as sqlcipher

import lumocrypt
from support.bytes_on_disk import flip
from support.known_keys import FAST, RAW
from support.plaintext import MARKER, fill
from support.program import run

PASSPHRASE = "SQLCipher's passphrase, Grüße"
RAW_KEY = "x'" + "2dd29ca851e7b56e4697b0e1f08507293d761a05ce4d1b628663f411a8086d99" + "'"
SALT = "00112233445566778899aabbccddeeff"
SALTED_KEY = RAW_KEY[:-1] + SALT + "'"
PAGE = 4096
HERE = Path(__file__).parent
#: Where that process finds this module, and what it imports.
FOLDERS = os.pathsep.join([str(HERE), str(HERE.parent)])
#: How the program of another process begins that opens a database.
PROLOGUE = [
    "import os, pathlib, sys",
    "sys.path[:0] = sys.argv[1].split(os.pathsep)",
    "import test_import_sqlcipher",
    "c = test_import_sqlcipher.opened(pathlib.Path(sys.argv[2]), sys.argv[3])",
]


def opened(path: Path, key: str) -> Any:
    connection = sqlcipher.connect(str(path))
    quoted = key.replace("'", "''")
    connection.execute(f"PRAGMA key = '{quoted}'" if key == PASSPHRASE else f'PRAGMA key = "{key}"')
    return connection


def made(path: Path, key: str = PASSPHRASE, rows: int = 500, *pragmas: str) -> Path:
    connection = opened(path, key)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    fill(connection, rows)
    connection.close()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return made(tmp_path / "cipher.db")


def rows_of(connection: Any) -> list[Any]:
    return [tuple(row) for row in connection.execute("SELECT * FROM t ORDER BY id")]


@pytest.mark.parametrize("key", [PASSPHRASE, RAW_KEY, SALTED_KEY], ids=["passphrase", "raw", "salted"])
@pytest.mark.parametrize("mode", ["delete", "wal", "persist", "truncate"])
def test_all_of_the_content(tmp_path: Path, key: str, mode: str) -> None:
    source = made(tmp_path / "cipher.db", key, 500, f"journal_mode={mode}")
    before = source.read_bytes()
    seen: list[tuple[int, int]] = []
    done = lumocrypt.import_sqlcipher(
        source,
        tmp_path / "new.db",
        source_key=key,
        key=lumocrypt.Key.raw(RAW),
        progress=lambda now, total: seen.append((now, total)),
    )
    assert source.read_bytes() == before
    assert done.pages * PAGE == done.source_size == len(before)
    assert done.destination_size == (tmp_path / "new.db").stat().st_size
    assert seen[-1] == (len(before), len(before))
    assert lumocrypt.info(tmp_path / "new.db").cipher == done.cipher == "aegis-256x2"
    assert lumocrypt.verify(tmp_path / "new.db", key=lumocrypt.Key.raw(RAW)).ok
    old = opened(source, key)
    new = lumocrypt.connect(tmp_path / "new.db", key=lumocrypt.Key.raw(RAW))
    assert rows_of(new) == rows_of(old) != []
    assert new.execute("PRAGMA journal_mode").fetchone() == ("wal" if mode == "wal" else "delete",)
    assert new.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # It is a database to work with, not only to read.
    new.execute("DELETE FROM t WHERE id % 2")
    new.commit()
    new.execute("VACUUM")
    assert new.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    old.close()
    new.close()


def test_nothing_is_written_in_clear(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents: list[bytes] = []

    def look(now: int, total: int) -> None:
        contents.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    lumocrypt.import_sqlcipher(
        source, tmp_path / "new.db", source_key=PASSPHRASE, key="new", kdf=FAST, progress=look
    )
    contents.extend(path.read_bytes() for path in tmp_path.iterdir())
    assert len(contents) > 2
    assert not any(MARKER.encode() in content or b"CREATE TABLE" in content for content in contents)


def test_free_pages_and_pages_that_were_never_written(tmp_path: Path) -> None:
    source = made(tmp_path / "cipher.db", RAW_KEY)
    connection = opened(source, RAW_KEY)
    connection.execute("DELETE FROM t WHERE id > 20")
    connection.commit()
    connection.close()
    # SQLCipher, too, takes a page of zeros for one that was never written.
    assert source.stat().st_size > 20 * PAGE
    content = bytearray(source.read_bytes())
    connection = opened(source, RAW_KEY)
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    connection.close()
    assert free > 5
    content[-PAGE:] = bytes(PAGE)
    source.write_bytes(content)
    lumocrypt.import_sqlcipher(source, tmp_path / "new.db", source_key=RAW_KEY, key=lumocrypt.Key.raw(RAW))
    new = lumocrypt.connect(tmp_path / "new.db", key=lumocrypt.Key.raw(RAW))
    assert len(rows_of(new)) == 20
    new.close()


def refused(source: Path, key: str = PASSPHRASE, **options: Any) -> BaseException:
    """The error; nothing is left behind."""
    before = sorted(os.listdir(source.parent))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        lumocrypt.import_sqlcipher(
            source, source.parent / "new.db", source_key=key, key=lumocrypt.Key.raw(RAW), **options
        )
    assert sorted(os.listdir(source.parent)) == before
    return caught.value


@pytest.mark.parametrize("key", ["wrong", RAW_KEY, SALTED_KEY])
def test_a_wrong_key(source: Path, key: str) -> None:
    error = refused(source, key)
    assert isinstance(error, lumocrypt.WrongKeyError)
    assert "the defaults of SQLCipher 4" in str(error)


@pytest.mark.parametrize("where", [0, 40, PAGE - 80, PAGE - 64, PAGE - 1])
@pytest.mark.parametrize("page", [1, 2, 30])
def test_damage_is_named_by_its_page(tmp_path: Path, page: int, where: int) -> None:
    # Raw and with its salt: a changed salt in the file changes no key.
    source = made(tmp_path / "cipher.db", SALTED_KEY)
    flip(source, (page - 1) * PAGE + where)
    if (page, where) == (1, 0):
        # What nothing reads cannot be damaged.
        lumocrypt.import_sqlcipher(
            source, tmp_path / "n.db", source_key=SALTED_KEY, key=lumocrypt.Key.raw(RAW)
        )
        return
    error = refused(source, SALTED_KEY)
    assert isinstance(error, lumocrypt.TamperedError)
    assert (error.sqlite_pages, error.block, error.file_kind) == ((page,), page - 1, "main")
    assert error.path == str(source)


def test_pages_that_changed_places(source: Path) -> None:
    content = bytearray(source.read_bytes())
    content[3 * PAGE : 4 * PAGE], content[4 * PAGE : 5 * PAGE] = (
        content[4 * PAGE : 5 * PAGE],
        content[3 * PAGE : 4 * PAGE],
    )
    source.write_bytes(content)
    error = refused(source)
    assert isinstance(error, lumocrypt.TamperedError)
    assert error.sqlite_pages == (4,)


def test_a_page_in_use_that_was_erased(source: Path) -> None:
    # SQLCipher takes it for a page that was never written; SQLite's check does not.
    content = bytearray(source.read_bytes())
    content[3 * PAGE : 4 * PAGE] = bytes(PAGE)
    source.write_bytes(content)
    error = refused(source)
    assert type(error) is lumocrypt.CryptError
    assert "quick_check" in str(error)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_logs_that_are_needed(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "cipher.db"
    made(source, PASSPHRASE, 500, f"journal_mode={mode}")
    # As after a crash.
    spill = "c.execute('PRAGMA cache_size=5')" if mode == "delete" else ""
    commit = "c.commit()" if mode == "wal" else ""
    program = [*PROLOGUE, spill, "c.execute(\"UPDATE t SET name = name || 'x'\")", commit, "os._exit(0)"]
    subprocess.run([sys.executable, "-c", "\n".join(program), FOLDERS, source, PASSPHRASE], check=True)
    error = refused(source)
    assert type(error) is lumocrypt.CryptError
    assert f"cipher.db-{'wal' if mode == 'wal' else 'journal'} holds" in str(error)
    assert "wal_checkpoint(TRUNCATE)" in str(error)
    # Which helps.
    connection = opened(source, PASSPHRASE)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    names = [row[1] for row in rows_of(connection)]
    connection.close()
    lumocrypt.import_sqlcipher(source, tmp_path / "new.db", source_key=PASSPHRASE, key=lumocrypt.Key.raw(RAW))
    new = lumocrypt.connect(tmp_path / "new.db", key=lumocrypt.Key.raw(RAW))
    assert [row[1] for row in rows_of(new)] == names
    assert names[0].endswith("x") == (mode == "wal")
    new.close()


def test_somebody_else_uses_it(tmp_path: Path) -> None:
    source = made(tmp_path / "cipher.db", RAW_KEY)
    connection = opened(source, RAW_KEY)
    connection.execute("BEGIN IMMEDIATE")
    assert "this process has the database open" in str(refused(source, RAW_KEY))
    connection.close()
    program = [*PROLOGUE, "c.execute('BEGIN IMMEDIATE')", "print(1, flush=True)", "sys.stdin.read()"]
    command = [sys.executable, "-c", "\n".join(program), FOLDERS, source, RAW_KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        error = refused(source, RAW_KEY)
        assert isinstance(error, lumocrypt.InUseError)
        assert "another process" in str(error)
        other.communicate()


def test_files_of_other_kinds(tmp_path: Path, plain: Path, encrypted: Path, source: Path) -> None:
    assert isinstance(refused(plain), lumocrypt.NotEncryptedError)
    assert isinstance(refused(encrypted), lumocrypt.CryptError)
    (tmp_path / "empty.db").write_bytes(b"")
    assert "empty" in str(refused(tmp_path / "empty.db"))
    assert isinstance(refused(tmp_path / "absent.db"), FileNotFoundError)
    with source.open("r+b") as file:
        file.truncate(source.stat().st_size - 100)
    assert "no whole pages" in str(refused(source))
    other = made(tmp_path / "other.db", RAW_KEY, 10, "cipher_page_size=8192")
    assert isinstance(refused(other, RAW_KEY), lumocrypt.WrongKeyError)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"source_key": ""}, ValueError),
        ({"source_key": "x'12'"}, ValueError),
        ({"source_key": "x'" + "0" * 65 + "'"}, ValueError),
        ({"source_key": b"bytes"}, TypeError),
        ({"source_key": None}, TypeError),
        ({"key": None}, TypeError),
        ({"key": ""}, ValueError),
        ({"cipher": "checksum", "key": None}, ValueError),
        ({"cipher": "rot13"}, ValueError),
    ],
)
def test_bad_arguments(source: Path, given: dict[str, Any], error: type[Exception]) -> None:
    arguments: dict[str, Any] = {"source_key": PASSPHRASE, "key": lumocrypt.Key.raw(RAW), **given}
    with pytest.raises(error):
        lumocrypt.import_sqlcipher(source, source.parent / "new.db", **arguments)
    assert not (source.parent / "new.db").exists()


def test_a_destination_is_never_replaced(source: Path, plain: Path) -> None:
    before = plain.read_bytes()
    with pytest.raises(FileExistsError):
        lumocrypt.import_sqlcipher(source, plain, source_key=PASSPHRASE, key="new")
    assert plain.read_bytes() == before


def test_tracebacks_hold_no_key(source: Path) -> None:
    secret = "a secret that no frame may show"
    try:
        lumocrypt.import_sqlcipher(source, source.parent / "new.db", source_key=secret, key=secret)
    except lumocrypt.WrongKeyError as error:
        trace = error.__traceback__
    else:
        pytest.fail("no error")
    frames = []
    while trace is not None:
        if "lumocrypt" in trace.tb_frame.f_code.co_filename.replace("test_", ""):
            frames.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next
    assert len(frames) > 1
    assert not any(secret in frame for frame in frames[1:])


def test_the_command(tmp_path: Path, source: Path) -> None:
    (tmp_path / "old.key").write_text(PASSPHRASE + "\n")
    new_key = f"x'{RAW.hex()}'"
    done = run(
        "import-sqlcipher", source, tmp_path / "new.db", "--key-file", tmp_path / "old.key",
        "--new-key-stdin", "--json", stdin=new_key.encode(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["destination"]) == (True, str(tmp_path / "new.db"))
    connection = lumocrypt.connect(tmp_path / "new.db", key=lumocrypt.Key.raw(RAW))
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
    connection.close()


def test_a_key_that_kms_keeps_cannot_be_sqlciphers(tmp_path: Path, source: Path) -> None:
    environment = {"LUMO_NEW_KEY": f"x'{RAW.hex()}'"}
    done = run("import-sqlcipher", source, tmp_path / "new.db", "--kms", "arn:aws:kms:x", env=environment)
    assert done.returncode == 3
    assert b"lumocrypt's own format only" in done.stderr


@pytest.mark.parametrize(("change", "code"), [("key", 3), ("damage", 4), ("exists", 1), ("malformed", 3)])
def test_exit_codes(tmp_path: Path, source: Path, change: str, code: int) -> None:
    key = {"key": "wrong", "malformed": "x'123'"}.get(change, PASSPHRASE)
    if change == "damage":
        flip(source, 2 * PAGE + 5)
    if change == "exists":
        (tmp_path / "new.db").write_bytes(b"x")
    environment = {"LUMO_KEY": key, "LUMO_NEW_KEY": f"x'{RAW.hex()}'"}
    done = run("import-sqlcipher", source, tmp_path / "new.db", env=environment)
    assert done.returncode == code, done.stderr


def test_the_result_keeps_the_reserved_bytes(tmp_path: Path, source: Path) -> None:
    lumocrypt.import_sqlcipher(source, tmp_path / "new.db", source_key=PASSPHRASE, key=lumocrypt.Key.raw(RAW))
    lumocrypt.decrypt(tmp_path / "new.db", tmp_path / "clear.db", key=lumocrypt.Key.raw(RAW))
    clear = (tmp_path / "clear.db").read_bytes()
    assert clear[20] == 80
    assert not any(clear[PAGE - 80 : PAGE])
    connection = sqlite3.connect(tmp_path / "clear.db")
    connection.execute("VACUUM")
    assert (tmp_path / "clear.db").read_bytes()[20] == 80
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
