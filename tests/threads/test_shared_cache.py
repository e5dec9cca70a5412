"""SQLite's shared caches: who reads and writes through somebody else's has shown the key."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

import lumocrypt
from support.known_keys import RAW

KEY = lumocrypt.Key.raw(RAW)
TEXT = f"x'{RAW.hex()}'"
WRONG = f"x'{'11' * 32}'"

Open = Callable[[Path], sqlite3.Connection]


def uri(path: Path, parameters: str = "") -> str:
    return f"file:{quote(str(path))}?cache=shared{parameters}"


def raw(path: Path, parameters: str = "") -> sqlite3.Connection:
    return sqlite3.connect(uri(path, "&vfs=lumocrypt" + parameters), uri=True)


def attach(path: Path, parameters: str = "") -> sqlite3.Connection:
    connection = lumocrypt.connect(":memory:")
    connection.execute("ATTACH ? AS other", (uri(path, parameters),))
    return connection


def attach_to_shared(path: Path) -> sqlite3.Connection:
    """A connection whose own database is on a shared cache, and with it what it attaches."""
    connection = lumocrypt.connect(uri(path.with_name("mine.db")), WRONG, uri=True)
    connection.execute("CREATE TABLE IF NOT EXISTS mine (a)")
    connection.execute("ATTACH ? AS other", (uri(path),))
    return connection


#: Somebody who has no key, or another one.
STRANGERS: dict[str, Open] = {
    "lumocrypt without": lambda path: lumocrypt.connect(uri(path), uri=True),
    "lumocrypt with another": lambda path: lumocrypt.connect(uri(path), WRONG, uri=True),
    "escaped": lambda path: lumocrypt.connect(f"file:{quote(str(path))}?c%61che=sh%61red", WRONG, uri=True),
    "sqlite3": raw,
    "sqlite3 with another": lambda path: raw(path, f"&lumo_key={WRONG}"),
    "sqlite3 as install has it": lambda path: sqlite3.connect(uri(path, "&vfs=lumocrypt%2Bplain"), uri=True),
    "attach": attach,
    "attach with another": lambda path: attach(path, f"&lumo_key={WRONG}"),
    "attach to a shared one": attach_to_shared,
    "read only": lambda path: lumocrypt.connect(uri(path, "&mode=ro&immutable=1"), WRONG, uri=True),
}


def owner_connects(path: Path) -> sqlite3.Connection:
    return lumocrypt.connect(uri(path), KEY, uri=True, isolation_level=None)


def owner_is_private(path: Path) -> sqlite3.Connection:
    return lumocrypt.connect(path, KEY, isolation_level=None)


OWNERS: dict[str, Open] = {"shared": owner_connects, "private": owner_is_private}


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    lumocrypt.install()
    lumocrypt.install(default=False)


def look(opened: Open, path: Path) -> int:
    with contextlib.closing(opened(path)) as connection:
        connection.execute("PRAGMA read_uncommitted = 1")
        return len(connection.execute(f"SELECT * FROM {table(connection)}").fetchall())


def table(connection: sqlite3.Connection) -> str:
    names = [row[1] for row in connection.execute("PRAGMA database_list")]
    return "other.t" if "other" in names else "main.t"


@pytest.mark.parametrize("state", ["idle", "reading", "writing"])
@pytest.mark.parametrize("how", STRANGERS)
@pytest.mark.parametrize("owner", OWNERS)
def test_strangers_are_kept_out(encrypted: Path, owner: str, how: str, state: str) -> None:
    """Also while its pages are cached, so that nothing has to be read; and the owner does not notice."""
    with contextlib.closing(OWNERS[owner](encrypted)) as mine:
        mine.execute("SELECT count(*) FROM t").fetchall()
        if state != "idle":
            mine.execute("BEGIN")
            mine.execute("SELECT * FROM t").fetchall()
        if state == "writing":
            mine.execute("UPDATE t SET name = 'mine' WHERE id = 1")
        before = encrypted.read_bytes()
        with pytest.raises((lumocrypt.KeyRequiredError, lumocrypt.WrongKeyError, lumocrypt.InUseError)):
            look(STRANGERS[how], encrypted)
        assert encrypted.read_bytes() == before
        assert len(mine.execute("SELECT * FROM t").fetchall()) == 500
        if state == "writing":
            mine.execute("COMMIT")
    assert lumocrypt.verify(encrypted, key=KEY).ok


def test_who_has_the_key_shares(encrypted: Path) -> None:
    """In one cache: what the other has not committed is seen, and the file is opened once."""
    opened = lumocrypt.stats()["open"]
    with (
        contextlib.closing(owner_connects(encrypted)) as one,
        contextlib.closing(lumocrypt.connect(uri(encrypted), TEXT, uri=True)) as other,
    ):
        assert lumocrypt.stats()["open"] == opened + 1
        one.execute("BEGIN")
        one.execute("UPDATE t SET name = 'half' WHERE id = 1")
        other.execute("PRAGMA read_uncommitted = 1")
        assert other.execute("SELECT name FROM t WHERE id = 1").fetchone() == ("half",)
        one.execute("ROLLBACK")
    lumocrypt.unlock(encrypted, KEY)
    try:
        with (
            contextlib.closing(owner_connects(encrypted)),
            contextlib.closing(lumocrypt.connect(uri(encrypted), uri=True)) as other,
        ):
            assert other.execute("SELECT count(*) FROM t").fetchone() == (500,)
            lumocrypt.lock(encrypted)
            with pytest.raises(lumocrypt.KeyRequiredError):
                lumocrypt.connect(uri(encrypted), uri=True)
    finally:
        lumocrypt.lock(encrypted)


def test_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with contextlib.closing(owner_connects(path)) as mine:
        for how in ("lumocrypt without", "lumocrypt with another"):
            with pytest.raises((lumocrypt.KeyRequiredError, lumocrypt.WrongKeyError)):
                STRANGERS[how](path)
        with contextlib.closing(owner_connects(path)) as other:
            mine.execute("CREATE TABLE t (a)")
            assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert lumocrypt.info(path).cipher != "checksum"


def test_another_identity_is_asked_for(encrypted: Path) -> None:
    with contextlib.closing(owner_connects(encrypted)):
        with pytest.raises(lumocrypt.WrongDatabaseError):
            lumocrypt.connect(uri(encrypted), KEY, uri=True, uuid="0" * 32)
        lumocrypt.connect(uri(encrypted), KEY, uri=True, uuid=lumocrypt.info(encrypted).uuid).close()


@pytest.mark.parametrize("parameters", ["", f"&lumo_key={TEXT}"])
def test_a_key_is_not_shown_where_others_would_not_be_asked(encrypted: Path, parameters: str) -> None:
    """Neither in the URI nor by the pragma; who joined before would be let in with it."""
    with pytest.raises(lumocrypt.InUseError, match=r"lumocrypt\.connect"):
        raw(encrypted, parameters).execute(f'PRAGMA lumo_key = "{TEXT}"')
    with (
        contextlib.closing(lumocrypt.connect(encrypted, KEY)) as connection,
        pytest.raises(lumocrypt.InUseError, match=r"lumocrypt\.connect"),
    ):
        connection.execute("ATTACH ? AS heir", (uri(encrypted.with_name("heir.db")),))


_SHARED_BY_ALL = """
import sqlite3, sys, warnings
warnings.simplefilter("ignore")
import lumocrypt
path, owner, joiner = sys.argv[1:]
lumocrypt.connect(":memory:").close()
TEXT = "x'" + bytes(range(32)).hex() + "'"
sqlite3.enable_shared_cache(True)
raw = "file:" + path + "?vfs=lumocrypt"
if owner == "connect":
    one = lumocrypt.connect(path, TEXT)
elif owner == "uri":
    one = sqlite3.connect(raw + "&lumo_key=" + TEXT, uri=True)
elif owner == "pragma":
    one = sqlite3.connect(raw, uri=True)
    one.execute('PRAGMA lumo_key = "' + TEXT + '"')
elif owner == "unlock":
    lumocrypt.unlock(path, TEXT)
    one = sqlite3.connect(raw, uri=True)
one.execute("SELECT * FROM t").fetchall()
try:
    if joiner == "open":
        two = sqlite3.connect(raw, uri=True)
    else:
        two = sqlite3.connect("file::memory:?vfs=lumocrypt", uri=True)
        two.execute("ATTACH ? AS other", (raw,))
    print(len(two.execute("SELECT * FROM t").fetchall()))
except sqlite3.Error as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(not hasattr(sqlite3, "enable_shared_cache"), reason="went with Python 3.12")
@pytest.mark.parametrize("joiner", ["open", "attach"])
@pytest.mark.parametrize("owner", ["connect", "uri", "pragma", "unlock"])
def test_where_sqlite_shares_everything(encrypted: Path, owner: str, joiner: str) -> None:
    """A connection that was told nothing, in a process where all caches are shared."""
    done = subprocess.run(
        [sys.executable, "-c", _SHARED_BY_ALL, encrypted, owner, joiner],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )
    # Who unlocks a path lets all of the process in.
    assert done.stdout.strip() == ("500" if owner == "unlock" else "KeyRequiredError"), done.stderr
