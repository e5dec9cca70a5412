"""The URI that SQLite is given, checked by SQLite itself."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lumocrypt
from lumocrypt.engine.uri import Target, parse

# What a file name can hold, but for the separator and NUL.
_names = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) < 200)


def sqlite_sees(uri: str) -> str:
    """The path that SQLite makes of a URI; creates the file."""
    connection = sqlite3.connect(uri, uri=True)
    connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    connection.close()
    return path


@given(name=_names)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_name_reaches_sqlite_unchanged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    target = parse(str(path), uri=False)
    assert target.kind == "file"
    assert target.path == str(path)
    assert sqlite_sees(target.build("unix")) == str(path)
    assert path.exists()
    path.unlink()


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "100%",
        "%41",
        "what?",
        "#1",
        "a&b=c",
        "file:x",
        "file:x?mode=memory",
        "x?vfs=unix",
        "ä€😀",
        "+",
        "a:b",
    ],
)
def test_relative_names_with_special_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_sees(parse(name, uri=False).build("unix")) == str(tmp_path / name)
    connection = lumocrypt.connect("enc " + name, key="x'" + "00" * 32 + "'")
    connection.execute("CREATE TABLE t (a)")
    assert connection.execute("PRAGMA database_list").fetchone()[2] == str(tmp_path / ("enc " + name))
    connection.close()
    assert sorted(os.listdir(tmp_path)) == sorted([name, "enc " + name])


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9"
    target = parse(name, uri=False)
    assert os.fsencode(target.path) == name
    connection = sqlite3.connect(target.build("unix"), uri=True)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    assert os.path.exists(name)


def test_two_slashes_are_not_an_authority(tmp_path: Path) -> None:
    path = "/" + str(tmp_path / "a.db")
    assert path.startswith("//")
    assert parse(path, uri=False).path == path
    assert os.path.samefile(sqlite_sees(parse(path, uri=False).build("unix")), path)


def test_a_callers_uri_is_kept() -> None:
    target = parse("file:a%20b.db?mode=ro&immutable=1&cache=private&vfs=unix-excl&my%20own=1#part", uri=True)
    assert target == Target(
        "file",
        "a%20b.db",
        (("mode", "ro"), ("immutable", "1"), ("cache", "private"), ("my%20own", "1")),
        "unix-excl",
    )
    assert target.path == "a b.db"
    assert target.build("V", more="2") == (
        "file:a%20b.db?mode=ro&immutable=1&cache=private&my%20own=1&more=2&vfs=V"
    )
    # Unless asked otherwise a cache is nobody else's, whatever SQLite was told.
    assert parse("file:a?mode=ro", uri=True).build("V") == "file:a?mode=ro&cache=private&vfs=V"
    assert parse("file:a?c%61che=sh%61red", uri=True).build("V") == "file:a?c%61che=sh%61red&vfs=V"
    assert parse("file:a?c%61che=sh%61red", uri=True).shares_cache


@pytest.mark.parametrize(
    "uri", ["file:///x/y.db", "file:/x/y.db", "file://localhost/x/y.db", "file:///x/y.db?a=b"]
)
def test_the_forms_of_an_absolute_uri(uri: str) -> None:
    assert parse(uri, uri=True).path == "/x/y.db"


def test_a_uri_needs_uri_true() -> None:
    assert parse("file:a?mode=ro", uri=False).path == "file:a?mode=ro"
    assert parse("a?mode=ro", uri=True).path == "a?mode=ro"


@pytest.mark.parametrize(
    ("database", "kind"),
    [
        (":memory:", "memory"),
        ("file::memory:", "memory"),
        ("file:%3Amemory%3A", "memory"),
        ("file:x?mode=memory&cache=shared", "memory"),
        ("file:/x?vfs=memdb", "memory"),
        ("", "temporary"),
        ("file:", "temporary"),
        ("file:?cache=private", "temporary"),
        ("file:x", "file"),
    ],
)
def test_kinds(database: str, kind: str) -> None:
    assert parse(database, uri=True).kind == kind


def test_the_key_leaves_the_uri() -> None:
    target = parse("file:x?lumo_key=a%20b%26c&mode=ro", uri=True)
    assert target.key_text == "a b&c"
    assert "lumo_key" not in target.build("v")
    assert "a%20b" not in target.build("v")
    assert "a b" not in repr(target)
    # The name may be escaped, too; SQLite decodes it.
    assert parse("file:x?lumo%5Fkey=secret", uri=True).key_text == "secret"


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        parse("a\0b", uri=False)
    with pytest.raises(ValueError, match="lumo_handle"):
        parse("file:x?lumo_handle=00", uri=True)
    with pytest.raises(ValueError, match="UTF-8"):
        parse("file:x?lumo_key=%ff", uri=True)
    for wrong in (None, 17, [], object()):
        with pytest.raises(TypeError):
            parse(wrong, uri=False)  # type: ignore[arg-type]
