"""Who opens a database: keys are added, removed and changed while others use it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lumocrypt
from decryptor.header import REGION, open_header
from lumocrypt.database.command import Commander
from lumocrypt.engine import native
from lumocrypt.keys.key import RemoteKey, Wrapped
from lumocrypt.keys.source import Source
from support.known_keys import FAST, RAW
from support.layout import COPY, KEYSLOTS_AT, patched
from support.peers import Peer
from support.plaintext import fill

KEY = lumocrypt.Key.raw(RAW)
OTHER_RAW, THIRD_RAW = bytes([1] * 32), bytes([2] * 32)
OTHER, THIRD = lumocrypt.Key.raw(OTHER_RAW), lumocrypt.Key.raw(THIRD_RAW)


def rows(path: Path, key: lumocrypt.Key | str) -> int:
    with contextlib.closing(lumocrypt.connect(path, key=key)) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def generation(path: Path) -> int:
    return lumocrypt.info(path).generation


def assert_whole(path: Path, key: lumocrypt.Key | str = KEY) -> None:
    result = lumocrypt.verify(path, key=key)
    assert result.ok, result
    content = path.read_bytes()
    assert content[:COPY] == content[COPY : 2 * COPY]


def test_the_life_of_a_key(encrypted: Path) -> None:
    before = encrypted.read_bytes()
    added = lumocrypt.add_key(encrypted, key=KEY, new_key="a passphrase", kdf=FAST, label="laptop")
    assert (added.index, added.type, added.label) == (1, "passphrase", "laptop")
    assert added.kdf == lumocrypt.Argon2id(2, 19456, 1)
    assert rows(encrypted, "a passphrase") == rows(encrypted, KEY) == 500
    changed = lumocrypt.change_key(encrypted, key="a passphrase", new_key="another one", kdf=FAST)
    assert (changed.index, changed.label) == (1, "laptop")
    assert rows(encrypted, "another one") == 500
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(encrypted, "a passphrase")
    assert lumocrypt.label_key(encrypted, "desk", key=KEY, slot=1).label == "desk"
    assert [slot.index for slot in lumocrypt.keyslots(encrypted)] == [0, 1]
    assert lumocrypt.remove_key(encrypted, key="another one") == 1
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(encrypted, "another one")
    assert rows(encrypted, KEY) == 500
    assert generation(encrypted) == 5
    assert_whole(encrypted)
    # No block was touched.
    assert encrypted.read_bytes()[REGION:] == before[REGION:]


def test_an_independent_reader_agrees(encrypted: Path) -> None:
    lumocrypt.add_key(encrypted, key=KEY, new_key="a passphrase", kdf=FAST)
    lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER)
    with Commander(Source.open(encrypted, KEY)) as commander:
        answer = commander.run({"command": "add_slot", "provider": "00ff" * 392}, [THIRD])
    assert answer == {"slot": 3, "generation": 4}
    region = encrypted.read_bytes()[:REGION]
    secrets: list[str | bytes] = [RAW, "a passphrase", OTHER_RAW, THIRD_RAW]
    assert len({open_header(region, secret).keys.data_key for secret in secrets}) == 1
    assert rows(encrypted, THIRD) == 500


def test_a_key_may_remove_itself_and_any_other_but_the_last(encrypted: Path) -> None:
    lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER)
    assert lumocrypt.remove_key(encrypted, key=KEY) == 0
    for slot in (None, 1):
        with pytest.raises(lumocrypt.CryptError, match="last keyslot"):
            lumocrypt.remove_key(encrypted, key=OTHER, slot=slot)
    assert rows(encrypted, OTHER) == 500
    lumocrypt.add_key(encrypted, key=OTHER, new_key=THIRD)
    assert lumocrypt.remove_key(encrypted, key=THIRD, slot=1) == 1
    assert rows(encrypted, THIRD) == 500


def test_twelve_keys(encrypted: Path) -> None:
    for number in range(1, 12):
        lumocrypt.add_key(encrypted, key=KEY, new_key=lumocrypt.Key.raw(bytes([number] * 32)))
    with pytest.raises(lumocrypt.CryptError, match="all 12 keyslots") as caught:
        lumocrypt.add_key(encrypted, key=KEY, new_key="one too many", kdf=FAST)
    assert caught.value.path == str(encrypted)
    assert len(lumocrypt.keyslots(encrypted)) == 12
    assert_whole(encrypted)


@pytest.mark.parametrize(
    "operation",
    [
        lambda path, key: lumocrypt.add_key(path, key=key, new_key=OTHER),
        lambda path, key: lumocrypt.change_key(path, key=key, new_key=OTHER),
        lambda path, key: lumocrypt.remove_key(path, key=key, slot=0),
        lambda path, key: lumocrypt.label_key(path, "x", key=key),
    ],
    ids=["add", "change", "remove", "label"],
)
def test_nobody_without_a_key_changes_anything(
    encrypted: Path, operation: Callable[[Path, Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = encrypted.read_bytes()
    with pytest.raises(lumocrypt.WrongKeyError):
        operation(encrypted, OTHER)
    with pytest.raises(lumocrypt.WrongKeyError):
        operation(encrypted, "wrong")
    with pytest.raises(lumocrypt.KeyRequiredError):
        operation(encrypted, None)
    with pytest.raises(TypeError):
        operation(encrypted, RAW)
    assert encrypted.read_bytes() == before
    lumocrypt.add_key(encrypted, key=KEY, new_key=THIRD)
    monkeypatch.setenv("LUMO_KEY", f"x'{RAW.hex()}'")
    operation(encrypted, None)
    assert generation(encrypted) == 3


def test_bad_arguments(encrypted: Path) -> None:
    before = encrypted.read_bytes()
    for label in ("x" * 65, "a\nb", "\x1b[31m"):
        with pytest.raises(ValueError, match="label"):
            lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER, label=label)
    with pytest.raises(ValueError, match="floor"):
        lumocrypt.add_key(encrypted, key=KEY, new_key="p", kdf={"t": 1, "m": 19456, "p": 1})
    with pytest.raises(ValueError, match="kdf_limit"):
        lumocrypt.change_key(encrypted, key=KEY, new_key="p", kdf={"t": 65, "m": 19456, "p": 1})
    with pytest.raises(ValueError, match="empty"):
        lumocrypt.add_key(encrypted, key=KEY, new_key="")
    with pytest.raises(TypeError, match="new key"):
        lumocrypt.add_key(encrypted, key=KEY, new_key=None)  # pyright: ignore[reportArgumentType]
    for slot in (12, -1):
        with pytest.raises(ValueError, match="from 0 to 11"):
            lumocrypt.remove_key(encrypted, key=KEY, slot=slot)
    with pytest.raises(lumocrypt.CryptError, match="keyslot 7 is free"):
        lumocrypt.remove_key(encrypted, key=KEY, slot=7)
    with pytest.raises(FileNotFoundError):
        lumocrypt.add_key(encrypted.with_name("none.db"), key=KEY, new_key=OTHER)
    assert encrypted.read_bytes() == before


def test_a_checksummed_database_has_no_keys(plain: Path) -> None:
    lumocrypt.encrypt(plain, key=None, cipher="checksum")
    with pytest.raises(lumocrypt.NotEncryptedError, match="checksummed"):
        lumocrypt.add_key(plain, key=KEY, new_key=OTHER)
    assert lumocrypt.keyslots(plain) == []


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_live_connections_go_on(encrypted: Path, peer: Callable[..., Peer], mode: str) -> None:
    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY, isolation_level=None)) as ours:
        assert ours.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
        theirs = peer(encrypted, RAW)
        ours.execute("BEGIN")
        assert ours.execute("SELECT count(*) FROM t").fetchone() == (500,)
        lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER)
        assert lumocrypt.remove_key(encrypted, key=KEY) == 0
        # A reader in the middle of its transaction, and writers afterwards.
        assert ours.execute("SELECT count(*) FROM t").fetchone() == (500,)
        ours.execute("COMMIT")
        assert "rows" in theirs.run("INSERT INTO t (name) VALUES ('theirs')")
        ours.execute("INSERT INTO t (name) VALUES ('ours')")
        assert theirs.run("SELECT count(*) FROM t")["rows"] == [[502]]
        assert peer(encrypted, RAW).opened["error"] == "WrongKeyError"
        with pytest.raises(lumocrypt.WrongKeyError):
            ours.execute(f"PRAGMA lumo_key = \"x'{RAW.hex()}'\"")
        theirs.close()
    assert rows(encrypted, OTHER) == 502
    assert_whole(encrypted, OTHER)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_writer_is_waited_for(encrypted: Path, mode: str) -> None:
    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY, isolation_level=None)) as writer:
        writer.execute(f"PRAGMA journal_mode={mode}").fetchall()
        writer.execute("BEGIN IMMEDIATE")
        before = encrypted.read_bytes()
        with (
            Commander(Source.open(encrypted, KEY), wait=0.1) as commander,
            pytest.raises(lumocrypt.InUseError, match="writing"),
        ):
            commander.run({"command": "add_slot"}, [OTHER])
        assert encrypted.read_bytes() == before
        writer.execute("ROLLBACK")
        lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER)
    assert rows(encrypted, OTHER) == 500


def _add(path: Path, number: int, start: Any) -> None:
    start.wait()
    lumocrypt.add_key(path, key=lumocrypt.Key.raw(RAW), new_key=lumocrypt.Key.raw(bytes([number] * 32)))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_changes_at_the_same_time_are_all_there_hazard_10(encrypted: Path, mode: str) -> None:
    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(6)
    processes = [context.Process(target=_add, args=(encrypted, number, start)) for number in range(1, 7)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for number in range(1, 7):
        assert rows(encrypted, lumocrypt.Key.raw(bytes([number] * 32))) == 500
    assert generation(encrypted) == 7
    assert_whole(encrypted)


CHANGER = """
import sys
import lumocrypt

path, number = sys.argv[1], int(sys.argv[2])
key = lambda n: lumocrypt.Key.raw(n.to_bytes(32, "big"))
print("ready", flush=True)
while True:
    lumocrypt.change_key(path, key=key(number), new_key=key(number + 1))
    number += 1
    print(number, flush=True)
"""


def test_a_killed_process_leaves_the_old_key_or_the_new_one(tmp_path: Path) -> None:
    """Exactly one of them, and never an older one than the last change that returned."""

    def key(number: int) -> lumocrypt.Key:
        return lumocrypt.Key.raw(number.to_bytes(32, "big"))

    path, number = tmp_path / "app.db", 1000
    with contextlib.closing(lumocrypt.connect(path, key=key(number))) as connection:
        fill(connection, 50)
    random = Random(5)
    for _ in range(15):
        process = subprocess.Popen(
            [sys.executable, "-c", CHANGER, str(path), str(number)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # Counted in changes, not in time: however slow the machine, some had changed the key before.
        for _ in range(random.randint(0, 3)):
            number = int(process.stdout.readline())
        time.sleep(random.uniform(0.0, 0.05))
        process.kill()
        *_, number = [number, *(int(line) for line in process.stdout.read().split())]
        process.wait(30)
        opening = [n for n in range(number - 3, number + 3) if _opens(path, key(n))]
        assert opening in ([number], [number + 1])
        number = opening[0]
        assert rows(path, key(number)) == 50
    assert number > 1015


def _opens(path: Path, key: lumocrypt.Key) -> bool:
    try:
        lumocrypt.connect(path, key=key).close()
    except lumocrypt.WrongKeyError:
        return False
    return True


@dataclass(frozen=True)
class Elsewhere(RemoteKey):
    """A key that a service keeps."""

    secret: lumocrypt.Key

    def wrap(self, uuid: bytes, key_id: bytes) -> Wrapped:
        return Wrapped(self.secret, b"shown to the service" + uuid + key_id)

    def unwrap(self, path: str) -> lumocrypt.Key:
        return self.secret


def test_keys_that_are_kept_elsewhere(encrypted: Path) -> None:
    remote = Elsewhere(OTHER)
    added = lumocrypt.add_key(encrypted, key=KEY, new_key=remote, label="cloud")
    found = lumocrypt.info(encrypted)
    provider = b"shown to the service" + found.uuid.bytes + bytes.fromhex(found.key_id)
    assert (added.index, added.type, added.label, added.provider) == (1, "kms", "cloud", provider)
    assert lumocrypt.change_key(encrypted, key=KEY, new_key=Elsewhere(THIRD)).type == "kms"
    assert lumocrypt.remove_key(encrypted, key=remote) == 1
    with contextlib.closing(lumocrypt.connect(encrypted, key=Elsewhere(THIRD))) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
        with pytest.raises(sqlite3.Error, match="key-management"):
            connection.execute("PRAGMA lumo_change_key = 'a passphrase'")
    # What the service is shown is sealed with the slot.
    content = bytearray(encrypted.read_bytes())
    encrypted.write_bytes(patched(bytes(content), KEYSLOTS_AT + 240, b"S"))
    with pytest.raises(lumocrypt.HeaderDamagedError):
        rows(encrypted, THIRD)


def test_a_connection_from_before_does_not_undo_a_change_hazard_10(encrypted: Path) -> None:
    """It has found the copies to differ, and completes the header with its first write: as it is then."""
    lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER)
    content = bytearray(encrypted.read_bytes())
    content[COPY + 200] ^= 1
    encrypted.write_bytes(content)
    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY, isolation_level=None)) as old:
        assert lumocrypt.remove_key(encrypted, key=KEY, slot=1) == 1
        old.execute("INSERT INTO t (name) VALUES ('x')")
    assert_whole(encrypted)
    assert generation(encrypted) == 3
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(encrypted, OTHER)


def test_a_database_without_rows_keeps_its_keys_hazard_10(tmp_path: Path) -> None:
    """Its first page may be smaller than the blocks that it was made for, which changes the header."""
    path = tmp_path / "new.db"
    with contextlib.closing(lumocrypt.connect(path, key=KEY, isolation_level=None)) as first:
        first.execute("PRAGMA page_size=512")
        first.execute("BEGIN IMMEDIATE")
        first.execute("CREATE TABLE t (a)")
        first.execute("ROLLBACK")
        if path.stat().st_size == 0:
            pytest.skip("this SQLite makes no journal before it writes")
        lumocrypt.add_key(path, key=KEY, new_key=OTHER)
        first.execute("CREATE TABLE t (a)")
    assert rows(path, OTHER) == 0
    assert lumocrypt.info(path).block_size == 512
    assert_whole(path)


def test_a_removed_key_does_not_open_what_is_copied_later_hazard_1(encrypted: Path, tmp_path: Path) -> None:
    """Also by a connection that has read the header before."""
    lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER)
    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY, isolation_level=None)) as live:
        live.execute("SELECT count(*) FROM t").fetchall()
        lumocrypt.remove_key(encrypted, key=KEY, slot=1)
        lumocrypt.add_key(encrypted, key=KEY, new_key=THIRD)
        live.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        live.execute("ATTACH ? AS heir", (str(tmp_path / "heir.db"),))
        live.execute("CREATE TABLE heir.t AS SELECT * FROM t")
    for copy in ("copy.db", "heir.db"):
        assert rows(tmp_path / copy, THIRD) == rows(tmp_path / copy, KEY) == 500
        with pytest.raises(lumocrypt.WrongKeyError):
            rows(tmp_path / copy, OTHER)


def test_a_removed_passphrase_is_not_let_in_by_the_cache_hazard_16(encrypted: Path) -> None:
    lumocrypt.add_key(encrypted, key=KEY, new_key="gone", kdf=FAST)
    runs = lumocrypt.stats()["kdf_runs"]
    assert rows(encrypted, "gone") == 500
    assert lumocrypt.stats()["kdf_runs"] == runs, "whoever makes a slot need not derive again"
    lumocrypt.remove_key(encrypted, key=KEY, slot=1)
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(encrypted, "gone")
    lumocrypt.add_key(encrypted, key=KEY, new_key="new", kdf=FAST)
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(encrypted, "gone")


def test_a_read_only_file_is_left_alone(encrypted: Path, unprivileged: Any) -> None:
    path = unprivileged.folder / "app.db"
    path.write_bytes(encrypted.read_bytes())
    path.chmod(0o444)
    unprivileged.drop()
    try:
        with pytest.raises(PermissionError):
            lumocrypt.add_key(path, key=KEY, new_key=OTHER)
    finally:
        unprivileged.restore()


def test_a_full_disk_loses_nothing(encrypted: Path) -> None:
    """The header has its place already."""
    size = encrypted.stat().st_size
    lumocrypt.add_key(encrypted, key=KEY, new_key=OTHER)
    assert encrypted.stat().st_size == size


# The way to the file


def test_a_command_is_for_one_pragma_in_a_write_transaction(encrypted: Path) -> None:
    def handle() -> str:
        return native.command_new({"command": "label_slot", "slot": 0, "label": "x"}, [])

    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY, isolation_level=None)) as connection:
        for begin in (None, "BEGIN"):
            if begin:
                connection.execute(begin)
                connection.execute("SELECT count(*) FROM t").fetchall()
            with pytest.raises(sqlite3.OperationalError, match="BEGIN IMMEDIATE"):
                connection.execute(f"PRAGMA lumo_command='{handle()}'")
        connection.execute("ROLLBACK")
        assert generation(encrypted) == 1
        connection.execute("BEGIN IMMEDIATE")
        one = handle()
        # EXPLAIN runs a pragma, too, and is harmless: then it was that.
        connection.execute(f"EXPLAIN PRAGMA lumo_command='{one}'").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="good once"):
            connection.execute(f"PRAGMA lumo_command='{one}'")
        for text in ("PRAGMA lumo_command", "PRAGMA lumo_command=''"):
            with pytest.raises(sqlite3.OperationalError, match="good once"):
                connection.execute(text)
        connection.execute("ROLLBACK")
    assert generation(encrypted) == 2


def test_a_write_lock_that_was_not_got_is_none(encrypted: Path) -> None:
    """Of a WAL: the lock is taken, and given back because the header cannot be read."""
    with contextlib.closing(
        lumocrypt.connect(encrypted, key=KEY, isolation_level=None, io="pread")
    ) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO t (name) VALUES ('x')")
        with encrypted.open("r+b", buffering=0) as file:
            header = file.read(2 * COPY)
            file.seek(0)
            file.write(bytes(len(header)))
            with pytest.raises(lumocrypt.CryptError):
                connection.execute("BEGIN IMMEDIATE")
            file.seek(0)
            file.write(header)
        handle = native.command_new({"command": "label_slot", "slot": 0, "label": "x"}, [])
        with pytest.raises(sqlite3.OperationalError, match="BEGIN IMMEDIATE"):
            connection.execute(f"PRAGMA lumo_command='{handle}'")
        connection.execute("INSERT INTO t (name) VALUES ('y')")
    assert generation(encrypted) == 1


def test_the_number_of_calls_does_not_depend_on_the_size(encrypted: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/io").exists():
        pytest.skip("the kernel does not count system calls")

    def calls() -> tuple[int, int]:
        lines = Path("/proc/self/io").read_text().split()
        return int(lines[lines.index("syscr:") + 1]), int(lines[lines.index("syscw:") + 1])

    def cost(path: Path) -> tuple[int, int]:
        before = calls()
        lumocrypt.change_key(path, key=KEY, new_key=KEY)
        after = calls()
        return after[0] - before[0], after[1] - before[1]

    large = tmp_path / "large.db"
    large.write_bytes(encrypted.read_bytes())
    # Nobody looks at what lies behind the rows.
    os.truncate(large, 1 << 30)
    cost(encrypted)
    small = cost(encrypted)
    assert cost(large) == small
    assert small[1] <= 4, "two copies, and what SQLite writes when it opens and closes"
