"""Headers that anybody can write, because their digest is unkeyed: refused, quickly, and nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest

import lumocrypt
from support.bytes_on_disk import flip
from support.known_keys import FAST
from support.layout import (
    BLOCK_SIZE_AT,
    COPY,
    FLAGS_AT,
    KDF_M_AT,
    KDF_P_AT,
    KDF_T_AT,
    KEYSLOT,
    KEYSLOTS_AT,
    SUITE_AT,
    VERSION_AT,
    patched,
    u32,
    u64,
)
from support.operations import (
    KEY,
    PASSPHRASE,
    READERS,
    Operation,
    by_name,
    info,
    query,
    refused,
    unlock,
    verify,
)


@pytest.mark.parametrize("operation", [*READERS, unlock, info], ids=by_name)
@pytest.mark.parametrize(
    ("offset", "value", "advice"),
    [
        (VERSION_AT, u32(2), "version 2.*newer"),
        (VERSION_AT, u32(2**32 - 1), "version"),
        (SUITE_AT, u32(99), "cipher 99"),
        (FLAGS_AT, u64(1 << 40), "flags"),
        (BLOCK_SIZE_AT, u32(1000), "block size"),
        (BLOCK_SIZE_AT, u32(2**31), "block size"),
        (100, b"\x01", "reserved"),
        (KEYSLOTS_AT, u32(77), "keyslot"),
    ],
)
def test_headers_of_another_version(
    tiny: Path, operation: Operation, offset: int, value: bytes, advice: str
) -> None:
    tiny.write_bytes(patched(tiny.read_bytes(), offset, value))
    error = refused(lumocrypt.UnsupportedFormatError, operation, tiny, KEY)
    assert "Traceback" not in str(error)
    with pytest.raises(lumocrypt.UnsupportedFormatError, match=advice):
        operation(tiny, KEY)
    lumocrypt.lock(tiny)


@pytest.mark.parametrize("operation", READERS, ids=by_name)
@pytest.mark.parametrize(
    ("offset", "value"),
    [(SUITE_AT, u32(3)), (BLOCK_SIZE_AT, u32(1024)), (32, bytes(16)), (KEYSLOTS_AT + 8, u64(1))],
    ids=["suite", "block size", "uuid", "keyslot"],
)
def test_headers_that_somebody_without_the_key_rewrote(
    tiny: Path, operation: Operation, offset: int, value: bytes
) -> None:
    """The fields are fine and so is the digest; the MAC, or the keyslot's seal, is not."""
    tiny.write_bytes(patched(tiny.read_bytes(), offset, value))
    refused(lumocrypt.HeaderDamagedError, operation, tiny, KEY, "changed by somebody|restore")


def test_a_rewritten_copy_loses_against_the_sound_one(tiny: Path) -> None:
    """Even at a higher generation: a header is believed for its MAC."""
    original = tiny.read_bytes()
    for copy in (0, COPY):
        forged = patched(original, 24, u64(1000), copies=(copy,))
        tiny.write_bytes(patched(forged, BLOCK_SIZE_AT, u32(1024), copies=(copy,)))
        assert len(query(tiny, KEY)) > 0
        assert not verify(tiny, KEY).ok


@pytest.mark.parametrize("copy", [0, COPY])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_writer_completes_the_header_and_nobody_else_hazard_10(tiny: Path, copy: int, mode: str) -> None:
    """With a write to the file under SQLite's own lock, never with a lock alone, or without one."""
    connection = lumocrypt.connect(tiny, key=KEY, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.close()
    flip(tiny, copy + 100)
    damaged = tiny.read_bytes()
    assert len(query(tiny, KEY)) > 0
    assert not verify(tiny, KEY).ok
    connection = lumocrypt.connect(tiny, key=KEY, isolation_level=None)
    for sql in ("BEGIN IMMEDIATE", "SELECT count(*) FROM t", "ROLLBACK"):
        connection.execute(sql)
        assert tiny.read_bytes() == damaged, sql
    connection.execute("UPDATE t SET v = 'written'")
    connection.close()
    assert verify(tiny, KEY).ok
    assert tiny.read_bytes()[:COPY] == tiny.read_bytes()[COPY : 2 * COPY]


@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (KDF_T_AT, 2**32 - 1),
        (KDF_T_AT, 65),
        (KDF_M_AT, 2**32 - 1),
        (KDF_M_AT, 5 << 20),
        # A terabyte.
        (KDF_M_AT, 1 << 30),
        (KDF_P_AT, 2000),
    ],
)
def test_monstrous_kdf_costs_are_refused_before_they_are_paid_hazard_16(
    tmp_path: Path, with_passphrase: bytes, operation: Operation, offset: int, value: int
) -> None:
    path = tmp_path / "bomb.db"
    path.write_bytes(patched(with_passphrase, KEYSLOTS_AT + offset, u32(value)))
    runs = lumocrypt.stats()["kdf_runs"]
    refused(lumocrypt.KdfLimitError, operation, path, PASSPHRASE, "Argon2id")
    assert lumocrypt.stats()["kdf_runs"] == runs


@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
@pytest.mark.parametrize(
    ("offset", "value"), [(KDF_T_AT, 0), (KDF_P_AT, 0), (KDF_M_AT, 7), (KDF_P_AT, 2**24)]
)
def test_kdf_costs_that_do_not_exist(
    tmp_path: Path, with_passphrase: bytes, operation: Operation, offset: int, value: int
) -> None:
    path = tmp_path / "nonsense.db"
    path.write_bytes(patched(with_passphrase, KEYSLOTS_AT + offset, u32(value)))
    refused(lumocrypt.UnsupportedFormatError, operation, path, PASSPHRASE, "does not exist")


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (KEYSLOTS_AT + KEYSLOT + KDF_T_AT, u32(1)),
        (KEYSLOTS_AT + KEYSLOT + KDF_M_AT, u32(8)),
        (KEYSLOTS_AT + KEYSLOT + KDF_P_AT, u32(2)),
        (SUITE_AT, u32(1)),
        (SUITE_AT, u32(4)),
        # A keyslot that somebody took out, or put elsewhere.
        (KEYSLOTS_AT + KEYSLOT, bytes(KEYSLOT)),
        (KEYSLOTS_AT + 5 * KEYSLOT, b""),
    ],
)
def test_an_edited_header_is_refused_behind_the_right_key(
    tiny: Path, tmp_path: Path, offset: int, value: bytes
) -> None:
    """With the right digest, and where the keyslot that opens was left alone: the MAC says so."""
    lumocrypt.add_key(tiny, key=KEY, new_key=PASSPHRASE, kdf=FAST)
    content = tiny.read_bytes()
    value = value or content[KEYSLOTS_AT : KEYSLOTS_AT + KEYSLOT]
    tiny.write_bytes(patched(content, offset, value))
    refused(lumocrypt.HeaderDamagedError, query, tiny, KEY, "changed by somebody")
    with pytest.raises(lumocrypt.HeaderDamagedError):
        lumocrypt.add_key(tiny, key=KEY, new_key=PASSPHRASE, kdf=FAST)


def test_lower_kdf_costs_do_not_open_the_slot(tmp_path: Path, with_passphrase: bytes) -> None:
    """A downgrade changes the derived key: nobody can make guessing cheaper."""
    path = tmp_path / "cheap.db"
    path.write_bytes(patched(with_passphrase, KEYSLOTS_AT + KDF_T_AT, u32(1)))
    with pytest.raises((lumocrypt.WrongKeyError, lumocrypt.HeaderDamagedError)):
        query(path, PASSPHRASE)
