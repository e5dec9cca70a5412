"""A key that was given and a file that takes none: an error before anything is read or written.

What stands in the place of the database is another file that somebody who may write to the folder has made:
in clear, only checksummed, or in gosqlite's format.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import lumocrypt
from support.known_keys import RAW
from support.operations import digest
from support.plaintext import make_plain

KEY = lumocrypt.Key.raw(RAW)
TEXT = f"x'{RAW.hex()}'"
SECRET = "WRITTEN-FOR-NOBODY"

Action = Callable[[Path], object]


def make_checksum(path: Path) -> None:
    make_plain(path, rows=3)
    lumocrypt.encrypt(path, key=None, cipher="checksum")


def make_gosqlite(path: Path) -> None:
    make_plain(path, rows=3)
    lumocrypt.encrypt(path, key=bytes(32), format="gosqlite")


FILES: dict[str, Callable[[Path], object]] = {
    "plaintext": lambda path: make_plain(path, rows=3),
    "checksum": make_checksum,
    "gosqlite": make_gosqlite,
}


def use(connection: sqlite3.Connection) -> object:
    """What a program does that believes in its encryption."""
    with contextlib.closing(connection):
        try:
            return connection.execute("INSERT INTO t (name) VALUES (?)", (SECRET,))
        finally:
            with contextlib.suppress(sqlite3.Error):
                connection.commit()


def raw(path: Path, parameters: str = "") -> sqlite3.Connection:
    lumocrypt.connect(":memory:").close()
    return sqlite3.connect(f"file:{quote(str(path))}?vfs=lumocrypt{parameters}", uri=True)


def by_pragma(path: Path) -> object:
    connection = raw(path)
    with contextlib.closing(connection):
        connection.execute(f'PRAGMA lumo_key = "{TEXT}"')
        return connection.execute("INSERT INTO t (name) VALUES (?)", (SECRET,))


def by_attach(path: Path) -> object:
    with contextlib.closing(lumocrypt.connect(":memory:")) as connection:
        lumocrypt.attach(connection, path, "other", KEY)
        return connection.execute("INSERT INTO other.t (name) VALUES (?)", (SECRET,))


def by_attach_in_sql(path: Path) -> object:
    with contextlib.closing(lumocrypt.connect(":memory:")) as connection:
        connection.execute("ATTACH ? AS other", (f"file:{quote(str(path))}?lumo_key={quote(TEXT)}",))
        return connection.execute("INSERT INTO other.t (name) VALUES (?)", (SECRET,))


#: A key of the caller's, in every way that there is.
GIVEN: dict[str, Action] = {
    "connect": lambda path: use(lumocrypt.connect(path, KEY)),
    "text": lambda path: use(lumocrypt.connect(path, TEXT)),
    "checksum asked for": lambda path: use(
        lumocrypt.connect(f"file:{quote(str(path))}?lumo_cipher=checksum", KEY, uri=True)
    ),
    "clear asked for": lambda path: use(
        lumocrypt.connect(f"file:{quote(str(path))}?lumo_plain=1", KEY, uri=True)
    ),
    "uri": lambda path: use(raw(path, f"&lumo_key={quote(TEXT)}")),
    "escaped uri": lambda path: use(raw(path, f"&lumo%5fk%65y={quote(TEXT)}")),
    "uri and clear": lambda path: use(raw(path, f"&lumo_plain=1&lumo_key={quote(TEXT)}")),
    "pragma": by_pragma,
    "attach": by_attach,
    "attach in sql": by_attach_in_sql,
    "verify": lambda path: lumocrypt.verify(path, key=KEY),
    "decrypt": lambda path: lumocrypt.decrypt(path, path.with_name("clear.db"), key=KEY),
    "decrypt in place": lambda path: lumocrypt.decrypt(path, key=KEY),
    "convert": lambda path: lumocrypt.convert(
        path, format="lumocrypt", key=KEY, new_format="lumocrypt", new_key=KEY
    ),
    "salvage": lambda path: lumocrypt.salvage(path, path.with_name("saved.db"), key=KEY),
    "rekey": lambda path: lumocrypt.rekey(path, key=KEY),
    "add_key": lambda path: lumocrypt.add_key(path, key=KEY, new_key="new"),
    "change_key": lambda path: lumocrypt.change_key(path, key=KEY, new_key="new"),
    "remove_key": lambda path: lumocrypt.remove_key(path, key=KEY),
    "label_key": lambda path: lumocrypt.label_key(path, "x", key=KEY),
    "unlock": lambda path: lumocrypt.unlock(path, KEY),
}

#: What takes the key that the process knows.
KNOWN: dict[str, Action] = {
    "connect": lambda path: use(lumocrypt.connect(path)),
    "checksum asked for": lambda path: use(lumocrypt.connect(path, cipher="checksum")),
    "raw": lambda path: use(raw(path)),
    "verify": lumocrypt.verify,
    "decrypt": lambda path: lumocrypt.decrypt(path, path.with_name("clear.db"), key=None),
    "decrypt in place": lambda path: lumocrypt.decrypt(path, key=None),
    "convert": lambda path: lumocrypt.convert(
        path, format="lumocrypt", key=None, new_format="lumocrypt", new_key=KEY
    ),
    "salvage": lambda path: lumocrypt.salvage(path, path.with_name("saved.db"), key=None),
    "rekey": lambda path: lumocrypt.rekey(path, key=None),
    "add_key": lambda path: lumocrypt.add_key(path, key=None, new_key="new"),
    "remove_key": lambda path: lumocrypt.remove_key(path, key=None),
}


def refused(path: Path, action: Action, expected: Any = lumocrypt.NotEncryptedError) -> BaseException:
    """Whatever is tried, the folder is afterwards what it was before."""
    before = digest(path.parent)
    with pytest.raises(expected) as caught:
        action(path)
    assert digest(path.parent) == before
    return caught.value


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("how", GIVEN)
def test_a_key_of_the_callers(tmp_path: Path, how: str, kind: str) -> None:
    path = tmp_path / "app.db"
    FILES[kind](path)
    refused(path, GIVEN[how])


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("how", KNOWN)
def test_a_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: str
) -> None:
    path = tmp_path / "app.db"
    FILES[kind](path)
    monkeypatch.setenv("LUMO_KEY", TEXT)
    refused(path, KNOWN[how])


@contextlib.contextmanager
def unlocked(path: Path) -> Iterator[None]:
    lumocrypt.unlock(path, KEY)
    try:
        yield
    finally:
        lumocrypt.lock(path)


def make_encrypted(path: Path, key: lumocrypt.Key = KEY) -> None:
    make_plain(path, rows=3)
    lumocrypt.encrypt(path, key=key)


#: How another file comes to stand where the database was.
def overwrite(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def rename(path: Path, other: Path) -> None:
    os.replace(shutil.copy(other, path.with_name("copy")), path)


def link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def hard_link(path: Path, other: Path) -> None:
    path.unlink()
    path.hardlink_to(other)


SWAPS = [overwrite, rename, link, hard_link]
CLEAR = ["plaintext", "checksum", "gosqlite"]


@pytest.mark.parametrize("created", ["before", "later"])
@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
@pytest.mark.parametrize("kind", CLEAR)
def test_an_unlocked_path(tmp_path: Path, kind: str, swap: Any, created: str) -> None:
    path, other = tmp_path / "app.db", tmp_path / "other.db"
    FILES[kind](other)
    if created == "before":
        make_encrypted(path)
    with unlocked(path):
        if created == "later":
            with contextlib.closing(lumocrypt.connect(path)) as connection:
                connection.execute("CREATE TABLE t (name)")
        swap(path, other)
        for how, action in KNOWN.items():
            # In place, a file with two names is refused before that.
            expected = (lumocrypt.NotEncryptedError, lumocrypt.WrongDatabaseError)
            in_place = swap is hard_link and how in ("decrypt in place", "convert")
            refused(path, action, lumocrypt.CryptError if in_place else expected)
        assert SECRET.encode() not in other.read_bytes(), how


_INSTALLED = """
import os, sqlite3, sys
import lumocrypt
path, asked, known, strict, mode = sys.argv[1:]
key = lumocrypt.Key.raw(bytes(range(32)))
if known == "path":
    lumocrypt.unlock(path, key)
    if mode == "link":
        os.rename(path, path + ".away")
        os.symlink(os.path.join(os.path.dirname(path), "other.db"), path)
elif known == "environment":
    os.environ["LUMO_KEY"] = "x'" + bytes(range(32)).hex() + "'"
lumocrypt.install(strict=strict == "strict")
try:
    connection = sqlite3.connect(asked, uri=True)
    connection.execute("CREATE TABLE IF NOT EXISTS written (a)")
    connection.execute("INSERT INTO written VALUES ('WRITTEN-FOR-NOBODY')")
    connection.commit()
    print("written")
except sqlite3.Error as error:
    print(type(error).__name__)
"""


def installed(path: Path, asked: object, known: str, strict: str = "", mode: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", _INSTALLED, *map(str, (path, asked, known, strict, mode))],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
        env={"PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("kind", ["plaintext", "checksum"])
def test_a_link_swapped_in_under_install(tmp_path: Path, kind: str) -> None:
    """By its own name, by a link to it, by the name of the file that it leads to, and by paths with dots."""
    path, other, alias = tmp_path / "app.db", tmp_path / "other.db", tmp_path / "alias.db"
    FILES[kind](other)
    alias.symlink_to(path)
    before = other.read_bytes()
    for asked in (path, alias, other, "app.db", f"./x/../{path.name}", f"file:{path}?cache=shared"):
        make_encrypted(path)
        assert installed(path, asked, "path", mode="link") in ("NotEncryptedError", "WrongDatabaseError"), (
            asked
        )
        path.unlink()
        path.with_name("app.db.away").unlink()
    assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("known", "strict", "expected"),
    [
        ("", "", "written"),
        ("environment", "", "written"),
        ("path", "", "written"),
        ("", "strict", "written"),
        ("environment", "strict", "NotEncryptedError"),
        ("path", "strict", "NotEncryptedError"),
    ],
)
def test_plaintext_that_passes_under_install(tmp_path: Path, known: str, strict: str, expected: str) -> None:
    """Of a file that nobody unlocked; with ``strict`` not where the process knows any key."""
    path, other = tmp_path / "app.db", tmp_path / "other.db"
    make_encrypted(path)
    make_plain(other, rows=3)
    before = other.read_bytes()
    assert installed(path, other, known, strict) == expected
    assert (other.read_bytes() == before) == (expected != "written")
    # Said of this very file, it is meant.
    assert installed(path, f"file:{other}?lumo_no_key=1", known, strict) == "written"


@pytest.mark.parametrize(("known", "created"), [("", True), ("path", False), ("environment", True)])
def test_new_files_under_strict_install(tmp_path: Path, known: str, created: bool) -> None:
    path, new = tmp_path / "app.db", tmp_path / "new.db"
    make_encrypted(path)
    assert installed(path, new, known, "strict") == ("written" if created else "KeyRequiredError")
    assert (SECRET.encode() in new.read_bytes()) == (known == "")


def test_strictness_stays_until_it_is_taken_back(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=3)
    code = """
import os, sqlite3, sys
import lumocrypt
os.environ["LUMO_KEY"] = "secret"
for arguments in ({"strict": True}, {}, {"default": False}, {}):
    lumocrypt.install(**arguments)
    try:
        print(len(sqlite3.connect(sys.argv[1]).execute("SELECT * FROM t").fetchall()))
    except lumocrypt.NotEncryptedError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code, plain], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", "refused", "3", "3"]


# Checksum databases with a key around


def test_a_checksum_database_where_a_key_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither opened nor made, unless somebody says that no key is meant."""
    path, none = tmp_path / "sums.db", lumocrypt.NO_KEY
    monkeypatch.setenv("LUMO_KEY", TEXT)
    refused(path, lambda path: use(lumocrypt.connect(f"{path.as_uri()}?mode=rw", uri=True)), sqlite3.Error)
    for make in (
        lambda: lumocrypt.connect(path, cipher="checksum"),
        lambda: raw(path, "&lumo_cipher=checksum"),
        lambda: lumocrypt.attach(lumocrypt.connect(":memory:"), path, "a", cipher="checksum"),
        lambda: lumocrypt.connect(path).execute("PRAGMA lumo_cipher = 'checksum'"),
    ):
        with pytest.raises(lumocrypt.NotEncryptedError, match=r"no_key|NO_KEY"):
            make()
    assert path.read_bytes() == b""
    with contextlib.closing(lumocrypt.connect(path, none, cipher="checksum")) as connection:
        connection.execute("CREATE TABLE t (name)")
    with contextlib.closing(lumocrypt.connect(f"{path.as_uri()}?lumo_no_key=1", uri=True)) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    with contextlib.closing(lumocrypt.connect(":memory:")) as connection:
        lumocrypt.attach(connection, path, "other", none)
        assert connection.execute("SELECT * FROM other.t").fetchall() == [(1,)]
    assert lumocrypt.verify(path, key=none).ok
    lumocrypt.salvage(path, tmp_path / "saved.db", key=none)
    lumocrypt.decrypt(path, tmp_path / "plain.db", key=none)
    plain = make_plain(tmp_path / "again.db", rows=1)
    refused(plain, lambda path: lumocrypt.encrypt(path, key=None, cipher="checksum"))
    lumocrypt.encrypt(plain, key=none, cipher="checksum")
    assert lumocrypt.info(plain).cipher == "checksum"


def test_no_key_opens_nothing_that_wants_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.db"
    make_encrypted(path)
    monkeypatch.setenv("LUMO_KEY", TEXT)
    none: Any = lumocrypt.NO_KEY
    for action in (
        lambda path: use(lumocrypt.connect(path, none)),
        lambda path: use(raw(path, "&lumo_no_key=1")),
        lambda path: lumocrypt.verify(path, key=none),
        lambda path: lumocrypt.decrypt(path, key=none),
        lambda path: lumocrypt.rekey(path, key=none),
        lambda path: lumocrypt.add_key(path, key=none, new_key="x"),
    ):
        refused(path, action, lumocrypt.KeyRequiredError)
    plain = make_plain(tmp_path / "plain.db", rows=1)
    refused(plain, lambda path: lumocrypt.encrypt(path, key=none), lumocrypt.KeyRequiredError)
    refused(plain, lambda path: use(lumocrypt.connect(path, none)))
    with pytest.raises(TypeError):
        lumocrypt.unlock(path, none)
    assert repr(none) == "lumocrypt.NO_KEY"


# What a URI says twice


@pytest.mark.parametrize(
    "parameters",
    [
        f"lumo_key={quote(TEXT)}&lumo_key=other",
        f"lumo_key={quote(TEXT)}&lumo%5fkey={quote(TEXT)}",
        f"lumo_no_key=1&lumo_key={quote(TEXT)}",
        f"lumo_kye={quote(TEXT)}",
        f"LUMO_KEY={quote(TEXT)}",
        "lumo_plain=0&lumo_plain=1",
        "cache=private&cache=shared",
        "mode=rw&mode=ro",
        "lumo_uuid=12",
        "lumo_handle=00000000000000000000000000000000",
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, parameters: str) -> None:
    path = tmp_path / "app.db"
    make_encrypted(path)
    before = digest(tmp_path)
    with pytest.raises(
        sqlite3.OperationalError, match=r"twice|both|no URI parameter|given, and|UUID|unknown or used"
    ):
        use(raw(path, "&" + parameters))
    if "no_key" not in parameters and "kye" not in parameters and "LUMO" not in parameters:
        with pytest.raises(ValueError, match=r"twice|UUID|lumocrypt itself"):
            lumocrypt.connect(f"file:{quote(str(path))}?{parameters}", uri=True)
    assert digest(tmp_path) == before


def test_a_handle_and_a_key_in_the_uri(tmp_path: Path) -> None:
    from lumocrypt.engine import native

    path = tmp_path / "app.db"
    make_encrypted(path)
    handle = native.handle_new(KEY.number, {})
    with pytest.raises(sqlite3.OperationalError, match="two keys"):
        use(raw(path, f"&lumo_handle={handle}&lumo_key=other"))


# Whose key SQL may change


@pytest.mark.parametrize("known", ["path", "environment", "inherited"])
def test_sql_changes_no_key_that_its_connection_has_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    path = tmp_path / "app.db"
    make_encrypted(path)
    with contextlib.ExitStack() as stack:
        schema, connection = "main", None
        if known == "path":
            stack.enter_context(unlocked(path))
        elif known == "environment":
            monkeypatch.setenv("LUMO_KEY", TEXT)
        else:
            connection = stack.enter_context(contextlib.closing(lumocrypt.connect(path, KEY)))
            schema, path = "heir", tmp_path / "heir.db"
            connection.execute("VACUUM INTO ?", (str(path),))
            connection.execute("ATTACH ? AS heir", (str(path),))
        if connection is None:
            connection = stack.enter_context(contextlib.closing(lumocrypt.connect(path)))
        before = path.read_bytes()
        assert connection.execute(f"SELECT count(*) FROM {schema}.t").fetchone() == (3,)
        with pytest.raises(sqlite3.OperationalError, match="not shown a key"):
            connection.execute(f"PRAGMA {schema}.lumo_change_key = 'taken over'")
        with pytest.raises(lumocrypt.WrongKeyError):
            connection.execute(f"PRAGMA {schema}.lumo_key = 'guessed'")
        with pytest.raises(sqlite3.OperationalError, match="not shown a key"):
            connection.execute(f"PRAGMA {schema}.lumo_change_key = 'taken over'")
        assert path.read_bytes() == before
        # Who shows it, may.
        connection.execute(f'PRAGMA {schema}.lumo_key = "{TEXT}"')
        connection.execute(f"PRAGMA {schema}.lumo_change_key = 'mine now'")
    lumocrypt.connect(path, "mine now").close()
