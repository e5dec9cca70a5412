"""The prompt for a passphrase, on a pseudo-terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.plaintext import make_plain
from support.terminal import on_terminal

PASS = "correct horse battery staple"
FAST = "t=2,m=19456,p=1"
NEW, AGAIN, OLD = "New passphrase: ", "Repeat the passphrase: ", "Passphrase: "


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A database with a passphrase."""
    path = make_plain(tmp_path / "app.db", rows=50)
    lumocrypt.encrypt(path, key=PASS, kdf={"t": 2, "m": 19456, "p": 1})
    return path


def test_once_to_open(locked: Path) -> None:
    code, seen = on_terminal(["verify", locked], [(OLD, PASS + "\n")])
    assert code == 0, seen
    assert PASS not in seen
    assert seen.count("assphrase") == 1
    code, seen = on_terminal(["verify", locked], [(OLD, "wrong\n")])
    assert code == 3
    assert "wrong\r" not in seen


def test_twice_to_create(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db")
    before = path.read_bytes()
    command = ["encrypt", path, "--kdf", FAST]
    code, seen = on_terminal(command, [(NEW, PASS + "\n"), (AGAIN, "other\n")])
    assert code == 3
    assert "differ" in seen
    assert path.read_bytes() == before
    code, seen = on_terminal(command, [(NEW, "\n"), (AGAIN, "\n")])
    assert code == 3
    assert path.read_bytes() == before
    code, seen = on_terminal(command, [(NEW, PASS + "\n"), (AGAIN, PASS + "\n")])
    assert code == 0, seen
    assert PASS not in seen
    lumocrypt.connect(path, key=PASS).close()


def test_standard_input_may_be_a_pipe(locked: Path) -> None:
    code, seen = on_terminal(["verify", locked], [(OLD, PASS + "\n")], stdin=b"wrong\nwrong\n")
    assert code == 0, seen
    assert PASS not in seen


def test_a_raw_key_can_be_typed(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db", rows=5)
    lumocrypt.encrypt(path, key=lumocrypt.Key.raw(RAW))
    code, seen = on_terminal(["verify", path], [(OLD, f"x'{RAW.hex()}'\n")])
    assert code == 0, seen
    code, seen = on_terminal(["verify", path], [(OLD, "x'00'\n")])
    assert code == 3, "what begins like a raw key is no passphrase"


@pytest.mark.parametrize("typed", ["\x03", "abc\x03"], ids=["at once", "in the middle"])
def test_interrupt(locked: Path, typed: str) -> None:
    code, seen = on_terminal(["verify", locked], [(OLD, typed)])
    assert code == 1
    assert "lumocrypt: interrupted" in seen
    assert "Traceback" not in seen
    assert "abc" not in seen


def test_an_interrupt_at_the_second_prompt_changes_nothing(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db")
    before = path.read_bytes()
    code, seen = on_terminal(["encrypt", path], [(NEW, PASS + "\n"), (AGAIN, "\x03")])
    assert code == 1, seen
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.db"]


def test_the_end_of_input_is_no_passphrase(locked: Path) -> None:
    code, seen = on_terminal(["verify", locked], [(OLD, "\x04")])
    assert code == 3
    assert "no passphrase was given" in seen


def test_what_is_not_ascii_can_be_typed(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db", rows=5)
    lumocrypt.encrypt(path, key="пароль — ключ", kdf={"t": 2, "m": 19456, "p": 1})
    code, seen = on_terminal(["verify", path], [(OLD, "пароль — ключ\n")], env={"LC_ALL": "C.UTF-8"})
    assert code == 0, seen


def test_a_missing_file_is_noticed_before_the_prompt(tmp_path: Path) -> None:
    code, seen = on_terminal(["encrypt", tmp_path / "none.db"], [])
    assert code == 1
    assert "No such file" in seen


def test_a_source_that_was_named_is_not_asked_for(locked: Path) -> None:
    code, seen = on_terminal(["verify", locked, "--key-stdin"], [], stdin=PASS.encode())
    assert code == 0, seen
    assert "assphrase" not in seen
    code, seen = on_terminal(["verify", locked], [], env={"LUMO_KEY": PASS})
    assert code == 0, seen
    assert "assphrase" not in seen


def test_a_key_from_standard_input_can_be_typed(locked: Path) -> None:
    """The line ends with the return key, not with the end of the input."""
    code, seen = on_terminal(["verify", locked, "--key-stdin"], [("", PASS + "\n")])
    assert code == 0, seen


def test_without_a_terminal_it_says_what_to_do(locked: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lumocrypt", "verify", str(locked)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 3
    assert b"there is no terminal to ask on; use --key-file" in done.stderr
