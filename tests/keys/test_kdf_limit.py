"""What a header that nobody has authenticated may ask for, how more is allowed, and what is said."""

from __future__ import annotations

import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.known_keys import FAST
from support.layout import COPY, KDF_P_AT, KDF_T_AT, KEYSLOT, KEYSLOTS_AT, patched, u32, u64
from support.operations import PASSPHRASE, READERS, Operation, by_name, refused, unlock
from support.plaintext import make_plain
from support.terminal import PROGRAM

GENERATION_AT = 24
GIB = 1 << 20
# What an open may cost at most before its key is known to be right, and this process on top of that.
MOST_MEMORY = 1.5 * GIB


def asking(content: bytes, *costs: tuple[int, int, int], copies: tuple[int, ...] = (0, COPY)) -> bytes:
    """A database whose keyslots ask for these passes, KiB and lanes, as anybody can forge it."""
    slot = bytearray(content[KEYSLOTS_AT : KEYSLOTS_AT + KEYSLOT])
    slots = b""
    for t, m, p in costs:
        slot[KDF_T_AT : KDF_P_AT + 4] = u32(t) + u32(m) + u32(p)
        slots += slot
    return patched(content, KEYSLOTS_AT, slots.ljust(12 * KEYSLOT, b"\0"), copies)


#: Headers that passed when each number had a cap and nothing else, and took minutes or gigabytes.
EXPENSIVE = {
    "four gigabytes": [(1, 4 * GIB, 4)],
    "sixty-four passes": [(64, GIB, 4)],
    "one lane": [(64, GIB, 1)],
    "nine passes": [(9, GIB, 4)],
    "twelve dear slots": [(3, GIB, 4)] * 12,
    "twelve slots of some size": [(64, 16 * 1024, 1)] * 12,
    "many lanes": [(1, 65536, 65)],
    "passes over nothing": [(2**32 - 1, 8, 1)],
}


@pytest.mark.parametrize("costs", EXPENSIVE.values(), ids=EXPENSIVE)
@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
def test_nothing_is_derived_for_a_header_that_asks_for_too_much(
    tmp_path: Path, with_passphrase: bytes, operation: Operation, costs: list[tuple[int, int, int]]
) -> None:
    path = tmp_path / "bomb.db"
    path.write_bytes(asking(with_passphrase, *costs))
    runs = lumocrypt.stats()["kdf_runs"]
    error = refused(lumocrypt.KdfLimitError, operation, path, PASSPHRASE, 'kdf_limit="')
    assert lumocrypt.stats()["kdf_runs"] == runs
    # Not as if the key were wrong, and not as if the file were of another version.
    assert not isinstance(error, lumocrypt.WrongKeyError | lumocrypt.UnsupportedFormatError)
    assert isinstance(error, sqlite3.OperationalError)
    assert error.sqlite_errorname == "SQLITE_AUTH"


def test_a_raw_key_has_nothing_to_do_with_it(tmp_path: Path, with_passphrase: bytes) -> None:
    path = tmp_path / "bomb.db"
    path.write_bytes(asking(with_passphrase, *EXPENSIVE["twelve dear slots"]))
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(path, key=lumocrypt.Key.raw(bytes(32)))


@pytest.mark.parametrize(
    "costs",
    [
        [(3, 64 * 1024, 4)] * 12,
        [(3, 256 * 1024, 4)] * 10,
        [(3, GIB, 4)] * 2 + [(3, 64 * 1024, 4)] * 10,
    ],
    ids=["interactive", "moderate", "sensitive"],
)
def test_our_own_profiles_are_never_in_the_way(
    tmp_path: Path, with_passphrase: bytes, costs: list[tuple[int, int, int]]
) -> None:
    """The first slot is cheap and comes first, so that this is quick; the sum is looked at all the same."""
    path = tmp_path / "full.db"
    path.write_bytes(with_passphrase)
    slots = list(lumocrypt.keyslots(path))
    assert slots[0].kdf is not None
    own = (slots[0].kdf.t, slots[0].kdf.m, slots[0].kdf.p)
    content = asking(with_passphrase, own, *costs[1:])
    path.write_bytes(content)
    # The header was changed by somebody without the key: that this is known means that the key was tried.
    with pytest.raises(lumocrypt.HeaderDamagedError):
        lumocrypt.connect(path, key=PASSPHRASE)


def test_the_copies_of_a_header_have_one_budget(tmp_path: Path, with_passphrase: bytes) -> None:
    """Slots of the older copy that differ count as well."""
    path = tmp_path / "bomb.db"
    newer = asking(with_passphrase, (2, 20000, 1), copies=(0,))
    newer = patched(newer, GENERATION_AT, u64(99), copies=(0,))
    path.write_bytes(asking(newer, (2, 20001, 1), copies=(COPY,)))
    runs = lumocrypt.stats()["kdf_runs"]
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(path, key="wrong", kdf_limit={"work": 80002})
    with pytest.raises(lumocrypt.KdfLimitError):
        lumocrypt.connect(path, key="wrong", kdf_limit={"work": 80001})
    assert lumocrypt.stats()["kdf_runs"] == runs + 3


# Allowing it

#: Above a limit of the environment that is as low as this, a cheap database stands for a dear one.
LOW = "m=1024"
NEEDED = "m=19456"


@pytest.fixture
def dear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make_plain(tmp_path / "dear.db", rows=5)
    lumocrypt.encrypt(path, key=PASSPHRASE, kdf=FAST)
    monkeypatch.setenv("LUMO_KDF_LIMIT", LOW)
    return path


def rows(connection: sqlite3.Connection) -> int:
    with connection:
        (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
    connection.close()
    return count


def by_text(path: Path) -> int:
    return rows(lumocrypt.connect(path, key=PASSPHRASE, kdf_limit=NEEDED))


def by_object(path: Path) -> int:
    return rows(lumocrypt.connect(path, key=PASSPHRASE, kdf_limit={"m": 19456}))


def by_uri(path: Path) -> int:
    uri = f"file:{path}?lumo_kdf_limit={NEEDED}"
    return rows(lumocrypt.connect(uri, key=PASSPHRASE, uri=True))


def by_uri_without_us(path: Path) -> int:
    uri = f"file:{path}?vfs=lumocrypt&lumo_kdf_limit={NEEDED}"
    connection = sqlite3.connect(uri, uri=True)
    connection.execute(f"PRAGMA lumo_key='{PASSPHRASE}'")
    return rows(connection)


def by_unlock(path: Path) -> int:
    lumocrypt.unlock(path, PASSPHRASE, kdf_limit=NEEDED)
    try:
        assert lumocrypt.verify(path).ok
        assert lumocrypt.label_key(path, "mine", key=None).label == "mine"
        return rows(lumocrypt.connect(path))
    finally:
        lumocrypt.lock(path)


def by_environment(path: Path) -> int:
    os.environ["LUMO_KDF_LIMIT"] = NEEDED
    return rows(lumocrypt.connect(path, key=PASSPHRASE))


@pytest.mark.parametrize(
    "way",
    [by_text, by_object, by_uri, by_uri_without_us, by_unlock, by_environment],
    ids=lambda way: way.__name__,
)
def test_every_way_to_allow_it(dear: Path, way: Callable[[Path], int]) -> None:
    with pytest.raises(lumocrypt.KdfLimitError):
        lumocrypt.connect(dear, key=PASSPHRASE)
    assert way(dear) == 5


def test_what_is_named_for_an_open_counts_before_the_environment(dear: Path) -> None:
    os.environ["LUMO_KDF_LIMIT"] = NEEDED
    for limit in (LOW, {"m": 1024}):
        with pytest.raises(lumocrypt.KdfLimitError):
            lumocrypt.connect(dear, key=PASSPHRASE, kdf_limit=limit)
    with pytest.raises(lumocrypt.KdfLimitError):
        lumocrypt.connect(f"file:{dear}?lumo_kdf_limit={LOW}", key=PASSPHRASE, uri=True)


def test_a_limit_that_is_none_is_an_error(dear: Path) -> None:
    for text in ("much", "m", "m=", "m=-1", "x=1", "m=1;t=1"):
        del os.environ["LUMO_KDF_LIMIT"]
        with pytest.raises(ValueError, match="kdf limit"):
            lumocrypt.connect(dear, key=PASSPHRASE, kdf_limit=text)
        with pytest.raises(sqlite3.OperationalError, match="t=64,m="):
            lumocrypt.connect(f"file:{dear}?lumo_kdf_limit={text}", key=PASSPHRASE, uri=True)
        os.environ["LUMO_KDF_LIMIT"] = text
        with pytest.raises(ValueError, match="LUMO_KDF_LIMIT"):
            lumocrypt.connect(dear, key=PASSPHRASE)


def test_the_message_names_a_limit_that_is_enough(dear: Path) -> None:
    with pytest.raises(lumocrypt.KdfLimitError) as caught:
        lumocrypt.connect(dear, key=PASSPHRASE)
    found = re.search(r'kdf_limit="([^"]+)"', str(caught.value))
    assert found is not None
    assert rows(lumocrypt.connect(dear, key=PASSPHRASE, kdf_limit=found[1])) == 5
    for spelling in ("--kdf-limit ", "lumo_kdf_limit=", "LUMO_KDF_LIMIT="):
        assert spelling + found[1] in str(caught.value)


def run(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *PROGRAM, *map(str, arguments), "--key-stdin"],
        input=PASSPHRASE.encode(),
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=60,
        check=False,
    )


def test_the_command_line(dear: Path) -> None:
    done = run("verify", dear, "--json")
    assert (done.returncode, done.stdout) == (1, b"")
    answer = json.loads(done.stderr)
    assert (answer["error"], answer["exit_code"]) == ("KdfLimitError", 1)
    assert run("verify", dear, "--kdf-limit", NEEDED).returncode == 0
    assert run("verify", dear, env={"LUMO_KDF_LIMIT": NEEDED}).returncode == 0


# Making a database that needs it


def makers(path: Path) -> list[Callable[..., Any]]:
    other = path.with_name("made.db")
    return [
        lambda **more: rows_made(other, **more),
        lambda **more: lumocrypt.encrypt(make_plain(path.with_name("plain.db"), 1), other, key="new", **more),
        lambda **more: lumocrypt.add_key(path, key=PASSPHRASE, new_key="new", **more),
        lambda **more: lumocrypt.change_key(path, key=PASSPHRASE, new_key="new", **more),
        lambda **more: lumocrypt.rekey(path, key=PASSPHRASE, new_key="new", **more),
    ]


def rows_made(path: Path, **more: Any) -> None:
    connection = lumocrypt.connect(path, key="new", **more)
    connection.execute("CREATE TABLE t (a)")
    connection.close()


@pytest.mark.parametrize("maker", range(5), ids=["connect", "encrypt", "add_key", "change_key", "rekey"])
def test_a_dear_database_is_made_by_whoever_says_that_he_knows(tmp_path: Path, maker: int) -> None:
    path = make_plain(tmp_path / "app.db", rows=1)
    lumocrypt.encrypt(path, key=PASSPHRASE, kdf=FAST)
    make = makers(path)[maker]
    # Cheap, but more passes than are usual.
    cost = {"t": 65, "m": 19456, "p": 2}
    with pytest.raises(ValueError, match='kdf_limit="t=65"'):
        make(kdf=cost)
    (tmp_path / "made.db").unlink(missing_ok=True)
    (tmp_path / "plain.db").unlink(missing_ok=True)
    make(kdf=cost, kdf_limit="t=65")
    made = tmp_path / "made.db" if maker < 2 else path
    lumocrypt.lock(made)
    with pytest.raises(lumocrypt.KdfLimitError):
        lumocrypt.connect(made, key="new")
    lumocrypt.connect(made, key="new", kdf_limit="t=65").close()


# The worst that is left


_WORST = """
import resource, sys, lumocrypt
try:
    lumocrypt.connect(sys.argv[1], key="wrong")
except lumocrypt.WrongKeyError:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_the_worst_that_passes_is_bounded_in_memory(tmp_path: Path, with_passphrase: bytes) -> None:
    """One pass: memory is what is looked at here, and passes make the time alone longer."""
    available = int(re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[1])  # type: ignore[index]
    if available < 2 * MOST_MEMORY:
        pytest.skip("too little memory for a gibibyte to be spent")
    path = tmp_path / "worst.db"
    path.write_bytes(asking(with_passphrase, *[(1, GIB, 4)] * 2))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", _WORST, path], capture_output=True, check=True, timeout=300)
    assert int(done.stdout) < MOST_MEMORY
    # Two of the eight passes that there may be.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 30
