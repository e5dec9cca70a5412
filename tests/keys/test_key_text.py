"""The text of a passphrase: one key in every form of Unicode, whatever an editor or a shell adds to it."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import FAST
from support.program import run

COMPOSED = unicodedata.normalize("NFC", "Zürich café Å 한국어")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
MIXED = COMPOSED[:6] + DECOMPOSED[7:]
FORMS = [COMPOSED, DECOMPOSED, MIXED]


def made(path: Path, key: str) -> Path:
    connection = lumocrypt.connect(path, key=key, kdf=FAST)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    return path


def opens(path: Path, key: str) -> bool:
    """In a process of its own, which has derived nothing before."""
    code = "import sys, lumocrypt; lumocrypt.connect(sys.argv[1], key=sys.argv[2]).execute('SELECT * FROM t')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), key], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "WrongKeyError" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("written", FORMS, ids=["nfc", "nfd", "mixed"])
def test_a_passphrase_opens_in_every_form(written: str, tmp_path: Path) -> None:
    path = made(tmp_path / "app.db", written)
    assert all(opens(path, form) for form in FORMS)
    assert not opens(path, unicodedata.normalize("NFKD", "Zurich cafe"))
    lumocrypt.change_key(path, key=MIXED, new_key="ascii", kdf=FAST)
    lumocrypt.change_key(path, key="ascii", new_key=written, kdf=FAST)
    lumocrypt.rekey(path, key=COMPOSED, new_key=DECOMPOSED, kdf=FAST)
    assert opens(path, COMPOSED)
    lumocrypt.remove_key(
        path, key=COMPOSED, slot=lumocrypt.add_key(path, key=MIXED, new_key=DECOMPOSED, kdf=FAST).index
    )


def test_what_a_passphrase_costs_is_bounded(tmp_path: Path) -> None:
    """One derivation where the text has one form; and where it is right. Three where it is wrong."""
    path = made(tmp_path / "app.db", COMPOSED)
    code = (
        "import sys, lumocrypt\n"
        "try: lumocrypt.connect(sys.argv[1], key=sys.argv[2]).execute('SELECT * FROM t')\n"
        "except lumocrypt.WrongKeyError: pass\n"
        "print(lumocrypt.stats()['kdf_runs'])"
    )
    for key, runs in [
        (COMPOSED, 1),
        (DECOMPOSED, 1),
        (MIXED, 1),
        ("wrong", 1),
        ("пароль", 1),
        (MIXED + "!", 3),
    ]:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), key], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) == runs, key


def test_slots_in_other_forms_of_earlier_versions_open(tmp_path: Path) -> None:
    """A golden file: made by a version that took passphrases as they were given, NFD and a mixture."""
    folder = Path(__file__).parents[1] / "golden" / "key-text"
    for name, key in [("nfd.db", DECOMPOSED), ("mixed.db", MIXED)]:
        path = tmp_path / name
        path.write_bytes(lzma.decompress((folder / f"{name}.xz").read_bytes()))
        assert opens(path, key)
    assert opens(tmp_path / "nfd.db", COMPOSED)


@pytest.mark.parametrize("text", ["\ud800", "pass\udcffword"])
def test_what_utf8_cannot_express_is_a_value_error(text: str, tmp_path: Path) -> None:
    for make in (lumocrypt.Key, lumocrypt.Key.passphrase, lumocrypt.Key.parse):
        with pytest.raises(ValueError, match="UTF-8"):
            make(text)
    with pytest.raises(ValueError, match="UTF-8"):
        lumocrypt.connect(tmp_path / "app.db", key=text)
    assert not (tmp_path / "app.db").exists()


ENDS = [b"", b"\n", b"\r\n", b"\r"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["bare", "marked"])
@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_marks_and_ends_of_lines_are_no_part_of_a_key(mark: bytes, end: bytes, tmp_path: Path) -> None:
    path = made(tmp_path / "app.db", "hunter two")
    text = mark + b"hunter two" + end
    file = tmp_path / "key"
    file.write_bytes(text)
    assert run("verify", path, "--key-file", file).returncode == 0
    command = [sys.executable, "-m", "lumocrypt", "verify", str(path)]
    environment: dict[bytes, bytes] = {**os.environb, b"LUMO_KEY": text}
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    # In the engine, where no Python of ours looks at it.
    code = (
        "import sqlite3, sys, lumocrypt; lumocrypt.install()\n"
        "sqlite3.connect(sys.argv[1]).execute('SELECT * FROM t')\n"
        "lumocrypt.verify(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_second_end_of_a_line_belongs_to_the_key(tmp_path: Path) -> None:
    path = made(tmp_path / "app.db", "hunter two")
    (tmp_path / "key").write_bytes(b"hunter two\n\n")
    assert run("verify", path, "--key-file", tmp_path / "key").returncode == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_key_file_in_utf16_is_refused_with_advice(encoding: str, tmp_path: Path) -> None:
    path = made(tmp_path / "app.db", "hunter two")
    (tmp_path / "key").write_bytes("\ufeffhunter two".encode(encoding))
    done = run("verify", path, "--key-file", tmp_path / "key")
    assert done.returncode == 3
    assert b"UTF-8" in done.stderr
