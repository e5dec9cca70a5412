"""Keys in memory: where they are, what a core dump would hold, and that they are gone when they should be.

The key and everything derived from it is known to these tests through the independent decryptor, and looked
for in the memory of another process, which must be found to hold it in locked memory: otherwise finding
nothing elsewhere would mean nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from decryptor.header import PASSPHRASE, Header, open_header
from decryptor.primitives import argon2id, hkdf_sha256, hmac_sha256
from samples import KEYED
from support.memory import Place, search

TESTS = Path(__file__).parents[1]
HOLDER = TESTS / "support" / "key_holder.py"
BLOCK_KINDS = {"main": 1, "journal": 2, "wal": 3}
MARKER = os.urandom(16).hex()

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")


class Holder:
    """A process that uses a database; see support/key_holder.py."""

    def __init__(self, folder: Path, cipher: str, kind: str) -> None:
        self.folder = folder
        self.database = folder / "app.db"
        self.secret: str | bytes = os.urandom(32) if kind == "raw" else os.urandom(24).hex()
        self.material = self.secret if isinstance(self.secret, bytes) else self.secret.encode()
        arguments = [str(self.database), cipher, kind, str(len(self.material)), MARKER]
        self.process = subprocess.Popen(
            [sys.executable, str(HOLDER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
            cwd=folder,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(self.material)
        self.process.stdin.flush()
        assert self._answer() == b"ready\n"

    def _answer(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def tell(self, command: str) -> bytes:
        """Has it do something; what it answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def needles(self) -> dict[str, bytes]:
        """All secrets: the key, what it is stretched to, the data key and its subkeys."""
        header = open_header(self.database.read_bytes()[:65536], self.secret)
        return {"key": self.material, **_keyslot_secrets(header, self.secret), **_subkeys(header)}

    def search(self, needles: dict[str, bytes]) -> dict[str, list[Place]]:
        return search(self.process.pid, needles)


def _keyslot_secrets(header: Header, secret: str | bytes) -> dict[str, bytes]:
    slot = header.superblock.keyslots[0]
    salt = slot.raw[32:64]
    secrets: dict[str, bytes] = {}
    if slot.type == PASSPHRASE:
        assert isinstance(secret, str)
        ikm = argon2id(secret, salt, slot.t, slot.m, slot.p)
        secrets["stretched key"] = ikm
        # RFC 9106, section 3.2: all that the rest of Argon2id depends on.
        given = secret.encode()
        start = struct.pack("<IIIIIII", slot.p, 32, slot.m, slot.t, 0x13, 2, len(given)) + given
        start += struct.pack("<I", len(salt)) + salt + bytes(8)
        secrets["Argon2's first hash"] = hashlib.blake2b(start).digest()
    else:
        assert isinstance(secret, bytes)
        ikm = secret
    secrets["keyslot PRK"] = hmac_sha256(salt, ikm)
    secrets["wrapping key"] = hkdf_sha256(ikm, salt, b"lumocrypt v1 keyslot", 64)[:32]
    return secrets


def _subkeys(header: Header) -> dict[str, bytes]:
    keys = header.keys
    found = {"data key": keys.data_key, "data key PRK": hmac_sha256(keys.uuid, keys.data_key)}
    for name, kind in BLOCK_KINDS.items():
        key = keys.opener(kind).key
        found[f"{name} key"] = key[:32]
        if key[32:]:
            found[f"{name} tweak key"] = key[32:]
    for name in ("superblock mac", "wal cell mac"):
        mac_key = keys.derive(f"lumocrypt v1 {name}".encode() + keys.key_id)
        found[f"{name} key"] = mac_key
        # As HMAC keeps it.
        found[f"{name} key, inner"] = bytes(byte ^ 0x36 for byte in mac_key)
        found[f"{name} key, outer"] = bytes(byte ^ 0x5C for byte in mac_key)
    return found


@contextlib.contextmanager
def holder(folder: Path, cipher: str = "aegis-256x2", kind: str = "raw") -> Iterator[Holder]:
    one = Holder(folder, cipher, kind)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait(30)


@pytest.mark.parametrize("kind", ["raw", "passphrase"])
@pytest.mark.parametrize("cipher", KEYED)
def test_keys_are_in_memory_that_core_dumps_leave_out_and_nowhere_else(
    tmp_path: Path, cipher: str, kind: str
) -> None:
    with holder(tmp_path, cipher, kind) as process:
        found = process.search(process.needles() | {"control": f"{MARKER} in ordinary".encode()})
        assert any(place.mapping.dumped for place in found.pop("control")), "ordinary memory is searched"
        for name in ("key", "data key"):
            assert found[name], f"the {name} is in memory, or the search is blind"
        leaked = {name: [p for p in places if p.mapping.dumped] for name, places in found.items()}
        assert {name: places for name, places in leaked.items() if places} == {}


def test_a_core_file_holds_no_key(tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if "/" in pattern or pattern.startswith("|"):
        pytest.skip(f"core files do not go to the working directory: {pattern}")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files are switched off")
    with holder(tmp_path, kind="passphrase") as process:
        needles = process.needles()
        assert all(process.search(needles)[name] for name in ("key", "data key", "main key", "wal key"))
        assert process.tell("abort") == b""
        process.process.wait(60)
    (core,) = tmp_path.glob("core*")
    content = core.read_bytes()
    assert f"{MARKER} in ordinary memory".encode() in content, "the core file is complete"
    assert [name for name, needle in needles.items() if needle in content] == []


def test_keys_are_locked_into_memory(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == 0:
        pytest.skip("locking memory is not allowed")
    with holder(tmp_path) as process:
        found = process.search(process.needles())
        places = [place for name in ("key", "data key", "main key", "wal key") for place in found[name]]
        assert places
        assert all(place.mapping.locked for place in places)


@pytest.mark.parametrize("cipher", KEYED)
def test_keys_are_wiped_when_the_last_user_is_gone(tmp_path: Path, cipher: str) -> None:
    with holder(tmp_path, cipher) as process:
        needles = process.needles()
        assert process.search(needles)["data key"]
        process.tell("free")
        assert process.search(needles)["key"], "the connection keeps what it was opened with"
        process.tell("close")
        assert {name: places for name, places in process.search(needles).items() if places} == {}


@pytest.mark.parametrize("cipher", KEYED)
def test_threads_leave_no_keys_on_their_stacks(tmp_path: Path, cipher: str) -> None:
    with holder(tmp_path, cipher) as process:
        needles = process.needles()
        assert process.tell("verify") == b"done\n"
        found = process.search(needles)
        assert found["main key"]
        leaked = {name: [p for p in places if p.mapping.dumped] for name, places in found.items()}
        assert {name: places for name, places in leaked.items() if places} == {}


def test_a_passphrases_data_key_stays_until_the_file_is_locked(tmp_path: Path) -> None:
    with holder(tmp_path, kind="passphrase") as process:
        needles = process.needles()
        process.tell("free")
        process.tell("close")
        left = {name: places for name, places in process.search(needles).items() if places}
        # So that the next connection need not run Argon2id.
        assert set(left) == {"data key"}
        assert not any(place.mapping.dumped for place in left["data key"])
        process.tell("lock")
        assert {name: places for name, places in process.search(needles).items() if places} == {}


def test_logs_traces_and_pragmas_do_not_show_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import logging

    secret = "a passphrase for nobody's eyes"
    seen: list[str] = []
    key = lumocrypt.Key(secret)
    connection = lumocrypt.connect(tmp_path / "app.db", key=key, kdf={"t": 2, "m": 19 * 1024, "p": 1})
    connection.set_trace_callback(seen.append)
    with connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    for pragma in ("lumo_status", "lumo_cipher", "database_list"):
        seen.append(str(connection.execute(f"PRAGMA {pragma}").fetchall()))
    connection.close()
    try:
        lumocrypt.connect(tmp_path / "app.db", key=secret + "!")
    except lumocrypt.WrongKeyError as error:
        logging.getLogger("application").exception("could not open with %r: %s", key, error)
        seen += [repr(error), str(error), repr(vars(error)), repr(error.args)]
    else:
        pytest.fail("the key was wrong")
    seen += [caplog.text, repr(lumocrypt.__dict__)]
    assert len(seen) > 8
    assert all(secret not in text and key_handle_free(text) for text in seen)


def key_handle_free(text: str) -> bool:
    """The handle that stands for a key is good once; nobody should see even that."""
    return not re.search("lumo_handle=[0-9a-f]", text)


_FORK = """
import os, sys
import lumocrypt
from lumocrypt import Key

folder, mode = sys.argv[1:]
key = Key.raw(bytes(range(32)))

def open_database(name):
    connection = lumocrypt.connect(f"{folder}/{name}.db", key=key, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("PRAGMA cache_size=10")
    connection.execute("CREATE TABLE IF NOT EXISTS t (data BLOB)")
    return connection

def write(connection):
    for _ in range(30):
        connection.execute("INSERT INTO t VALUES (zeroblob(20000))")

mine = open_database("parent")
mine.execute("BEGIN")
write(mine)  # leaves nonces in stock, of which parent and child must not use the same
child = os.fork()
if child == 0:
    other = open_database("child")
    other.execute("BEGIN")
    write(other)
    other.execute("COMMIT")
    # As it is on the disk, with its WAL.
    os._exit(0)
write(mine)
mine.execute("COMMIT")
assert os.waitpid(child, 0)[1] == 0
os._exit(0)
"""


def _nonces(database: Path, page: int = 4096) -> list[bytes]:
    """The stored nonce of every block of a database and every frame of its WAL."""
    content = database.read_bytes()[65536:]
    slot = page + 40
    found = [content[at + page : at + page + 24] for at in range(0, len(content) - slot + 1, slot)]
    wal = database.with_name(database.name + "-wal")
    if wal.exists():
        content = wal.read_bytes()
        frame = 24 + page
        starts = range(8192, len(content) - frame - 40 + 1, frame + 40)
        found += [content[at + frame : at + frame + 24] for at in starts]
        found += [content[at + 192 : at + 216] for at in (0, 4096)]
    return [nonce for nonce in found if any(nonce)]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_parent_and_child_of_a_fork_use_different_nonces_hazard_11(tmp_path: Path, mode: str) -> None:
    subprocess.run([sys.executable, "-c", _FORK, str(tmp_path), mode], check=True, timeout=120)
    parent, child = _nonces(tmp_path / "parent.db"), _nonces(tmp_path / "child.db")
    assert min(len(parent), len(child)) > 100
    together = parent + child
    assert len(set(together)) == len(together)


def test_a_forked_child_keeps_unlocked_keys_and_opens_anew(tmp_path: Path) -> None:
    code = """
import os, sys
import lumocrypt

path = sys.argv[1]
lumocrypt.unlock(path, "a passphrase")
connection = lumocrypt.connect(path, kdf={"t": 2, "m": 19 * 1024, "p": 2})
connection.execute("CREATE TABLE t (a)")
connection.execute("INSERT INTO t VALUES (1)")
connection.commit()
connection.close()
child = os.fork()
if child == 0:
    own = lumocrypt.connect(path)  # neither a key nor Argon2id is needed
    own.execute("INSERT INTO t VALUES (2)")
    own.commit()
    own.close()
    # What is unlocked after the fork is each process's own.
    lumocrypt.lock(path)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert lumocrypt.connect(path).execute("SELECT sum(a) FROM t").fetchone() == (3,)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "app.db")], check=True, timeout=120)
