"""``factory=``: the caller's class gets the caller's arguments, and the database is encrypted."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.plaintext import MARKER

SQLITE = b"SQLite format 3"


class Remembers(sqlite3.Connection):
    """Keeps what it was called with."""

    def __init__(self, database: Any, *arguments: Any, **named: Any) -> None:
        self.given = (database, arguments, named)
        super().__init__(database, *arguments, **named)


class ByName(sqlite3.Connection):
    """Calls its base class past whatever is between them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.given = (arguments[0],)
        sqlite3.Connection.__init__(self, *arguments, **named)


class Slotted(sqlite3.Connection):
    __slots__ = ()


def by_function(database: Any, **named: Any) -> sqlite3.Connection:
    return sqlite3.Connection(database, **named)


def use(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (?)", (MARKER,))
    connection.commit()
    connection.close()
    assert not path.read_bytes().startswith(SQLITE)
    assert MARKER.encode() not in path.read_bytes()


@pytest.mark.parametrize("as_text", [True, False])
def test_a_class_gets_the_callers_arguments(tmp_path: Path, key: lumocrypt.Key, as_text: bool) -> None:
    path = tmp_path / "a b?.db"
    given = str(path) if as_text else path
    connection = lumocrypt.connect(given, key=key, factory=Remembers, timeout=3.5)
    assert type(connection) is Remembers
    database, arguments, named = connection.given
    assert database is given
    assert arguments == ()
    assert named.pop("factory") is not None
    assert named == {"timeout": 3.5}
    use(connection, path)


def test_a_uri_is_handed_on_without_its_key(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with pytest.warns(UserWarning, match="visible"):
        connection = lumocrypt.connect(
            f"file:{path}?mode=rwc&lumo_key=abc%20def", uri=True, factory=Remembers
        )
    assert isinstance(connection, Remembers)
    database, _, named = connection.given
    assert "abc" not in database
    assert database.startswith(f"file:{path}?")
    assert named["uri"] is True
    use(connection, path)
    lumocrypt.connect(path, key="abc def").close()


@pytest.mark.parametrize("factory", [ByName, Slotted, by_function])
def test_nothing_is_opened_past_the_engine(tmp_path: Path, key: lumocrypt.Key, factory: Any) -> None:
    path = tmp_path / "a.db"
    connection = lumocrypt.connect(path, key=key, factory=factory)
    assert isinstance(connection, factory if isinstance(factory, type) else sqlite3.Connection)
    use(connection, path)


def test_what_a_class_makes_of_the_name_is_opened_with_the_key(tmp_path: Path, key: lumocrypt.Key) -> None:
    class Elsewhere(sqlite3.Connection):
        def __init__(self, database: str, **named: Any) -> None:
            super().__init__(database + ".other", **named)

    path = tmp_path / "a.db"
    use(lumocrypt.connect(str(path), key=key, factory=Elsewhere), tmp_path / "a.db.other")
    assert not path.exists()
    lumocrypt.connect(tmp_path / "a.db.other", key=key).execute("SELECT * FROM t")


def test_a_class_that_opens_nothing_is_an_error(tmp_path: Path, key: lumocrypt.Key) -> None:
    class Nothing(sqlite3.Connection):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            pass

    with pytest.raises(lumocrypt.CryptError, match="factory"):
        lumocrypt.connect(tmp_path / "a.db", key=key, factory=Nothing)
    assert list(tmp_path.iterdir()) == []


def test_the_errors_of_opening_come_through(encrypted: Path) -> None:
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(encrypted, key="x'" + "11" * 32 + "'", factory=Remembers)
    # The thread is not left in the middle of it.
    sqlite3.connect(":memory:", factory=Remembers).close()


def test_in_memory(key: lumocrypt.Key) -> None:
    connection = lumocrypt.connect(":memory:", key=key, factory=Remembers)
    assert isinstance(connection, Remembers)
    assert connection.given[0] == ":memory:"
    connection.close()
