"""What SQLite says where our Python package is not loaded: the sqlite3 shell, APSW, the standard library.

Such a host has SQLite's result code, SQLite's text for it, and SQLite's error log, whose lines SQLite cuts
after 209 bytes. So the code tells the class, and the log the file, the place in it, what is wrong and what
to do.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

import lumocrypt
from support.bytes_on_disk import flip
from support.known_keys import RAW
from support.plaintext import fill, make_plain

HEX = f"x'{RAW.hex()}'"
OTHER_HEX = f"x'{'5a' * 32}'"
KEY = lumocrypt.Key.raw(RAW)
UNLOCK = f'PRAGMA lumo_key = "{HEX}"'
READ = "SELECT sum(length(data)) FROM t"

AUTH, CANTOPEN, NOTADB, IOERR_DATA = 23, 14, 26, 8202
DENIED, NOT_A_DATABASE, IO_ERROR = "authorization denied", "file is not a database", "disk I/O error"
NO_KEY = (
    "the database is encrypted and no key was given: pass key= to lumocrypt.connect, "
    "run PRAGMA lumo_key = '…', or set LUMO_KEY"
)
WRONG_KEY = "the key opens none of the database's keyslots; check the key"


@dataclass(frozen=True)
class Case:
    """Something that goes wrong with a file, and what a host gets to see of it."""

    file: str
    statements: list[str]
    #: SQLite's extended result code.
    code: int
    #: SQLite's message, with the file's path for {path}.
    message: str
    #: What the log says, likewise.
    log: list[str]
    #: More parameters of the URI.
    parameters: str = ""
    environment: dict[str, str] = field(default_factory=dict)


CASES = {
    "no key": Case("sound", [READ], AUTH, DENIED, ["lumocrypt: {path} main: " + NO_KEY]),
    "no key for a new file": Case(
        "new", ["CREATE TABLE t (a)"], AUTH, DENIED, ["lumocrypt: {path} main: " + NO_KEY]
    ),
    "wrong key": Case(
        "sound",
        [f'PRAGMA lumo_key = "{OTHER_HEX}"'],
        AUTH,
        WRONG_KEY + " [{path}]",
        ["lumocrypt: {path}: " + WRONG_KEY],
    ),
    "wrong key in the URI": Case(
        "sound",
        [READ],
        AUTH,
        DENIED,
        [
            "lumocrypt: a key in a URI is visible to everything that sees the file name",
            "lumocrypt: {path}: " + WRONG_KEY,
        ],
        parameters="&lumo_key=" + quote(OTHER_HEX),
    ),
    "wrong key in the environment": Case(
        "sound",
        [READ],
        AUTH,
        DENIED,
        ["lumocrypt: {path}: " + WRONG_KEY],
        environment={"LUMO_KEY": OTHER_HEX},
    ),
    "damaged page": Case(
        "damaged",
        [UNLOCK, READ],
        IOERR_DATA,
        IO_ERROR,
        [
            "lumocrypt: {path} main block 5: block 5 of the database does not authenticate: it was changed, "
            "moved or damaged; run `lumocrypt verify` to see the extent and restore from a backup"
        ],
    ),
    "damaged header": Case(
        "damaged header",
        [UNLOCK],
        NOTADB,
        NOT_A_DATABASE,
        [
            "lumocrypt: {path}: both copies of the header's superblock are damaged; restore the file from a "
            "backup"
        ],
    ),
    "plaintext": Case(
        "plain",
        ["SELECT * FROM t"],
        NOTADB,
        NOT_A_DATABASE,
        [
            "lumocrypt: {path}: this is a plaintext SQLite database; encrypt it first with `lumocrypt "
            "encrypt`"
        ],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files, below a name so long that no message about them fits into a line of the log."""
    folder = tmp_path_factory.mktemp("hosts") / ("long " * 30)
    folder.mkdir()
    sound = folder / "sound.db"
    connection = lumocrypt.connect(sound, key=KEY)
    fill(connection)
    connection.close()
    damaged, damaged_header = folder / "damaged.db", folder / "header.db"
    for path in (damaged, damaged_header):
        shutil.copy(sound, path)
    flip(damaged, 65536 + 5 * 4136 + 9)
    for offset in (100, 16384 + 100):
        flip(damaged_header, offset)
    plain = make_plain(folder / "plain.db", rows=5)
    found = {"sound": sound, "damaged": damaged, "damaged header": damaged_header, "plain": plain}
    return {**found, "new": folder / "new.db"}


def uri(files: dict[str, Path], case: Case) -> str:
    return f"file:{quote(str(files[case.file]))}?vfs=lumocrypt{case.parameters}"


def environment(case: Case) -> dict[str, str]:
    return {**os.environ, "LUMO_KEY": "", **case.environment}


def whole(lines: list[str]) -> str:
    """The lines of the log, those that go on put together again."""
    return "\n".join(lines).replace("\nlumocrypt: ... ", " ")


def check_log(case: Case, path: Path, lines: list[str]) -> None:
    ours = [line for line in lines if line.startswith("lumocrypt: ")]
    assert all(len(line.encode()) <= 209 for line in ours)
    # A path that is longer than a line is cut where there is no space; this one has spaces.
    text = whole(ours)
    for wanted in case.log:
        assert wanted.replace("{path}", str(path)) in text
    for secret in (RAW.hex(), "5a" * 32):
        assert secret not in text


_HOST = """
import json, sys
host, library, uri, statements = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
log = []
if host == "apsw":
    import apsw
    apsw.config(apsw.SQLITE_CONFIG_LOG, lambda code, message: log.append((code, message)))
    loader = apsw.Connection(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(library)
    flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connect, failure = lambda: apsw.Connection(uri, flags=flags), apsw.Error
    code = lambda error: error.extendedresult
else:
    import _sqlite3, ctypes, sqlite3
    # Not every Python's sqlite3 can load extensions.
    register = ctypes.CDLL(library + ".so").lumo_register_library
    assert register(_sqlite3.__file__.encode(), ctypes.byref(ctypes.c_void_p())) == 0
    connect, failure = lambda: sqlite3.connect(uri, uri=True), sqlite3.Error
    code = lambda error: error.sqlite_errorcode
assert "lumocrypt" not in sys.modules
answer = {"class": None}
try:
    connection = connect()
    for statement in statements:
        connection.execute(statement).fetchall()
except failure as error:
    answer = {"class": type(error).__name__, "code": code(error), "message": str(error)}
print(json.dumps({**answer, "log": log}))
"""

#: The classes of the other hosts for our codes.
CLASSES = {
    ("apsw", AUTH): "AuthError",
    ("apsw", NOTADB): "NotADBError",
    ("apsw", IOERR_DATA): "IOError",
    ("stdlib", AUTH): "DatabaseError",
    ("stdlib", NOTADB): "DatabaseError",
    ("stdlib", IOERR_DATA): "OperationalError",
}


@pytest.mark.parametrize("host", ["apsw", "stdlib"])
@pytest.mark.parametrize("name", CASES)
def test_python_without_our_package(files: dict[str, Path], host: str, name: str) -> None:
    case = CASES[name]
    done = subprocess.run(
        [
            sys.executable, "-c", _HOST, host, lumocrypt.loadable_path(), uri(files, case),
            json.dumps(case.statements),
        ],
        capture_output=True, check=True, env=environment(case), timeout=60,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["code"] == case.code
    assert answer["class"] == CLASSES[host, case.code]
    assert answer["message"].removeprefix("SQLITE_AUTH: ") == case.message.format(path=files[case.file])
    if host == "apsw":
        check_log(case, files[case.file], [message for _, message in answer["log"]])
        # Each line has the code that the caller gets.
        assert case.code in {code for code, message in answer["log"] if message.startswith("lumocrypt: ")}


@pytest.mark.parametrize("name", CASES)
def test_the_sqlite3_shell(files: dict[str, Path], name: str) -> None:
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("NOT TESTED: there is no sqlite3 shell on this machine (apt-get install sqlite3)")
    case = CASES[name]
    script = [
        ".log stderr",
        f".load {lumocrypt.loadable_path()}",
        f'.open "{uri(files, case)}"',
        *(f"{statement};" for statement in case.statements),
    ]
    done = subprocess.run(
        [program, "-batch"],
        input="\n".join(script).encode(),
        capture_output=True,
        env=environment(case),
        timeout=60,
        check=False,
    )
    shown = done.stderr.decode()
    if "unknown command" in shown and ".load" in shown:
        pytest.skip("NOT TESTED: the sqlite3 shell on this machine cannot load extensions")
    # Each line of its log begins with the code.
    log = [line.partition(") ")[2] for line in shown.splitlines() if line.startswith(f"({case.code}) ")]
    log += [line.partition(") ")[2] for line in shown.splitlines() if line.startswith("(28) ")]
    messages = [line for line in shown.splitlines() if not line.startswith("(")]
    assert any(case.message.format(path=files[case.file]) in line for line in messages), shown
    check_log(case, files[case.file], sorted(log, key=lambda line: "a key in a URI" not in line))


def test_attaching_to_a_foreign_main_database_says_why(files: dict[str, Path]) -> None:
    """SQLite has a code and a text of its own for it, which say nothing."""
    case = Case("sound", [], CANTOPEN, "", [])
    statements = [f"ATTACH '{uri(files, case)}' AS a", "SELECT * FROM a.t"]
    done = subprocess.run(
        [
            sys.executable, "-c", _HOST, "apsw", lumocrypt.loadable_path(),
            "file:foreign?mode=memory&vfs=unix", json.dumps(statements),
        ],
        capture_output=True, check=True, env=environment(case), timeout=60,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["code"] == CANTOPEN
    text = whole([message for _, message in answer["log"] if message.startswith("lumocrypt: ")])
    assert "cannot be attached to a connection whose main database is on another VFS" in text
    assert "Open the main database through lumocrypt (vfs=lumocrypt)" in text


def test_a_key_that_fits_needs_no_python(files: dict[str, Path]) -> None:
    wanted = sqlite3.connect(":memory:").execute("SELECT 500 * 200").fetchone()[0]
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("NOT TESTED: there is no sqlite3 shell on this machine (apt-get install sqlite3)")
    script = f'.load {lumocrypt.loadable_path()}\n.open "{uri(files, CASES["no key"])}"\n'
    script += f"{UNLOCK};\n{READ};\n"
    done = subprocess.run(
        [program, "-batch"], input=script.encode(), capture_output=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == (f"ok\n{wanted}\n".encode(), b"")
