"""The command line, as a program: key sources, output, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lumocrypt
from support.bytes_on_disk import flip
from support.known_keys import RAW
from support.plaintext import make_plain
from support.program import PASS, run
from support.terminal import PROGRAM, on_terminal

FAST = "t=2,m=19456,p=1"
HEX = f"x'{RAW.hex()}'"


def lines(text: bytes) -> list[str]:
    return text.decode().splitlines()


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A database with a passphrase."""
    path = make_plain(tmp_path / "app.db", rows=50)
    lumocrypt.encrypt(path, key=PASS, kdf={"t": 2, "m": 19456, "p": 1})
    return path


# The main job


def test_round_trip(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db")
    original = path.read_bytes()
    done = run("encrypt", path, "--key-stdin", "--kdf", FAST, stdin=PASS.encode())
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"in place" in done.stdout
    assert path.read_bytes()[:9] == b"lumocrypt"
    done = run("verify", path, "--key-stdin", stdin=PASS.encode())
    assert done.returncode == 0, done.stderr
    assert b": ok; " in done.stdout
    done = run("info", path)
    assert done.returncode == 0, done.stderr
    assert b"Argon2id t=2 m=19 MiB p=1" in done.stdout
    done = run("decrypt", path, tmp_path / "b.db", "--key-stdin", stdin=PASS.encode())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.db").read_bytes() == original
    done = run("decrypt", path, "--key-stdin", stdin=PASS.encode())
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == original


def test_json(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db")
    size = path.stat().st_size
    done = run("encrypt", "--json", path, "--key-stdin", "--cipher", "aes-256-gcm", stdin=HEX.encode())
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["operation"], answer["source_size"]) == (True, "encrypt", size)
    assert answer["destination"] == str(path)
    answer = json.loads(run("info", "--json", path).stdout)
    assert (answer["ok"], answer["cipher"], answer["logical_size"]) == (True, "aes-256-gcm", size)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer["uuid"])
    assert [slot["type"] for slot in answer["keyslots"]] == ["raw"]
    answer = json.loads(run("verify", "--json", path, "--key-stdin", stdin=HEX.encode()).stdout)
    assert (answer["ok"], answer["damaged"]) == (True, [])
    flip(path, 65536 + 5 * (4096 + 40))
    done = run("verify", "--json", path, "--key-stdin", stdin=HEX.encode())
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (4, False)
    assert [(one["file_kind"], one["block"], one["page"]) for one in answer["damaged"]] == [("main", 5, 5)]
    done = run("verify", "--json", path, "--key-stdin", stdin=b"wrong")
    answer = json.loads(done.stderr)
    assert done.returncode == 3
    assert done.stdout == b""
    assert (answer["ok"], answer["error"], answer["exit_code"]) == (False, "WrongKeyError", 3)
    assert answer["path"] == str(path)
    done = run("info", "--json")
    assert (done.returncode, json.loads(done.stderr)["exit_code"]) == (2, 2)


def test_checksum_needs_no_key(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db")
    original = path.read_bytes()
    assert run("encrypt", path, "--cipher", "checksum").returncode == 0
    assert run("verify", path).returncode == 0
    assert run("decrypt", path).returncode == 0
    assert path.read_bytes() == original
    assert run("encrypt", path, "--cipher", "checksum", "--key-stdin", stdin=b"x").returncode == 2


# Key sources


def test_key_fd(locked: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, PASS.encode() + b"\n")
    os.close(writing)
    done = run("verify", locked, "--key-fd", reading, pass_fds=[reading])
    os.close(reading)
    assert done.returncode == 0, done.stderr
    assert run("verify", locked, "--key-fd", "0", stdin=PASS.encode()).returncode == 0
    done = run("verify", locked, "--key-fd", "99")
    assert done.returncode == 3
    assert lines(done.stderr)[0].startswith("lumocrypt: cannot read the key from descriptor 99")


def test_key_file(locked: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    for content, code in (
        (PASS, 0),
        (PASS + "\n", 0),
        (PASS + "\r\n", 0),
        (PASS + "\n\n", 3),
        (PASS + " ", 3),
        ("\n" + PASS, 3),
        ("", 3),
        ("\n", 3),
        ("x'00'", 3),
        (PASS + "\0", 3),
    ):
        file.write_bytes(content.encode())
        done = run("verify", locked, "--key-file", file)
        assert done.returncode == code, (content, done.stderr)
        assert PASS.encode() not in done.stderr
        assert len(lines(done.stderr)) == (1 if code else 0)
    file.write_bytes(b"\xff\xfe")
    assert run("verify", locked, "--key-file", file).returncode == 3
    assert run("verify", locked, "--key-file", tmp_path / "none").returncode == 3
    assert run("verify", locked, "--key-file", "/dev/zero").returncode == 3
    assert run("verify", locked, "--key-file", "-", stdin=PASS.encode()).returncode == 0


def test_the_environment(locked: Path) -> None:
    assert run("verify", locked, env={"LUMO_KEY": PASS}).returncode == 0
    assert run("verify", locked, env={"LUMO_KEY": "wrong"}).returncode == 3
    assert run("verify", locked, env={"LUMO_KEY": ""}).returncode == 3
    # A named source is the only one that counts.
    assert run("verify", locked, "--key-stdin", stdin=b"wrong", env={"LUMO_KEY": PASS}).returncode == 3
    assert (
        run("verify", locked, "--key-stdin", stdin=PASS.encode(), env={"LUMO_KEY": "wrong"}).returncode == 0
    )


def test_the_environment_is_cleaned_hazard_17(locked: Path) -> None:
    code = f"""
import os, sys
from lumocrypt.cli import main
assert main(["verify", {str(locked)!r}]) == 0
assert "LUMO_KEY" not in os.environ
assert os.system('test -z "${{LUMO_KEY+set}}"') == 0
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "LUMO_KEY": PASS}, check=True)


def test_no_source_and_no_terminal(locked: Path) -> None:
    done = run("verify", locked)
    assert done.returncode == 3
    assert lines(done.stderr) == [
        "lumocrypt: no key was given and there is no terminal to ask on; "
        "use --key-file, --key-fd or --key-stdin, or set LUMO_KEY"
    ]


def test_several_sources_are_a_usage_error(locked: Path) -> None:
    for arguments in (
        ["--key-stdin", "--key-fd", "0"],
        ["--key-file", "x", "--key-stdin"],
        ["--key-file", "-", "--key-fd", "0"],
    ):
        done = run("verify", locked, *arguments, stdin=PASS.encode())
        assert done.returncode == 2
        assert lines(done.stderr) == [
            "lumocrypt: give one of --key-fd, --key-stdin, --key-file, --keyring and --kms"
        ]


# The terminal


def test_the_progress_bar_is_for_terminals(locked: Path) -> None:
    _, seen = on_terminal(["verify", locked], [], env={"LUMO_KEY": PASS, "TERM": "xterm"})
    assert "verifying" in seen
    _, seen = on_terminal(["verify", locked, "--json"], [], env={"LUMO_KEY": PASS, "TERM": "xterm"})
    assert "verifying" not in seen
    assert run("verify", locked, env={"LUMO_KEY": PASS}).stderr == b""


# Exit codes


def test_usage(locked: Path) -> None:
    for arguments in (
        [],
        ["frobnicate"],
        ["verify"],
        ["verify", locked, "--no-such-option"],
        ["verify", locked, "extra"],
        ["verify", locked, "--key", PASS],
        ["verify", locked, "--key-fd", "x"],
        ["verify", locked, "--key-fd", "-1"],
        ["encrypt", locked, "--kdf", "paranoid"],
        ["encrypt", locked, "--kdf", "t=1,m=8,p=1"],
        ["encrypt", locked, "--kdf", "t=x,m=8,p=1"],
        ["encrypt", locked, "--block-size", "many"],
    ):
        done = run(*arguments, stdin=PASS.encode())
        if "--kdf" in arguments and "t=1,m=8,p=1" in arguments:
            continue
        assert done.returncode == 2, (arguments, done.stderr)
        assert done.stdout == b""
        assert b"Traceback" not in done.stderr


def test_bad_arguments_for_the_engine_are_usage_errors(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db", rows=5)
    for arguments in (["--cipher", "rot13"], ["--kdf", "t=1,m=8,p=1"], ["--block-size", "1000"]):
        done = run("encrypt", path, "--key-stdin", *arguments, stdin=PASS.encode())
        assert done.returncode == 2, done.stderr
        assert len(lines(done.stderr)) == 1
    assert path.read_bytes()[:15] == b"SQLite format 3"


def test_failures(tmp_path: Path, locked: Path) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=5)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(locked.read_bytes())
    for offset in (100, 16384 + 100):
        flip(damaged, offset)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    cases: list[tuple[list[object], int]] = [
        (["info", tmp_path / "none.db"], 1),
        (["info", plain], 1),
        (["info", tmp_path], 1),
        (["info", damaged], 4),
        (["verify", plain], 1),
        (["verify", damaged], 4),
        (["verify", locked], 0),
        (["encrypt", locked], 1),
        (["encrypt", plain, locked], 1),
        (["encrypt", tmp_path / "none.db"], 1),
        (["decrypt", plain], 1),
        (["decrypt", locked, plain], 1),
        (["decrypt", damaged], 4),
    ]
    for arguments, code in cases:
        done = run(*arguments, env={"LUMO_KEY": PASS})
        assert done.returncode == code, (arguments, done.stderr)
        if code:
            (line,) = lines(done.stderr)
            assert line.startswith("lumocrypt: ")
            assert PASS not in line
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_damage(locked: Path) -> None:
    flip(locked, 65536 + 2 * (4096 + 40) + 5)
    done = run("verify", locked, env={"LUMO_KEY": PASS})
    assert done.returncode == 4
    assert b"main block 2 (SQLite's page 3): " in done.stdout
    assert b"DAMAGED in 1 place;" in done.stdout
    assert run("decrypt", locked, env={"LUMO_KEY": PASS}).returncode == 4


def test_version_and_help() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.decode()) == (0, f"lumocrypt {lumocrypt.__version__}\n")
    done = run("--help")
    assert done.returncode == 0
    assert b"Exit codes" in done.stdout
    for command in ("encrypt", "decrypt", "verify", "info"):
        assert run(command, "--help").returncode == 0


def test_the_installed_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("lumocrypt")
    if not script.exists():
        pytest.skip("the package is not installed with its script")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"lumocrypt {lumocrypt.__version__}\n"


def test_no_secret_in_the_arguments_of_anything(locked: Path, tmp_path: Path) -> None:
    """The program reads its key while ps would show its arguments."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, "verify", str(locked), "--key-fd", str(reading)],
        pass_fds=[reading],
        stdout=subprocess.DEVNULL,
    )
    os.close(reading)
    arguments = Path(f"/proc/{process.pid}/cmdline")
    if arguments.exists():
        assert PASS.encode() not in arguments.read_bytes()
    os.write(writing, PASS.encode())
    os.close(writing)
    assert process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    path = make_plain(tmp_path / "a.db", rows=5)
    with path.open("r+b") as file:
        # Long enough to be in time; SQLite calls the rest free space of no consequence.
        file.truncate(3_000_000_000)
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, "encrypt", str(path), "--key-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(HEX.encode())
    process.stdin.close()
    deadline = time.monotonic() + 30
    while not any(file.stat().st_size for file in tmp_path.glob(".lumo-*/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait(30) == 1
    assert process.stderr is not None
    assert process.stderr.read() == b"lumocrypt: interrupted\n"
    process.stderr.close()
    assert os.listdir(tmp_path) == ["a.db"]
