"""Which database is meant: ``uuid=``, ``--uuid``, ``lumo_uuid``, and what a path was unlocked as."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import lumocrypt
from lumocrypt.cli import main
from support.known_keys import RAW
from support.operations import digest
from support.plaintext import make_plain

KEY = lumocrypt.Key.raw(RAW)
TEXT = f"x'{RAW.hex()}'"

Pinned = Callable[[Path, Any], object]


def make(path: Path, key: Any = KEY) -> UUID:
    make_plain(path, rows=3)
    lumocrypt.encrypt(path, key=key)
    return lumocrypt.info(path).uuid


def read(connection: sqlite3.Connection) -> int:
    with contextlib.closing(connection):
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def attached(path: Path, uuid: Any) -> int:
    with contextlib.closing(lumocrypt.connect(":memory:")) as connection:
        lumocrypt.attach(connection, path, "other", KEY, uuid=uuid)
        return connection.execute("SELECT count(*) FROM other.t").fetchone()[0]


def unlocked(path: Path, uuid: Any) -> None:
    try:
        lumocrypt.unlock(path, KEY, uuid=uuid)
    finally:
        lumocrypt.lock(path)


def restored(path: Path, uuid: Any) -> object:
    backup = path.with_name("header")
    lumocrypt.backup_header(path, backup)
    try:
        return lumocrypt.restore_header(path, backup, key=KEY, uuid=uuid)
    finally:
        backup.unlink()


PINNED: dict[str, Pinned] = {
    "connect": lambda path, uuid: read(lumocrypt.connect(path, KEY, uuid=uuid)),
    "uri": lambda path, uuid: read(lumocrypt.connect(f"{path.as_uri()}?lumo_uuid={uuid}", KEY, uri=True)),
    "raw uri": lambda path, uuid: read(
        sqlite3.connect(f"{path.as_uri()}?vfs=lumocrypt&lumo_key={TEXT}&lumo_uuid={uuid}", uri=True)
    ),
    "attach": attached,
    "unlock": unlocked,
    "info": lambda path, uuid: lumocrypt.info(path, uuid=uuid),
    "keyslots": lambda path, uuid: lumocrypt.keyslots(path, uuid=uuid),
    "verify": lambda path, uuid: lumocrypt.verify(path, key=KEY, uuid=uuid),
    "salvage": lambda path, uuid: lumocrypt.salvage(path, path.with_name("saved"), key=KEY, uuid=uuid),
    "backup_header": lambda path, uuid: lumocrypt.backup_header(path, path.with_name("kept"), uuid=uuid),
    "restore_header": restored,
    "add_key": lambda path, uuid: lumocrypt.add_key(
        path, key=KEY, new_key=lumocrypt.Key.raw(bytes(32)), uuid=uuid
    ),
    "label_key": lambda path, uuid: lumocrypt.label_key(path, "x", key=KEY, uuid=uuid),
    "remove_key": lambda path, uuid: lumocrypt.remove_key(path, key=KEY, slot=1, uuid=uuid),
    "rekey": lambda path, uuid: lumocrypt.rekey(path, key=KEY, uuid=uuid),
    "change_key": lambda path, uuid: lumocrypt.change_key(path, key=KEY, new_key=KEY, uuid=uuid),
    "convert": lambda path, uuid: lumocrypt.convert(
        path, format="lumocrypt", key=KEY, new_format="lumocrypt", new_key=KEY, uuid=uuid
    ),
    "decrypt": lambda path, uuid: lumocrypt.decrypt(path, key=KEY, uuid=uuid),
}


@pytest.mark.parametrize("how", PINNED)
def test_another_database_is_refused_and_the_right_one_is_not(tmp_path: Path, how: str) -> None:
    path = tmp_path / "app.db"
    mine = make(path)
    if how == "remove_key":
        lumocrypt.add_key(path, key=KEY, new_key=lumocrypt.Key.raw(bytes(32)))
    before = digest(tmp_path)
    with pytest.raises(lumocrypt.WrongDatabaseError, match=str(mine)) as caught:
        PINNED[how](path, uuid4())
    assert digest(tmp_path) == before
    assert isinstance(caught.value, lumocrypt.CryptError)
    PINNED[how](path, mine)


def test_the_forms_of_a_uuid(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    mine = make(path)
    for form in (mine, str(mine), mine.hex, mine.hex.upper()):
        assert read(lumocrypt.connect(path, KEY, uuid=form)) == 3
    for wrong in ("", "12", str(mine)[:-1], str(mine) + "0", "{" + str(mine) + "}", "g" * 32):
        with pytest.raises(ValueError, match="UUID"):
            lumocrypt.connect(path, KEY, uuid=wrong)
    with pytest.raises(TypeError):
        lumocrypt.connect(path, KEY, uuid=mine.bytes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="differ"):
        lumocrypt.connect(f"{path.as_uri()}?lumo_uuid={uuid4()}", KEY, uri=True, uuid=mine)
    with pytest.raises(ValueError, match="memory"):
        lumocrypt.connect(":memory:", uuid=mine)


@pytest.mark.parametrize("there", ["nothing", "an empty file"])
@pytest.mark.parametrize("how", ["connect", "uri", "raw uri", "attach"])
def test_no_database_is_made_in_the_place_of_a_certain_one(tmp_path: Path, how: str, there: str) -> None:
    path = tmp_path / "app.db"
    if there == "an empty file":
        path.touch()
    before = digest(tmp_path)
    with pytest.raises((lumocrypt.WrongDatabaseError, sqlite3.OperationalError)):
        PINNED[how](path, uuid4())
    assert digest(tmp_path) == before


def test_a_passphrase_is_not_derived_from_for_another_database(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    make(path, "passphrase")
    runs = lumocrypt.stats()["kdf_runs"]
    with pytest.raises(lumocrypt.WrongDatabaseError):
        lumocrypt.connect(path, "another", uuid=uuid4())
    assert lumocrypt.stats()["kdf_runs"] == runs


# What a path was unlocked as


def replace(path: Path, other: Path) -> None:
    os.replace(shutil.copy(other, path.with_name("copy")), path)


def link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


OPENS: dict[str, Callable[[Path], object]] = {
    "connect": lambda path: read(lumocrypt.connect(path)),
    "with a key": lambda path: read(lumocrypt.connect(path, KEY)),
    "raw": lambda path: read(sqlite3.connect(f"{path.as_uri()}?vfs=lumocrypt", uri=True)),
    "shared": lambda path: read(lumocrypt.connect(f"{path.as_uri()}?cache=shared", KEY, uri=True)),
    "verify": lumocrypt.verify,
    "verify with a key": lambda path: lumocrypt.verify(path, key=KEY),
    "add_key": lambda path: lumocrypt.add_key(path, key=None, new_key=lumocrypt.Key.raw(bytes(32))),
    "rekey": lambda path: lumocrypt.rekey(path, key=None),
    "decrypt": lambda path: lumocrypt.decrypt(path, key=None),
}


@pytest.mark.parametrize("swap", [replace, link], ids=["replaced", "linked"])
@pytest.mark.parametrize("how", OPENS)
def test_an_unlocked_path_stands_for_one_database(tmp_path: Path, how: str, swap: Any) -> None:
    """Another one under the very same key is another one."""
    path, other = tmp_path / "app.db", tmp_path / "other.db"
    make(path)
    make(other)
    lumocrypt.unlock(path, KEY)
    try:
        assert read(lumocrypt.connect(path)) == 3
        swap(path, other)
        before = digest(tmp_path)
        with pytest.raises(lumocrypt.WrongDatabaseError):
            OPENS[how](path)
        assert digest(tmp_path) == before
        # Once it is meant, it is taken.
        lumocrypt.unlock(path, KEY)
        OPENS[how](path)
    finally:
        lumocrypt.lock(path)


@pytest.mark.parametrize("maker", ["this process", "somebody else"])
def test_a_path_is_bound_by_the_first_database_there(tmp_path: Path, maker: str) -> None:
    path, other = tmp_path / "app.db", tmp_path / "other.db"
    make(other)
    lumocrypt.unlock(path, KEY)
    try:
        if maker == "this process":
            with contextlib.closing(lumocrypt.connect(path)) as connection:
                connection.execute("CREATE TABLE t (a)")
        else:
            shutil.copy(other, path)
            read(lumocrypt.connect(path))
            os.unlink(other)
            make(other)
        replace(path, other)
        with pytest.raises(lumocrypt.WrongDatabaseError):
            read(lumocrypt.connect(path))
        # A file that is gone is made anew, encrypted, and counts from then on.
        path.unlink()
        with contextlib.closing(lumocrypt.connect(path)) as connection:
            connection.execute("CREATE TABLE t (a)")
        assert read(lumocrypt.connect(path)) == 0
    finally:
        lumocrypt.lock(path)


def test_what_this_process_puts_there_itself_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    make(path)
    lumocrypt.unlock(path, KEY)
    try:
        before = lumocrypt.info(path).uuid
        lumocrypt.convert(path, format="lumocrypt", key=None, new_format="lumocrypt", new_key=KEY)
        assert lumocrypt.info(path).uuid != before
        assert read(lumocrypt.connect(path)) == 3
        lumocrypt.decrypt(path, key=None)
        lumocrypt.encrypt(path, key=None)
        assert read(lumocrypt.connect(path)) == 3
        lumocrypt.rekey(path, key=None)
        assert read(lumocrypt.connect(path)) == 3
    finally:
        lumocrypt.lock(path)


def test_a_name_that_led_through_an_unlocked_link(tmp_path: Path) -> None:
    """Each name that a path went by is promised, not only the last."""
    first, second, link = tmp_path / "v1.db", tmp_path / "v2.db", tmp_path / "current.db"
    make(first)
    make(second)
    link.symlink_to(first)
    lumocrypt.unlock(link, KEY)
    try:
        assert read(lumocrypt.connect(first)) == 3
        link.unlink()
        link.symlink_to(second)
        with pytest.raises(lumocrypt.WrongDatabaseError):
            read(lumocrypt.connect(link))
        assert read(lumocrypt.connect(first)) == 3
        assert lumocrypt.lock(first)
        assert not lumocrypt.lock(link)
    finally:
        lumocrypt.lock(link)


# The command line


def run(*arguments: object) -> tuple[int, str]:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        return main([str(each) for each in arguments]), errors.getvalue()


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "info": lambda path: ["info", path],
    "key list": lambda path: ["key", "list", path],
    "header backup": lambda path: ["header", "backup", path, path.with_name("header")],
    "verify": lambda path: ["verify", path],
    "salvage": lambda path: ["salvage", path, path.with_name("saved")],
    "shell": lambda path: ["shell", path, "SELECT 1 FROM t"],
    "key label": lambda path: ["key", "label", path, "x"],
    "key add": lambda path: ["key", "add", path, "--new-key-file", path.with_name("new")],
    "key change": lambda path: ["key", "change", path, "--new-key-file", path.with_name("new")],
    "key remove": lambda path: ["key", "remove", path, "--slot", 1],
    "rekey": lambda path: ["rekey", path],
    "header restore": lambda path: ["header", "restore", path, path.with_name("before")],
    "convert": lambda path: [
        *("convert", path, "--from", "lumocrypt", "--to", "lumocrypt"),
        *("--new-key-file", path.with_name("new")),
    ],
    "decrypt": lambda path: ["decrypt", path],
}
KEYLESS = {"info", "key list", "header backup"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_a_uuid(tmp_path: Path, name: str) -> None:
    path = tmp_path / "app.db"
    mine = make(path)
    (tmp_path / "key").write_text(TEXT)
    (tmp_path / "new").write_text(f"x'{'22' * 32}'")
    if name == "key remove":
        lumocrypt.add_key(path, key=KEY, new_key=lumocrypt.Key.raw(bytes(32)))
    if name == "header restore":
        lumocrypt.backup_header(path, tmp_path / "before")
    given = [] if name in KEYLESS else ["--key-file", tmp_path / "key"]
    before = digest(tmp_path)
    code, errors = run(*COMMANDS[name](path), *given, "--uuid", uuid4())
    assert code == 4, errors
    assert "another database" in errors
    assert digest(tmp_path) == before
    code, errors = run(*COMMANDS[name](path), *given, "--uuid", "nonsense")
    assert code == 2, errors
    code, errors = run(*COMMANDS[name](path), *given, "--uuid", mine.hex)
    assert code == 0, errors


def test_the_error_as_json(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    make(path)
    code, errors = run("info", path, "--json", "--uuid", uuid4())
    answer = json.loads(errors)
    assert (code, answer["error"], answer["exit_code"]) == (4, "WrongDatabaseError", 4)
