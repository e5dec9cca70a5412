"""Whatever goes wrong with a key, the local variables of the package's frames hold none afterwards.

Error reporters record them: of every frame of a traceback, and of the exceptions that led to it.
"""

from __future__ import annotations

import gc
import inspect
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pytest

import lumocrypt
from support.known_keys import FAST, RAW
from support.plaintext import make_plain

SECRET = "a secret that no report may hold"
RAW_SECRET = bytes(range(100, 132))
FORMS = (SECRET, SECRET.encode().hex(), quote(SECRET), RAW_SECRET.hex(), repr(RAW_SECRET)[2:-1])


class Breaks(Exception):
    """What a progress function raises."""


def breaks(*_: object) -> None:
    raise Breaks


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a database of each sort."""
    make_plain(tmp_path / "plain.db", rows=3)
    make_plain(tmp_path / "app.db", rows=3)
    lumocrypt.encrypt(tmp_path / "app.db", key=lumocrypt.Key.raw(RAW))
    make_plain(tmp_path / "mine.db", rows=3)
    lumocrypt.encrypt(tmp_path / "mine.db", key=SECRET, kdf=FAST)
    (tmp_path / "random.db").write_bytes(b"\1" * 100_000)
    return tmp_path


def uri(path: Path, parameters: str) -> str:
    return f"file:{quote(str(path))}?{parameters}"


Failing = Callable[[Path, Any], object]
KEYED = f"lumo_key={quote(SECRET)}"

#: Ways to fail: with a key that may be text, a Key, or bytes where none are taken.
WAYS: dict[str, Failing] = {
    "engine": lambda at, key: lumocrypt.connect(at / "new.db", key, engine="x"),
    "cipher": lambda at, key: lumocrypt.connect(at / "new.db", key, cipher="x"),
    "checksum": lambda at, key: lumocrypt.connect(at / "new.db", key, cipher="checksum"),
    "kdf": lambda at, key: lumocrypt.connect(at / "new.db", key, kdf="x"),
    "kdf_limit": lambda at, key: lumocrypt.connect(at / "new.db", key, kdf_limit={"x": 1}),
    "io": lambda at, key: lumocrypt.connect(at / "new.db", key, io="x"),  # type: ignore[arg-type]
    "uuid": lambda at, key: lumocrypt.connect(at / "new.db", key, uuid="x"),
    "another uuid": lambda at, key: lumocrypt.connect(at / "app.db", key, uuid="0" * 32),
    "no such argument": lambda at, key: lumocrypt.connect(at / "new.db", key, nonsense=1),
    "no database": lambda at, key: lumocrypt.connect(7, key),  # type: ignore[arg-type]
    "no folder": lambda at, key: lumocrypt.connect(at / "no" / "app.db", key),
    "wrong": lambda at, key: lumocrypt.connect(at / "app.db", key),
    "plaintext": lambda at, key: lumocrypt.connect(at / "plain.db", key),
    "factory": lambda at, key: lumocrypt.connect(at / "new.db", key, factory=breaks),
    "twice in the uri": lambda at, key: lumocrypt.connect(
        uri(at / "app.db", f"{KEYED}&{KEYED}"), key, uri=True
    ),
    "uri with a handle": lambda at, key: lumocrypt.connect(
        uri(at / "app.db", f"{KEYED}&lumo_handle=00"), key, uri=True
    ),
    "uri with another key": lambda at, key: lumocrypt.connect(
        uri(at / "app.db", f"{KEYED}&lumo_uuid=1"), key, uri=True
    ),
    "uri not in utf-8": lambda at, key: lumocrypt.connect(uri(at / "app.db", f"{KEYED}%ff"), key, uri=True),
    "uri and no vfs": lambda at, key: lumocrypt.connect(uri(at / "app.db", f"{KEYED}&vfs=x"), key, uri=True),
    "shared": lambda at, key: lumocrypt.connect(uri(at / "app.db", "cache=shared"), key, uri=True),
    "attach": lambda at, key: lumocrypt.attach(lumocrypt.connect(":memory:"), at / "app.db", "a", key),
    "attach to nothing": lambda at, key: lumocrypt.attach(None, at / "app.db", "a", key),
    "attach, kdf": lambda at, key: lumocrypt.attach(None, at / "app.db", "a", key, kdf="x"),
    "unlock": lambda at, key: lumocrypt.unlock(at / "app.db", key),
    "unlock a number": lambda at, key: lumocrypt.unlock(7, key),  # type: ignore[arg-type]
    "unlock, kdf_limit": lambda at, key: lumocrypt.unlock(at / "app.db", key, kdf_limit={"x": 1}),
    "encrypt": lambda at, key: lumocrypt.encrypt(at / "app.db", key=key),
    "encrypt nothing": lambda at, key: lumocrypt.encrypt(at / "no.db", key=key),
    "encrypt, progress": lambda at, key: lumocrypt.encrypt(
        at / "plain.db", key=key, kdf=FAST, progress=breaks
    ),
    "encrypt, format": lambda at, key: lumocrypt.encrypt(at / "plain.db", key=key, format="x"),  # type: ignore[arg-type]
    "decrypt": lambda at, key: lumocrypt.decrypt(at / "app.db", key=key),
    "decrypt, gosqlite": lambda at, key: lumocrypt.decrypt(at / "random.db", key=key, format="gosqlite"),
    "convert": lambda at, key: lumocrypt.convert(
        at / "app.db", format="lumocrypt", key=key, new_format="gosqlite", new_key=key
    ),
    "convert, no key": lambda at, key: lumocrypt.convert(
        at / "mine.db", format="lumocrypt", key=key, new_format="lumocrypt", new_key=None
    ),
    "verify": lambda at, key: lumocrypt.verify(at / "app.db", key=key),
    "verify, progress": lambda at, key: lumocrypt.verify(at / "mine.db", key=SECRET, progress=breaks),
    "salvage": lambda at, key: lumocrypt.salvage(at / "app.db", at / "new.db", key=key),
    "salvage to a file": lambda at, key: lumocrypt.salvage(at / "mine.db", at / "app.db", key=key),
    "salvage, progress": lambda at, key: lumocrypt.salvage(
        at / "mine.db", at / "new.db", key=SECRET, progress=breaks
    ),
    "rekey": lambda at, key: lumocrypt.rekey(at / "app.db", key=key, new_key=key, other_keys=[key]),
    "rekey, kdf": lambda at, key: lumocrypt.rekey(at / "mine.db", key=key, kdf="x"),
    "rekey, others": lambda at, key: lumocrypt.rekey(at / "mine.db", key=key, other_keys=[None]),  # type: ignore[list-item]
    "rekey, progress": lambda at, key: lumocrypt.rekey(at / "mine.db", key=SECRET, progress=breaks),
    "add_key": lambda at, key: lumocrypt.add_key(at / "app.db", key=key, new_key=key, kdf=FAST),
    "add_key, label": lambda at, key: lumocrypt.add_key(
        at / "mine.db", key=SECRET, new_key=SECRET + "2", kdf=FAST, label="x" * 100
    ),
    "change_key": lambda at, key: lumocrypt.change_key(at / "app.db", key=key, new_key=key, kdf=FAST),
    "remove_key": lambda at, key: lumocrypt.remove_key(at / "mine.db", key=SECRET, slot=77),
    "label_key": lambda at, key: lumocrypt.label_key(at / "app.db", "x", key=key),
    "restore_header": lambda at, key: lumocrypt.restore_header(at / "app.db", at / "mine.db", key=key),
    "import_sqlcipher": lambda at, key: lumocrypt.import_sqlcipher(
        at / "random.db", at / "new.db", source_key=key, key=key
    ),
    "crypto_vfs": lambda at, key: lumocrypt.crypto_vfs(key, "x"),
    "derive_key": lambda at, key: lumocrypt.derive_key(key, b"short"),
    "Key.raw": lambda at, key: lumocrypt.Key.raw(RAW_SECRET + b"x"),
    "Key.passphrase": lambda at, key: lumocrypt.Key.passphrase(SECRET + "\0"),
    "Key.parse": lambda at, key: lumocrypt.Key.parse(f"x'{RAW_SECRET.hex()}0'"),
    "Key": lambda at, key: lumocrypt.Key(SECRET + "\ud800"),
}


def frames(error: BaseException) -> list[tuple[str, dict[str, Any]]]:
    """The variables of each frame that is not the test's own, also of what led to the error."""
    found: list[tuple[str, dict[str, Any]]] = []
    pending: list[BaseException | None] = [error]
    while pending:
        error_ = pending.pop()
        if error_ is None:
            continue
        trace: TracebackType | None = error_.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            if frame.f_code.co_filename != __file__:
                found.append((f"{frame.f_code.co_filename}:{frame.f_code.co_name}", dict(frame.f_locals)))
            trace = trace.tb_next
        pending += [error_.__cause__, error_.__context__]
    return found


def reveals(value: object, depth: int = 0) -> bool:
    """Whether a key, or its text, can be found in what a variable refers to."""
    if isinstance(value, lumocrypt.Key):
        return True
    try:
        text = repr(value)
    except AttributeError:
        # Half made.
        text = ""
    if any(form in text for form in FORMS):
        return True
    return depth < 4 and any(
        reveals(inner, depth + 1)
        for inner in gc.get_referents(value)
        if not (
            inspect.ismodule(inner)
            or inspect.isclass(inner)
            or inspect.isroutine(inner)
            or inspect.isframe(inner)
        )
        and not isinstance(inner, BaseException | TracebackType)
        and inner is not globals()
    )


@pytest.mark.parametrize("form", ["text", "key", "bytes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_key_stays_in_a_traceback(place: Path, way: str, form: str) -> None:
    key = {"text": SECRET, "key": lumocrypt.Key.raw(RAW_SECRET), "bytes": RAW_SECRET}[form]
    with pytest.raises((sqlite3.Error, ValueError, TypeError, OSError, AttributeError, Breaks)) as caught:
        WAYS[way](place, key)
    del key
    assert not any(form in str(caught.value) for form in FORMS)
    found = frames(caught.value)
    for name, variables in found:
        for variable, value in variables.items():
            assert not reveals(value), f"{variable} in {name}"


def test_every_function_that_takes_a_key_is_tried() -> None:
    takes = {
        name
        # Asked for each, since they are loaded when first used.
        for name, value in ((name, getattr(lumocrypt, name)) for name in lumocrypt.__all__)
        if inspect.isfunction(value)
        and {"key", "new_key", "passphrase", "source_key"} & set(inspect.signature(value).parameters)
    }
    code = "".join(inspect.getsource(inspect.getmodule(test_no_key_stays_in_a_traceback)))  # type: ignore[arg-type]
    assert [name for name in sorted(takes) if f"lumocrypt.{name}(" not in code] == []
    assert len(takes) > 12


def test_the_callers_frames_stay_as_they_are(place: Path) -> None:
    """Only the package's are emptied: a report without the caller's would help nobody."""

    class Mine(sqlite3.Connection):
        def __init__(self, *_: object, **__: object) -> None:
            mine = "still here"
            raise Breaks(mine)

    with pytest.raises(Breaks) as caught:
        lumocrypt.connect(place / "mine.db", SECRET, factory=Mine)
    trace = caught.value.__traceback__
    names: list[str] = []
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        if trace.tb_frame.f_code.co_name == "__init__":
            assert trace.tb_frame.f_locals["mine"] == "still here"
        trace = trace.tb_next
    assert "__init__" in names
