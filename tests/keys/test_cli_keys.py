"""``lumocrypt key`` and ``lumocrypt header``, as programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import FAST
from support.plaintext import make_plain
from support.program import PASS, run

KDF = "t=2,m=19456,p=1"


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    path = make_plain(tmp_path / "app.db", rows=50)
    lumocrypt.encrypt(path, key=PASS, kdf=FAST)
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.key"
    path.write_text("a new one\n")
    return path


def test_the_life_of_a_key(locked: Path, new: Path) -> None:
    def key(*arguments: object, stdin: str = PASS) -> str:
        done = run("key", *arguments, stdin=stdin.encode())
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    two = ("--key-stdin", "--new-key-file", new, "--kdf", KDF)
    assert "added keyslot 1: passphrase" in key("add", locked, *two, "--label", "spare")
    listed = key("list", locked).splitlines()
    assert [line.split()[0] for line in listed] == ["0", "1"]
    assert "'spare', Argon2id t=2 m=19 MiB p=1" in listed[1]
    assert "removed keyslot 0" in key("remove", locked, "--key-stdin", "--slot", "0", stdin="a new one")
    assert "labelled keyslot 1" in key("label", locked, "main", "--key-stdin", stdin="a new one")
    new.write_text("the newest")
    changed = json.loads(key("change", locked, *two, "--json", stdin="a new one"))
    assert (changed["ok"], changed["index"], changed["label"]) == (True, 1, "main")
    listed_json = json.loads(key("list", locked, "--json"))
    assert [slot["index"] for slot in listed_json["keyslots"]] == [1]
    removal = run("key", "remove", locked, "--key-stdin", "--json", stdin=b"the newest")
    assert removal.returncode == 1
    assert "last keyslot" in json.loads(removal.stderr)["message"]
    lumocrypt.connect(locked, key="the newest").close()


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["add", "FILE", "--key-stdin", "--new-key-file", "NEW"], "wrong", 3),
        (["add", "FILE", "--key-stdin"], PASS, 3),
        (["add", "FILE", "--new-key-file", "NEW"], "", 3),
        (["add", "FILE", "--key-stdin", "--new-key-file", "NEW", "--kdf", "t=1,m=8,p=1"], PASS, 2),
        (["add", "FILE", "--key-stdin", "--new-key-file", "NEW", "--label", "x" * 65], PASS, 2),
        (["remove", "FILE", "--key-stdin", "--slot", "12"], PASS, 2),
        (["remove", "FILE", "--key-stdin", "--slot", "5"], PASS, 1),
        (["remove", "FILE", "--key-stdin", "--force"], PASS, 2),
        (["change", "none.db", "--key-stdin", "--new-key-file", "NEW"], PASS, 1),
        (["rename", "FILE"], "", 2),
    ],
)
def test_exit_codes(locked: Path, new: Path, arguments: list[str], stdin: str, code: int) -> None:
    names = {"FILE": locked, "NEW": new}
    before = locked.read_bytes()
    done = run("key", *(names.get(argument, argument) for argument in arguments), stdin=stdin.encode())
    assert done.returncode == code, done.stderr
    assert locked.read_bytes() == before


def test_header(locked: Path, tmp_path: Path) -> None:
    backup = tmp_path / "header.bin"
    done = run("header", "backup", locked, backup)
    assert (done.returncode, done.stderr) == (0, b"")
    assert run("header", "backup", locked, backup).returncode == 1
    with locked.open("r+b") as file:
        file.write(bytes(65536))
    assert run("header", "restore", locked, backup, "--key-stdin", stdin=b"wrong").returncode == 3
    done = run("header", "restore", locked, backup, "--key-stdin", stdin=PASS.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"what was there before is in" in done.stdout
    assert run("verify", locked, "--key-stdin", stdin=PASS.encode()).returncode == 0
    other = make_plain(tmp_path / "other.db", rows=5)
    lumocrypt.encrypt(other, key=PASS, kdf=FAST)
    refused = run("header", "restore", other, backup, "--key-stdin", "--json", stdin=PASS.encode())
    assert refused.returncode == 2
    assert "another database" in json.loads(refused.stderr)["message"]


def test_a_variable_alone_does_not_change_the_key(locked: Path, new: Path) -> None:
    """LUMO_NEW_KEY may be there for another command: `rekey` takes it when it is asked to change the key."""
    before = lumocrypt.info(locked).key_id
    done = run(
        "rekey", locked, "--key-stdin", stdin=PASS.encode(), env={"LUMO_NEW_KEY": "from the environment"}
    )
    assert done.returncode == 0
    assert b"--change-key" in done.stderr
    assert lumocrypt.info(locked).key_id != before
    lumocrypt.connect(locked, key=PASS).close()
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(locked, key="from the environment")
    arguments = ("rekey", locked, "--key-stdin", "--change-key", "--kdf", KDF)
    assert run(*arguments, stdin=PASS.encode(), env={"LUMO_NEW_KEY": "from the environment"}).returncode == 0
    lumocrypt.connect(locked, key="from the environment").close()
    # A source that is named says it, too.
    done = run(
        *("rekey", locked, "--key-stdin", "--new-key-file", new, "--kdf", KDF),
        stdin=b"from the environment",
        env={"LUMO_NEW_KEY": "not this one"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lumocrypt.connect(locked, key="a new one").close()
