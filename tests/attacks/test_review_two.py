"""A second review: ways to clear text past a key, and attempts of the kind that failed.

The headings are sentences of SECURITY.md.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.plaintext import make_plain

KEY = lumocrypt.Key.raw(RAW)
OTHER_RAW = b"o" * 32
OTHER = lumocrypt.Key.raw(OTHER_RAW)
SECRET = "WRITTEN-FOR-NOBODY"
MAGIC = b"lumocrypt"

#: What SQLite skips in front of a statement, and a reader of its text has to skip, too.
IN_FRONT = [";", " ; ;", "\ufeff"]
#: Names without quotes: SQLite takes every character beyond ASCII for a letter.
UNUSUAL_NAMES = ["cafe\u0301", "x\U0001f600"]


def make(path: Path, key: lumocrypt.Key) -> Path:
    with contextlib.closing(lumocrypt.connect(path, key, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (?)", (SECRET,))
    return path


def parameter(raw: bytes) -> str:
    return f"?lumo_key=x'{raw.hex()}'"


def holds_secret(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file() and SECRET.encode() in path.read_bytes()]


def opens(path: Path, key: lumocrypt.Key) -> bool:
    try:
        with contextlib.closing(lumocrypt.connect(path, key)) as connection:
            return connection.execute("SELECT x FROM t").fetchall() == [(SECRET,)]
    except sqlite3.Error:
        return False


def in_another_process(folder: Path, program: str) -> None:
    """Runs ``program`` under ``install()``, which holds for a whole process."""
    begin = "import lumocrypt, sqlite3; from pathlib import Path; lumocrypt.install()\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", begin + program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def copy_beside_plaintext(folder: Path, statement: str, name: str, source: str) -> None:
    in_another_process(
        folder,
        "c = sqlite3.connect('main.db', uri=True, isolation_level=None)\n"
        "c.execute('CREATE TABLE p (x)')\n"
        f"c.execute({f'ATTACH ? AS {name}'!r}, ({source!r},))\n"
        f"try: c.execute({statement!r})\n"
        "except sqlite3.Error: pass\n",
    )


# "a copy has the keys of what is copied, and is never in clear next to something encrypted"


@pytest.mark.parametrize("front", IN_FRONT)
def test_a_copy_beside_plaintext_is_not_in_clear_whatever_is_in_front(tmp_path: Path, front: str) -> None:
    make(tmp_path / "other.db", OTHER)
    source = f"file:other.db{parameter(OTHER_RAW)}"
    copy_beside_plaintext(tmp_path, f"{front}VACUUM x INTO 'copy.db'", "x", source)
    assert holds_secret(tmp_path) == []


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_a_copy_beside_plaintext_is_not_in_clear_whatever_the_name(tmp_path: Path, name: str) -> None:
    make(tmp_path / "other.db", OTHER)
    source = f"file:other.db{parameter(OTHER_RAW)}"
    copy_beside_plaintext(tmp_path, f"VACUUM {name} INTO 'copy.db'", name, source)
    assert holds_secret(tmp_path) == []


def test_a_copy_of_a_gosqlite_database_beside_plaintext_is_not_in_clear(tmp_path: Path) -> None:
    in_another_process(
        tmp_path,
        "vfs = lumocrypt.crypto_vfs(b'g' * 32)\n"
        "c = sqlite3.connect('main.db', uri=True, isolation_level=None)\n"
        "c.execute('CREATE TABLE p (x)')\n"
        "c.execute(f'ATTACH \"file:g.db?vfs={vfs.name}\" AS g')\n"
        "c.execute('CREATE TABLE g.t (x)')\n"
        f"c.execute('INSERT INTO g.t VALUES (?)', ({SECRET!r},))\n"
        "try: c.execute(\"VACUUM g INTO 'copy.db'\")\n"
        "except sqlite3.Error: pass\n",
    )
    assert holds_secret(tmp_path) == []


@pytest.mark.parametrize("front", IN_FRONT)
def test_a_copy_has_the_keys_of_its_source_whatever_is_in_front(tmp_path: Path, front: str) -> None:
    make(tmp_path / "main.db", KEY)
    make(tmp_path / "other.db", OTHER)
    with contextlib.closing(lumocrypt.connect(tmp_path / "main.db", KEY)) as connection:
        lumocrypt.attach(connection, tmp_path / "other.db", "x", OTHER)
        connection.execute(f"{front}VACUUM x INTO ?", (str(tmp_path / "copy.db"),))
    assert opens(tmp_path / "copy.db", OTHER)
    assert not opens(tmp_path / "copy.db", KEY)


@pytest.mark.parametrize("front", ["/* ; */ ", "-- ;\n", "\f\t"])
def test_comments_and_blanks_in_front_of_a_copy_change_nothing(tmp_path: Path, front: str) -> None:
    make(tmp_path / "other.db", OTHER)
    source = f"file:other.db{parameter(OTHER_RAW)}"
    copy_beside_plaintext(tmp_path, f"{front}VACUUM x INTO 'copy.db'", "x", source)
    assert holds_secret(tmp_path) == []
    assert opens(tmp_path / "copy.db", OTHER)


# "another product's statement that would seem to do something is an error"


@pytest.mark.parametrize("front", IN_FRONT)
def test_an_attach_with_a_key_clause_is_an_error_whatever_is_in_front(tmp_path: Path, front: str) -> None:
    make(tmp_path / "main.db", KEY)
    with (
        contextlib.closing(lumocrypt.connect(tmp_path / "main.db", KEY)) as connection,
        pytest.raises(sqlite3.OperationalError, match="another product's"),
    ):
        connection.execute(f"{front}ATTACH ? AS n KEY 'k'", (str(tmp_path / "new.db"),))


# "a key that was given, from any source, and a file that takes none: an error; nothing was read or written"


@pytest.fixture
def beside_checksum(tmp_path: Path) -> Path:
    """A key, and a database that is only checksummed, as anybody could have made it."""
    plain = make_plain(tmp_path / "plain.db", rows=3)
    lumocrypt.encrypt(plain, tmp_path / "check.db", key=None, cipher="checksum")
    (tmp_path / "key").write_text(f"x'{RAW.hex()}'")
    return tmp_path


def shell(folder: Path, script: str, *options: str, key: bool = False) -> None:
    subprocess.run(
        [sys.executable, "-m", "lumocrypt", "shell", *options],
        cwd=folder,
        input=script,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
        env={**os.environ, **({"LUMO_KEY": (folder / "key").read_text()} if key else {})},
    )


WRITE = f"INSERT INTO t (name) VALUES ('{SECRET}');\n"


@pytest.mark.parametrize("source", ["file", "environment"])
def test_a_shell_that_has_a_key_opens_no_checksum_database(beside_checksum: Path, source: str) -> None:
    options = ["--key-file", "key"] if source == "file" else []
    script = f"CREATE TABLE n (x);\n.open check.db\n{WRITE}"
    shell(beside_checksum, script, "new.db", *options, key=source == "environment")
    assert holds_secret(beside_checksum) == []


def test_a_shell_in_memory_that_has_a_key_attaches_no_checksum_database(beside_checksum: Path) -> None:
    shell(beside_checksum, f"ATTACH 'check.db' AS y;\n{WRITE}", ":memory:", "--key-file", "key")
    assert holds_secret(beside_checksum) == []


@pytest.mark.parametrize("source", ["file", "environment"])
def test_a_shell_that_has_a_key_attaches_none_in_memory(beside_checksum: Path, source: str) -> None:
    """By way of ``.open``, or with a key that only the environment has."""
    script = f"ATTACH 'check.db' AS y;\n{WRITE}"
    if source == "file":
        shell(beside_checksum, f".open :memory:\n{script}", "new.db", "--key-file", "key")
        shell(beside_checksum, f".open newer.db\nBEGIN;\n{script}COMMIT;\n", "new.db", "--key-file", "key")
    else:
        shell(beside_checksum, script, ":memory:", key=True)
    assert holds_secret(beside_checksum) == []


def test_a_shell_that_has_a_key_attaches_what_is_meant_to_have_none(beside_checksum: Path) -> None:
    script = f"CREATE TABLE n (x);\nATTACH 'file:check.db?lumo_cipher=checksum' AS y;\n{WRITE}"
    shell(beside_checksum, script, "new.db", "--key-file", "key")
    assert holds_secret(beside_checksum) == ["check.db"]


def test_a_checksum_database_beside_one_that_is_yet_to_be_made_is_refused(beside_checksum: Path) -> None:
    path = beside_checksum / "new.db"
    with (
        contextlib.closing(lumocrypt.connect(path, KEY)) as connection,
        pytest.raises(lumocrypt.NotEncryptedError, match="only checksummed"),
    ):
        connection.execute("ATTACH ? AS y", (str(beside_checksum / "check.db"),))


def test_a_shell_that_has_a_key_opens_no_plaintext_database(beside_checksum: Path) -> None:
    shell(beside_checksum, f"CREATE TABLE n (x);\n.open plain.db\n{WRITE}", "new.db", "--key-file", "key")
    assert holds_secret(beside_checksum) == []


@pytest.mark.parametrize("text", ["?lumo_key=", "?lumo_key", "?lumo%5fkey="])
def test_an_empty_key_in_a_uri_is_no_want_of_a_key(tmp_path: Path, text: str) -> None:
    in_another_process(
        tmp_path,
        "try:\n"
        f"  c = sqlite3.connect('file:new.db{text}', uri=True, isolation_level=None)\n"
        f"  c.execute('CREATE TABLE t AS SELECT ?', ('{SECRET}',))\n"
        "except sqlite3.OperationalError: pass\n"
        "else: raise SystemExit('no error')\n",
    )
    assert holds_secret(tmp_path) == []


# "no clear file by mistake"


def test_a_cipher_in_a_uri_without_a_key_makes_no_clear_database(tmp_path: Path) -> None:
    in_another_process(
        tmp_path,
        "try:\n"
        "  c = sqlite3.connect('file:new.db?lumo_cipher=aes-256-gcm', uri=True, isolation_level=None)\n"
        f"  c.execute('CREATE TABLE t AS SELECT ?', ('{SECRET}',))\n"
        "except sqlite3.Error: pass\n",
    )
    assert holds_secret(tmp_path) == []


URIS = ["?vfs=unix", "?%76fs=unix", "?VFS=unix", "?nolock=1&vfs=unix", "#?vfs=unix"]
URIS += ["%00?vfs=unix", "?lumo_no_key=1", "?lumo_plain=1", "?lumo_cipher=checksum"]


@pytest.mark.parametrize("uri", URIS)
def test_no_uri_makes_a_clear_database_with_a_key(tmp_path: Path, uri: str) -> None:
    path = tmp_path / "new.db"
    with contextlib.suppress(sqlite3.Error, ValueError):
        with contextlib.closing(lumocrypt.connect(f"file:{path}{uri}", KEY, uri=True)) as connection:
            connection.execute("CREATE TABLE t (x)")
            connection.execute("INSERT INTO t VALUES (?)", (SECRET,))
            connection.commit()
        assert path.read_bytes().startswith(MAGIC)
    assert holds_secret(tmp_path) == []


# "an unlocked path stands for one encrypted database, by all its names"

ALIASES = ["app.db", "sub/../app.db", ".//app.db", "/proc/self/cwd/app.db", "link/link/app.db"]


def test_an_unlocked_path_by_another_name_is_never_in_clear(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", KEY)
    plain = make_plain(tmp_path / "plain.db", rows=3).read_bytes()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    in_another_process(
        tmp_path,
        f"lumocrypt.unlock('app.db', lumocrypt.Key.raw({RAW!r}))\n"
        "Path('app.db').unlink()\n"
        "Path('app.db').write_bytes(Path('plain.db').read_bytes())\n"
        # What was not unlocked passes: it is the promise of the path that keeps the others out.
        "sqlite3.connect('plain.db').execute('SELECT * FROM t')\n"
        f"for name in {ALIASES!r}:\n"
        "  try: sqlite3.connect(name, isolation_level=None).execute('DELETE FROM t')\n"
        "  except lumocrypt.NotEncryptedError: pass\n"
        "  else: raise SystemExit(name)\n",
    )
    assert path.read_bytes() == plain


# "the shell, and a rekey, write to no file of another user"; here the file is this user's, by other names


@pytest.mark.parametrize("how", ["symlink", "hard link"])
def test_a_rekey_writes_through_no_link_where_it_keeps_blocks(tmp_path: Path, how: str) -> None:
    path = make(tmp_path / "app.db", KEY)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    kept = tmp_path / "app.db-lumo-rekey"
    if how == "symlink":
        kept.symlink_to(victim)
    else:
        os.link(victim, kept)
    with contextlib.suppress(sqlite3.Error, OSError):
        lumocrypt.rekey(path, key=KEY)
    assert victim.read_text() == "untouched"
    assert opens(path, KEY)


# "no committed data lost": statements that change how a file is laid out


def test_page_sizes_change_and_change_back(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", KEY)
    for size in (512, 65536, 1024, 8192):
        with contextlib.closing(lumocrypt.connect(path, KEY, isolation_level=None)) as connection:
            connection.execute("INSERT INTO t VALUES (randomblob(9000))")
            connection.execute(f"PRAGMA page_size={size}")
            connection.execute("VACUUM")
            assert connection.execute("PRAGMA page_size").fetchone() == (size,)
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert lumocrypt.verify(path, key=KEY).ok


def test_a_transaction_over_eleven_databases_is_in_all_of_them(tmp_path: Path) -> None:
    make(tmp_path / "main.db", KEY)
    with contextlib.closing(lumocrypt.connect(tmp_path / "main.db", KEY, isolation_level=None)) as connection:
        names = [f"m{i}" for i in range(10)]
        for i, name in enumerate(names):
            lumocrypt.attach(connection, tmp_path / f"{name}.db", name, OTHER if i % 2 else KEY)
            connection.execute(f"CREATE TABLE {name}.t (x)")
        connection.execute("BEGIN")
        for name in ["main", *names]:
            connection.execute(f"INSERT INTO {name}.t VALUES (?)", (SECRET,))
        connection.execute("COMMIT")
        for name in names:
            assert connection.execute(f"SELECT x FROM {name}.t").fetchall() == [(SECRET,)]
    assert holds_secret(tmp_path) == []
