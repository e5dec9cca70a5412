"""Keys: their forms, and that they do not get out."""

from __future__ import annotations

import copy
import gc
import pickle
import traceback
import warnings
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt import Key
from lumocrypt.engine import native
from support.known_keys import FAST, RAW

SECRET = "a secret that must not be seen"


def test_hex_text_is_the_raw_key(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    lumocrypt.connect(path, key=Key.raw(RAW)).execute("CREATE TABLE t (a)").connection.close()
    for text in (f"x'{RAW.hex()}'", f"x'{RAW.hex().upper()}'"):
        connection = lumocrypt.connect(path, key=text)
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
        connection.close()


def test_a_passphrase_may_look_like_hex(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    text = f"x'{RAW.hex()}'"
    lumocrypt.connect(path, key=Key.passphrase(text), kdf=FAST).execute(
        "CREATE TABLE t (a)"
    ).connection.close()
    lumocrypt.connect(path, key=Key.passphrase(text)).close()
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(path, key=text)


@pytest.mark.parametrize("material", [bytes(32), bytearray(32), memoryview(bytes(32))])
def test_bytes_are_a_type_error_that_names_key_raw(tmp_path: Path, material: object) -> None:
    for use in (
        lambda: lumocrypt.connect(tmp_path / "a.db", key=material),  # type: ignore[arg-type]
        lambda: Key.parse(material),  # type: ignore[arg-type]
        lambda: Key(material),  # type: ignore[arg-type]
        lambda: Key.passphrase(material),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"Key\.raw"):
            use()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [17, 1.5, object(), ["x"]])
def test_other_types_are_type_errors(tmp_path: Path, number: object) -> None:
    with pytest.raises(TypeError):
        lumocrypt.connect(tmp_path / "a.db", key=number)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "\0", "a\0b", "x''", "x'00'", f"x'{'0' * 63}'", f"x'{'0' * 65}'", f"x'{'g' * 64}'", "x'", "\ud800"],
)
def test_malformed_texts_are_value_errors(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        lumocrypt.connect(tmp_path / "a.db", key=text)
    assert list(tmp_path.iterdir()) == []


def test_raw_keys_have_32_bytes() -> None:
    for length in (0, 16, 31, 33, 64):
        with pytest.raises(ValueError, match="32"):
            Key.raw(bytes(length))
    with pytest.raises(TypeError):
        Key.raw("x" * 32)  # type: ignore[arg-type]


def test_the_engine_copies_a_raw_key(tmp_path: Path) -> None:
    material = bytearray(RAW)
    key = Key.raw(material)
    material[:] = bytes(32)
    path = tmp_path / "app.db"
    lumocrypt.connect(path, key=key).execute("CREATE TABLE t (a)").connection.close()
    lumocrypt.connect(path, key=Key.raw(RAW)).close()


def test_random_keys_differ(tmp_path: Path) -> None:
    key = Key.random()
    path = tmp_path / "app.db"
    lumocrypt.connect(path, key=key).execute("CREATE TABLE t (a)").connection.close()
    lumocrypt.connect(path, key=key).close()
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(path, key=Key.random())


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(lumocrypt.KeyRequiredError, match="MY_KEY"):
        Key.from_env("MY_KEY")
    monkeypatch.setenv("MY_KEY", "word")
    assert Key.from_env("MY_KEY").kind == "passphrase"
    monkeypatch.setenv("LUMO_KEY", f"x'{RAW.hex()}'")
    assert Key.from_env().kind == "raw"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_keys_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(Key(SECRET), protocol)


def test_copies_are_the_key_itself() -> None:
    key = Key(SECRET)
    assert copy.copy(key) is key
    assert copy.deepcopy({"key": key})["key"] is key


def test_nothing_about_a_key_shows_it() -> None:
    key = Key(SECRET)
    for text in (repr(key), str(key), f"{key}", repr(dir(key)), repr(getattr(key, "__dict__", ""))):
        assert SECRET not in text
    assert RAW.hex() not in repr(Key.raw(RAW))
    assert str(key.number) not in repr(key)


def test_a_dropped_key_is_gone_from_the_engine() -> None:
    key = Key(SECRET)
    number = key.number
    native.handle_new(number, {})
    del key
    gc.collect()
    with pytest.raises(ValueError, match="no such key"):
        native.handle_new(number, {})


def test_a_connection_outlives_its_key(tmp_path: Path) -> None:
    key = Key.random()
    connection = lumocrypt.connect(tmp_path / "app.db", key=key)
    del key
    gc.collect()
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


_EXPECTED = (lumocrypt.Error, ValueError, TypeError)


def _shown(error: BaseException) -> str:
    """What a traceback with local variables says about our frames."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in shown.stack if "lumocrypt" in Path(frame.filename).parts]
    assert ours, "the error came from our code"
    text = "".join(f"{frame.locals}" for frame in ours) + "".join(shown.format_exception_only())
    context = error.__context__
    return text + (_shown_context(context) if context is not None else "")


def _shown_context(error: BaseException) -> str:
    return f"{error!r} {error.args!r} {getattr(error, 'object', '')!r}"


def test_tracebacks_do_not_show_keys(tmp_path: Path, encrypted: Path) -> None:
    uses = [
        lambda: lumocrypt.connect(encrypted, key=SECRET),
        lambda: lumocrypt.connect(encrypted, key=SECRET + "\0"),
        lambda: lumocrypt.connect(encrypted, key=SECRET + "\ud800"),
        lambda: lumocrypt.connect(encrypted, key=SECRET.encode()),  # type: ignore[arg-type]
        lambda: lumocrypt.connect(f"file:{encrypted}?lumo_key={SECRET}".replace(" ", "%20"), uri=True),
        lambda: lumocrypt.decrypt(encrypted, key=SECRET),
        lambda: lumocrypt.verify(encrypted, key=SECRET),
        lambda: lumocrypt.encrypt(encrypted, key=SECRET),
        lambda: lumocrypt.unlock(encrypted, SECRET),
        lambda: lumocrypt.attach(lumocrypt.connect(":memory:"), encrypted, "x", key=SECRET),
        lambda: Key.parse(SECRET + "\0"),
        lambda: Key.passphrase(SECRET + "\0"),
        lambda: Key.passphrase(SECRET.encode()),  # type: ignore[arg-type]
        lambda: Key.raw(SECRET),  # type: ignore[arg-type]
    ]
    for number, use in enumerate(uses):
        with warnings.catch_warnings(action="ignore"), pytest.raises(_EXPECTED) as caught:
            use()
        shown = _shown(caught.value)
        assert SECRET not in shown, number
        assert SECRET.replace(" ", "%20") not in shown, number
