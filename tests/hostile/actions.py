"""Everything that reads a file: each command, and each public function that takes a path."""

from __future__ import annotations

import contextlib
import io
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lumocrypt
from lumocrypt.cli import main
from support.as_it_is import seal

from .conduct import Outcome
from .originals import CHEAP, NAME

_NEW = "x'" + "77" * 32 + "'"
_CHEAP_TEXT = "t=2,m=19456,p=1"


@dataclass(slots=True)
class Place:
    """A folder with the files, and the text of the key that may open them."""

    folder: Path
    key: str | None
    _out: int = field(default=0)

    @property
    def database(self) -> Path:
        return self.folder / NAME

    def out(self) -> str:
        """A path where nothing is."""
        self._out += 1
        return str(self.folder / f"out{self._out}")

    def key_options(self, prefix: str = "", text: str | None = None) -> list[str]:
        """Options that name a file with a key."""
        text = text or self.key
        if text is None:
            return []
        file = self.folder / f"{prefix}key"
        file.write_text(text)
        return [f"--{prefix}key-file", str(file)]


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def command(*arguments: str) -> Outcome:
    """Runs the command line in this process."""
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="surrogateescape", write_through=True)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), _signals_kept():
        code = main(list(arguments))
    printed.flush()
    printed.seek(0)
    return Outcome(code, printed.read())


def _query(place: Place) -> None:
    with contextlib.closing(lumocrypt.connect(place.database, key=place.key)) as connection:
        connection.execute("PRAGMA lumo_status").fetchall()
        connection.execute("PRAGMA integrity_check(5)").fetchall()
        connection.execute("SELECT * FROM t LIMIT 1000").fetchall()


def _write(place: Place) -> None:
    with contextlib.closing(lumocrypt.connect(place.database, key=place.key)) as connection:
        connection.execute("CREATE TABLE written (a)")
        connection.execute("INSERT INTO written VALUES (zeroblob(5000))")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _unlock(place: Place) -> None:
    lumocrypt.unlock(place.database, place.key or _NEW)
    try:
        lumocrypt.connect(place.database).close()
        lumocrypt.verify(place.database)
    finally:
        lumocrypt.lock(place.database)


def _pragma_key(place: Place) -> None:
    uri = f"file:{place.database}?vfs=lumocrypt"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.execute("PRAGMA lumo_status").fetchall()
        connection.execute(f"PRAGMA lumo_key='{(place.key or _NEW).replace(chr(39), chr(39) * 2)}'")
        connection.execute("PRAGMA lumo_status").fetchall()
        connection.execute(f"PRAGMA lumo_rekey='{_NEW.replace(chr(39), chr(39) * 2)}'")
        connection.execute("SELECT * FROM t").fetchall()


def _attach(place: Place) -> None:
    with contextlib.closing(lumocrypt.connect(":memory:")) as connection:
        lumocrypt.attach(connection, place.database, "other", key=place.key)
        connection.execute("SELECT * FROM other.t").fetchall()


def _gosqlite(place: Place) -> None:
    key = (
        bytes.fromhex((place.key or _NEW)[2:-1]) if (place.key or _NEW).startswith("x'") else bytes(range(32))
    )
    with (
        lumocrypt.crypto_vfs(key, page_size=512) as vfs,
        contextlib.closing(sqlite3.connect(f"file:{place.database}?vfs={vfs.name}", uri=True)) as connection,
    ):
        connection.execute("PRAGMA lumo_status").fetchall()
        connection.execute("SELECT * FROM t").fetchall()
        connection.execute("UPDATE t SET text = 'x'")


class _NoService:
    """A client of a key-management service that unwraps nothing."""

    def decrypt(self, **_: Any) -> dict[str, Any]:
        raise RuntimeError("InvalidCiphertextException")


def _kms(place: Place) -> None:
    arn = "arn:aws:kms:eu-west-1:111122223333:key/" + "0" * 36
    lumocrypt.connect(place.database, key=lumocrypt.KmsKey(arn, client=_NoService())).close()


def _keys(place: Place) -> None:
    lumocrypt.add_key(place.database, key=place.key, new_key=_NEW, kdf=CHEAP)
    lumocrypt.label_key(place.database, "label", key=_NEW)
    lumocrypt.remove_key(place.database, key=_NEW)


def _sealed(place: Place, cipher: str | None, key: str | None, *then: str) -> Outcome:
    """Seals what is there as it is, and looks at that."""
    sealed = place.folder / "sealed.db"
    try:
        seal(place.database, sealed, cipher=cipher, key=None if key is None else lumocrypt.Key(key))
    except ValueError:
        # It does not begin like a database.
        return Outcome(None)
    outs = [place.out()] if then[0] == "salvage" else []
    more = ["SELECT * FROM t LIMIT 1000"] if then[0] == "shell" else []
    return command(then[0], str(sealed), *outs, *more, *then[1:], *place.key_options(text=key))


_Run = Callable[[Place], Any]


def _cli(
    *words: str, keyed: bool = True, out: bool = False, more: Callable[[Place], list[str]] | None = None
) -> _Run:
    def run(place: Place) -> Outcome:
        tail = [place.out()] if out else []
        tail += more(place) if more else []
        return command(*words, str(place.database), *tail, *(place.key_options() if keyed else []))

    return run


def _new_key(place: Place) -> list[str]:
    return place.key_options("new-", _NEW)


def _backup(place: Place) -> list[str]:
    backup = place.folder / "header"
    return [str(backup if backup.exists() else place.database)]


#: What takes a lumocrypt database, or finds that the file is none.
ACTIONS: dict[str, _Run] = {
    "info": _cli("info", keyed=False),
    "info --json": _cli("info", "--json", keyed=False),
    "key list": _cli("key", "list", keyed=False),
    "key list --json": _cli("key", "list", "--json", keyed=False),
    "key label": _cli("key", "label", more=lambda _: ["text"]),
    "key add": _cli("key", "add", "--kdf", _CHEAP_TEXT, more=_new_key),
    "key change --json": _cli("key", "change", "--json", more=_new_key),
    "key remove": _cli("key", "remove"),
    "verify": _cli("verify"),
    "verify --json": _cli("verify", "--json"),
    "salvage": _cli("salvage", out=True),
    "salvage --json": _cli("salvage", "--json", out=True),
    "decrypt": _cli("decrypt", out=True),
    "decrypt in place": _cli("decrypt"),
    "encrypt": _cli("encrypt", out=True),
    "convert": _cli("convert", "--from", "lumocrypt", "--to", "gosqlite", out=True, more=_new_key),
    "header backup": _cli("header", "backup", keyed=False, out=True),
    "header restore": _cli("header", "restore", more=_backup),
    "rekey": _cli("rekey", "--drop-other-slots", "--wait", "1"),
    "shell": _cli("shell", more=lambda _: ["SELECT count(*) FROM t", ".tables", ".dump"]),
    "lumocrypt.connect": _query,
    "lumocrypt.connect to write": _write,
    "lumocrypt.unlock": _unlock,
    "lumocrypt.attach": _attach,
    "PRAGMA lumo_key": _pragma_key,
    "lumocrypt.add_key": _keys,
    "lumocrypt.KmsKey": _kms,
    "lumocrypt.keyslots": lambda place: lumocrypt.keyslots(place.database),
}
#: What takes other files.
FOREIGN: dict[str, _Run] = {
    "import-sqlcipher": _cli("import-sqlcipher", out=True, more=_new_key),
    "decrypt --format gosqlite": _cli("decrypt", "--format", "gosqlite", out=True),
    "convert from gosqlite": _cli(
        "convert", "--from", "gosqlite", "--to", "lumocrypt", out=True, more=_new_key
    ),
    "lumocrypt.crypto_vfs": _gosqlite,
}
#: What is done with a plaintext database, or one that is sealed as it is.
SEALED: dict[str, _Run] = {
    "encrypt": _cli("encrypt", out=True, more=lambda place: place.key_options(text=_NEW)),
    "salvage of checksums": lambda place: _sealed(place, "checksum", None, "salvage"),
    "salvage": lambda place: _sealed(place, None, _NEW, "salvage", "--json"),
    "verify": lambda place: _sealed(place, "checksum", None, "verify"),
    "shell": lambda place: _sealed(place, "checksum", None, "shell"),
    "rekey": lambda place: _sealed(place, None, _NEW, "rekey"),
    "decrypt": lambda place: _sealed(place, "checksum", None, "decrypt"),
}
#: A file may be the wrong one for what was asked, which these say with a ValueError.
USAGE = frozenset(
    {"header restore", "rekey", "lumocrypt.unlock", "convert from gosqlite", "decrypt --format gosqlite"}
)


def outcome_of(action: _Run, place: Place) -> Outcome:
    """Carries out an action."""
    result = action(place)
    return result if isinstance(result, Outcome) else Outcome(None)
