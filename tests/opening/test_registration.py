"""Registering in several SQLite libraries: the standard library's, APSW's, the shell's."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.engine import native, registration
from support.known_keys import RAW
from support.plaintext import fill, make_plain

HEX = f"x'{RAW.hex()}'"


def python(code: str, *arguments: object, env: dict[str, str] | None = None) -> str:
    """Runs a program of its own, because registrations last as long as the process."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_standard_library() -> None:
    host = registration.stdlib_host()
    assert host.sqlite_version == sqlite3.sqlite_version_info[0] * 1_000_000 + (
        sqlite3.sqlite_version_info[1] * 1000 + sqlite3.sqlite_version_info[2]
    )
    assert host.vfs[0] == "lumocrypt"
    assert host.base_vfs == "unix"
    assert registration.stdlib_host() is host


def test_names_of_the_vfs() -> None:
    host = registration.stdlib_host()
    assert registration.vfs_over(host, None) == "lumocrypt"
    assert registration.vfs_over(host, "lumocrypt") == "lumocrypt"
    assert registration.vfs_over(host, "lumocrypt-unix") == "lumocrypt-unix"
    for base in ("unix", "unix-excl", "unix-dotfile", "unix-none"):
        assert registration.vfs_over(host, base) == f"lumocrypt-{base}"
    with pytest.raises(sqlite3.OperationalError, match="no such vfs"):
        registration.vfs_over(host, "nonsense")


def test_the_loadable_path_has_no_suffix() -> None:
    path = Path(lumocrypt.loadable_path())
    assert path.name == "lib_lumocrypt"
    assert path.with_suffix(".so").exists() or path.with_suffix(".dylib").exists()


def test_load_into_a_throwaway_connection() -> None:
    connection = sqlite3.connect(":memory:")
    lumocrypt.load(connection)
    lumocrypt.load(connection)
    connection.close()


def test_load_refuses_a_file_that_it_would_not_encrypt(
    plain: Path, encrypted: Path, key: lumocrypt.Key
) -> None:
    connection = sqlite3.connect(plain)
    with pytest.raises(lumocrypt.CryptError, match=":memory:"):
        lumocrypt.load(connection)
    connection.close()
    connection = lumocrypt.connect(encrypted, key=key)
    lumocrypt.load(connection)
    connection.close()


def test_load_refuses_other_objects() -> None:
    class Nothing:
        def execute(self, sql: str) -> Nothing:
            return self

        def fetchall(self) -> list[object]:
            return []

    with pytest.raises(TypeError):
        lumocrypt.load(Nothing())


def test_install_makes_unchanged_programs_work(tmp_path: Path, encrypted: Path) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=5)
    out = python(
        """
import sqlite3, sys, lumocrypt
plain, encrypted = sys.argv[1:]
lumocrypt.install()
lumocrypt.unlock(encrypted, lumocrypt.Key.raw(bytes(range(32))))
for path in (plain, encrypted):
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO t (name) VALUES ('x')")
    connection.commit()
    print(connection.execute("SELECT count(*) FROM t").fetchone()[0])
    connection.close()
lumocrypt.install(default=False)
try:
    sqlite3.connect(encrypted).execute("SELECT * FROM t")
except sqlite3.DatabaseError as error:
    print(error)
""",
        plain,
        encrypted,
    )
    assert out.splitlines() == ["6", "501", "file is not a database"]
    assert plain.read_bytes()[:15] == b"SQLite format 3"
    assert encrypted.read_bytes()[:9] == b"lumocrypt"


def test_apsw_side_by_side(encrypted: Path, key: lumocrypt.Key) -> None:
    """Two SQLite libraries in one process, each with pointers of its own."""
    apsw = pytest.importorskip("apsw")
    mine = lumocrypt.connect(encrypted, key=key)
    assert mine.execute("SELECT count(*) FROM t").fetchone() == (500,)
    lumocrypt.load(apsw.Connection(":memory:"))
    assert "lumocrypt" in apsw.vfs_names()
    theirs = apsw.Connection(
        f"file:{encrypted}?vfs=lumocrypt", flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    )
    theirs.execute(f'PRAGMA lumo_key = "{HEX}"').fetchall()
    assert theirs.execute("SELECT count(*) FROM t").fetchall() == [(500,)]
    theirs.execute("INSERT INTO t (name) VALUES ('theirs')")
    mine.execute("INSERT INTO t (name) VALUES ('mine')")
    mine.commit()
    assert theirs.execute("SELECT count(*) FROM t").fetchall() == [(502,)]
    theirs.close()
    assert mine.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    mine.close()


def test_apsw_alone_and_attach(tmp_path: Path, encrypted: Path) -> None:
    pytest.importorskip("apsw")
    out = python(
        """
import sys, apsw, lumocrypt
path = sys.argv[1]
key = lumocrypt.Key.raw(bytes(range(32)))
lumocrypt.load(apsw.Connection(":memory:"))
flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
connection = apsw.Connection(":memory:", flags=flags, vfs="lumocrypt")
lumocrypt.attach(connection, path, "x", key=key)
print(connection.execute("SELECT count(*) FROM x.t").fetchall())
lumocrypt.unlock(path, key)
print(apsw.Connection(path, vfs="lumocrypt").execute("SELECT count(*) FROM t").fetchall())
""",
        encrypted,
    )
    assert out.splitlines() == ["[(500,)]", "[(500,)]"]


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 shell here")
def test_the_sqlite3_shell(encrypted: Path, tmp_path: Path) -> None:
    script = f"""
.load {lumocrypt.loadable_path()}
.open file:{encrypted}?vfs=lumocrypt
PRAGMA lumo_key = "{HEX}";
SELECT count(*) FROM t;
SELECT name FROM t WHERE id = 7;
"""
    done = subprocess.run(["sqlite3"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["500", "the quick brown marker 6"]


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 shell here")
def test_the_shell_and_python_share_a_file(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "shell.db"
    script = f"""
.load {lumocrypt.loadable_path()}
.open file:{path}?vfs=lumocrypt
PRAGMA lumo_key = "{HEX}";
CREATE TABLE t (a);
INSERT INTO t VALUES (42);
"""
    done = subprocess.run(["sqlite3"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    connection = lumocrypt.connect(path, key=key)
    assert connection.execute("SELECT a FROM t").fetchall() == [(42,)]
    connection.close()


def _interpreter_with_extensions() -> str | None:
    code = "import sqlite3, sys; sys.exit(not hasattr(sqlite3.Connection, 'enable_load_extension'))"
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if Path(candidate).exists() and subprocess.run([candidate, "-c", code], check=False).returncode == 0:
            return candidate
    return None


def test_an_interpreter_that_can_load_extensions(encrypted: Path) -> None:
    """The engine as an extension, without this package: what `loadable_path` is for."""
    interpreter = _interpreter_with_extensions()
    if interpreter is None:
        pytest.skip("no Python here that can load extensions")
    code = f"""
import sqlite3, sys
connection = sqlite3.connect(":memory:")
connection.enable_load_extension(True)
connection.load_extension({lumocrypt.loadable_path()!r})
connection.close()
connection = sqlite3.connect("file:{encrypted}?vfs=lumocrypt", uri=True)
connection.execute({f'PRAGMA lumo_key = "{HEX}"'!r}).fetchall()
print(connection.execute("SELECT count(*) FROM t").fetchone())
"""
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(500,)\n"


def test_no_bare_extension_on_the_import_path() -> None:
    """`import lumocrypt` must find the package, not a shared object."""
    package = Path(lumocrypt.__file__).parent
    assert not list(package.parent.glob("lumocrypt*.so"))
    assert not list(package.glob("lumocrypt*.so"))


def test_unreachable_libraries_name_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(library: str | None) -> dict[str, object]:
        raise OSError(f"no symbols in {library}")

    monkeypatch.setattr(registration, "_stdlib", None)
    monkeypatch.setattr(registration.native, "register_library", refuse)
    with pytest.raises(sqlite3.NotSupportedError, match=r"(?s)APSW.*pysqlite3"):
        registration.stdlib_host()


def test_a_library_without_sqlite_is_refused(tmp_path: Path) -> None:
    for library in (str(tmp_path / "none.so"), str(native.shared_object())):
        with pytest.raises((ValueError, OSError, sqlite3.Error)):
            native.register_library(library)


def test_subinterpreters_get_a_clear_error() -> None:
    out = python(
        """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = '''
try:
    import lumocrypt
except ImportError as error:
    print(error)
else:
    print("no error")
'''
number = interpreters.create()
failure = getattr(interpreters, "run_string")(number, run)
if failure is not None:
    print(failure)
"""
    )
    assert "subinterpreter" in out
    assert "no error" not in out


def test_old_sqlite_is_named(monkeypatch: pytest.MonkeyPatch, key: lumocrypt.Key, tmp_path: Path) -> None:
    """The promise is 3.34; this SQLite is newer, or the import would have failed."""
    assert registration.stdlib_host().sqlite_version >= 3_034_000
    fill(lumocrypt.connect(tmp_path / "a.db", key=key), 1)
