"""The independent decryptor reads closed databases: main file, header, keyslots; and refuses what it must."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import struct
from pathlib import Path

import pyproj.datadir
import pytest

import lumocrypt
from decryptor import (
    HeaderDamagedError,
    LostLogError,
    NotALumocryptFileError,
    UnauthenticError,
    UnsupportedFormatError,
    WrongKeyError,
    read_database,
)
from decryptor.errors import MalformedError
from decryptor.main_file import LOCK_BYTE, Geometry
from decryptor.primitives import SUITES as SUITES_BY_ID
from decryptor.primitives import Keys
from samples import (
    KEYED,
    OVERHEAD,
    PASSPHRASE,
    SUITES,
    TAGGED,
    UNTAGGED,
    connect,
    content,
    content_of,
    fill,
    key_for,
    read,
    secret_for,
)
from support.bytes_on_disk import flip
from support.known_keys import FAST, RAW
from support.plaintext import MARKER, make_plain
from support.rekeying import bring_back, interrupt, steps_of


def decrypted(path: Path, suite: str) -> bytes:
    """The plaintext by lumocrypt itself."""
    target = path.with_suffix(".decrypted")
    lumocrypt.decrypt(path, target, key=key_for(suite))
    return target.read_bytes()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("suite", SUITES)
def test_closed_databases(suite: str, page_size: int, tmp_path: Path) -> None:
    """Pages smaller than, as large as and larger than the blocks, against a plaintext twin."""
    path, twin = tmp_path / "app.db", tmp_path / "twin.db"
    for connection in (connect(path, suite), sqlite3.connect(twin, isolation_level=None)):
        connection.execute(f"PRAGMA page_size={page_size}")
        fill(connection)
        connection.execute("DELETE FROM t WHERE id % 3 = 0")
        connection.execute("PRAGMA user_version=7")
        connection.close()
    found = read(path, suite)
    assert found.header is not None
    assert found.header.superblock.suite.name == suite
    assert content(found.image) == content(twin.read_bytes())
    assert found.image == decrypted(path, suite)


@pytest.mark.parametrize("block_size", [512, 1024, 4096, 65536])
@pytest.mark.parametrize("suite", SUITES)
def test_encrypted_files_and_partial_blocks(suite: str, block_size: int, tmp_path: Path) -> None:
    """The last block is sealed at its own length, down to half a kilobyte in 64."""
    plain = make_plain(tmp_path / "plain.db", 60, page_size=512)
    original = plain.read_bytes()
    path = tmp_path / "app.db"
    lumocrypt.encrypt(plain, path, key=key_for(suite), cipher=suite, block_size=block_size)
    found = read(path, suite)
    assert found.header is not None
    assert found.header.superblock.block_size == block_size
    assert found.image == original
    # Beyond the last page SQLite ignores what is there; the bytes come back all the same.
    with plain.open("ab") as file:
        file.write(b"tail" * 3)
    if suite in UNTAGGED:
        with pytest.raises(ValueError, match="whole pages only"):
            lumocrypt.encrypt(
                plain, tmp_path / "odd.db", key=key_for(suite), cipher=suite, block_size=block_size
            )
        assert not (tmp_path / "odd.db").exists()
        return
    lumocrypt.encrypt(plain, tmp_path / "odd.db", key=key_for(suite), cipher=suite, block_size=block_size)
    odd = read(tmp_path / "odd.db", suite).image
    assert odd == original + b"tail" * 3
    assert len(odd) % block_size != 0


@pytest.mark.parametrize(
    "suite", [suite for suite in SUITES if suite != "adiantum"]
)  # too slow in pure Python
def test_proj_db(suite: str, tmp_path: Path) -> None:
    source = Path(pyproj.datadir.get_data_dir()) / "proj.db"
    path = tmp_path / "proj.db"
    lumocrypt.encrypt(source, path, key=key_for(suite), cipher=suite)
    assert hashlib.sha256(read(path, suite).image).digest() == hashlib.sha256(source.read_bytes()).digest()


@pytest.mark.parametrize("suite", KEYED)
def test_a_passphrase(suite: str, tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, PASSPHRASE, cipher=suite, kdf=FAST)
    fill(connection, 20)
    expected = content_of(connection)
    connection.close()
    found = read_database(path, PASSPHRASE)
    assert content(found.image) == expected
    assert found.header is not None
    (slot,) = found.header.superblock.keyslots
    assert (slot.type, slot.t, slot.m, slot.p) == (1, FAST["t"], FAST["m"], FAST["p"])
    with pytest.raises(WrongKeyError):
        read_database(path, PASSPHRASE + "!")
    with pytest.raises(WrongKeyError):
        read_database(path, RAW)


def test_vacuum_into_makes_another_database_with_the_same_keyslots(tmp_path: Path) -> None:
    path, copy = tmp_path / "app.db", tmp_path / "copy.db"
    connection = connect(path, "aegis-256")
    fill(connection)
    connection.execute("VACUUM INTO ?", (str(copy),))
    expected = content_of(connection)
    connection.close()
    original, made = read(path, "aegis-256"), read(copy, "aegis-256")
    assert content(made.image) == expected
    assert original.header is not None
    assert made.header is not None
    assert made.header.keys.uuid != original.header.keys.uuid
    assert made.header.keys.data_key == original.header.keys.data_key
    assert made.header.superblock.keyslots == original.header.superblock.keyslots


@pytest.fixture(params=TAGGED)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "app.db"
    connection = connect(path, request.param)
    fill(connection, 30)
    connection.close()
    return path, request.param


def test_every_slot_is_authenticated(database: tuple[Path, str]) -> None:
    path, suite = database
    pristine = path.read_bytes()
    slot = 4096 + OVERHEAD[suite]
    assert (len(pristine) - 65536) % slot == 0
    slots = (len(pristine) - 65536) // slot
    assert slots > 3
    for index in range(slots):
        # Ciphertext, nonce or checksum, tag.
        for within in (0, 4095, 4096, slot - 1):
            flip(path, 65536 + index * slot + within)
            with pytest.raises(UnauthenticError, match=f"block {index}$"):
                read(path, suite)
            path.write_bytes(pristine)
    first, second = pristine[65536 : 65536 + slot], pristine[65536 + slot : 65536 + 2 * slot]
    path.write_bytes(pristine[:65536] + second + first + pristine[65536 + 2 * slot :])
    with pytest.raises(UnauthenticError, match="block 0"):
        read(path, suite)
    # An erased slot is damage, not a page of zeros.
    path.write_bytes(pristine[: 65536 + slot] + bytes(slot) + pristine[65536 + 2 * slot :])
    with pytest.raises(UnauthenticError, match="block 1"):
        read(path, suite)


def test_the_copies_of_the_header(database: tuple[Path, str]) -> None:
    """One damaged copy of the superblock or of the cell is survived, two are not."""
    path, suite = database
    pristine = path.read_bytes()
    expected = read(path, suite).image
    for first, second in ((0x400, 0x4400), (0x8010, 0x9010)):
        for damaged in ([first], [second]):
            for offset in damaged:
                flip(path, offset)
            assert read(path, suite).image == expected
            path.write_bytes(pristine)
        flip(path, first)
        flip(path, second)
        with pytest.raises(HeaderDamagedError):
            read(path, suite)
        path.write_bytes(pristine)
    flip(path, 0xFFFF)
    with pytest.raises(MalformedError):
        read(path, suite)


def resealed(raw: bytes, **changes: bytes) -> bytes:
    """Both copies with bytes changed at ``at<offset>`` and the digest, which needs no key, made right."""
    region = bytearray(raw)
    for start in (0, 0x4000):
        for name, data in changes.items():
            at = start + int(name.removeprefix("at"))
            region[at : at + len(data)] = data
        digest = hashlib.sha256(region[start : start + 16352]).digest()
        region[start + 16352 : start + 16384] = digest
    return bytes(region)


def test_changes_by_somebody_without_the_key(tmp_path: Path) -> None:
    """The digest is no protection, the MAC is."""
    path = tmp_path / "app.db"
    connection = connect(path, "aegis-256")
    fill(connection, 5)
    connection.close()
    raw = path.read_bytes()
    cases: list[tuple[dict[str, bytes], type[Exception]]] = [
        ({"at24": b"\x09"}, HeaderDamagedError),
        ({"at16": b"\x02"}, UnsupportedFormatError),
        ({"at64": b"\x63"}, UnsupportedFormatError),
        ({"at64": b"\x02"}, HeaderDamagedError),
        ({"at72": b"\x04"}, UnsupportedFormatError),
        ({"at72": b"\x01"}, HeaderDamagedError),
        ({"at68": struct.pack("<I", 8192)}, HeaderDamagedError),
        # The commitment of the keyslot, then its wrapped key, its creation time, its label.
        ({"at1088": bytes(32)}, WrongKeyError),
        ({"at1144": bytes(32)}, HeaderDamagedError),
        ({"at1032": b"\xff"}, HeaderDamagedError),
        ({"at1192": b"\x01", "at1196": b"x"}, HeaderDamagedError),
    ]
    for changes, error in cases:
        path.write_bytes(resealed(raw, **changes))
        with pytest.raises(error):
            read(path, "aegis-256")
        with pytest.raises(lumocrypt.CryptError):
            connect(path, "aegis-256").execute("SELECT * FROM t")
    path.write_bytes(resealed(raw))
    assert read(path, "aegis-256").image


@pytest.mark.parametrize("newer", [0, 0x4000])
@pytest.mark.parametrize("suite", ["aegis-256", "checksum"])
def test_the_newer_copy_counts_if_it_is_authentic(suite: str, newer: int, tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    fill(connection, 5)
    connection.close()
    before = read(path, suite)
    assert before.header is not None
    raw = bytearray(path.read_bytes())
    raw[newer + 24 : newer + 32] = struct.pack("<Q", 7)
    mac = before.header.keys.mac(b"lumocrypt v1 superblock mac", bytes(raw[newer : newer + 16320]))
    raw[newer + 16320 : newer + 16352] = mac
    raw[newer + 16352 : newer + 16384] = hashlib.sha256(raw[newer : newer + 16352]).digest()
    path.write_bytes(raw)
    found = read(path, suite)
    assert found.header is not None
    assert found.header.superblock.generation == 7
    # Without the MAC it does not count, however new.
    raw[newer + 16320] ^= 1
    raw[newer + 16352 : newer + 16384] = hashlib.sha256(raw[newer : newer + 16352]).digest()
    path.write_bytes(raw)
    found = read(path, suite)
    assert found.header is not None
    assert found.header.superblock.generation == 1
    assert found.image == before.image
    assert connect(path, suite).execute("SELECT count(*) FROM t").fetchone() == (5,)


def test_other_files(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "plain.db", 5)
    with pytest.raises(NotALumocryptFileError):
        read_database(plain, RAW)
    noise = tmp_path / "noise.db"
    noise.write_bytes(hashlib.shake_256(b"").digest(70000))
    with pytest.raises(NotALumocryptFileError):
        read_database(noise, RAW)
    empty = tmp_path / "empty.db"
    empty.touch()
    assert read_database(empty, RAW).image == b""
    checksum = tmp_path / "checksum.db"
    connect(checksum, "checksum").execute("CREATE TABLE t (a)")
    assert content(read_database(checksum, None).image)
    with pytest.raises(WrongKeyError):
        read_database(checksum, RAW)


def test_an_interrupted_creation_is_an_empty_database(tmp_path: Path) -> None:
    """Copy A is written last, so that a crash before leaves it all zero."""
    path = tmp_path / "app.db"
    connect(path, "aegis-256").execute("CREATE TABLE t (a)")
    # A creation leaves no length cell that counts anything (docs/reference/format.md, section 2.3).
    made = path.read_bytes()
    region = made[:0xA000] + bytes(0x2000) + made[0xC000:65536]
    path.write_bytes(bytes(0x8000) + region[0x8000:])
    assert read_database(path, RAW).image == b""
    assert len(connect(path, "aegis-256").execute("SELECT * FROM sqlite_schema").fetchall()) == 0
    # The crash may have come after all of copy B.
    path.write_bytes(bytes(0x4000) + region[0x4000:])
    assert read_database(path, RAW).image == b""
    # With a whole copy A there was a database.
    path.write_bytes(made[:0x4000] + bytes(0x4000) + made[0x8000:])
    assert read_database(path, RAW).header is not None


def open_temporary_files() -> set[tuple[Path, str]]:
    """SQLite unlinks its temporary files at once: only their descriptors lead to them."""
    found: set[tuple[Path, str]] = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            name = os.readlink(link)
            if "etilqs" in name:
                found.add((link, name))
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc to see unlinked files")
@pytest.mark.parametrize("suite", SUITES)
def test_temporary_files_have_no_key(suite: str, tmp_path: Path) -> None:
    """Nothing on the disk opens a temporary file: none of the database's keys does, for any kind of file."""
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    fill(connection, 1)
    before = open_temporary_files()
    connection.execute("PRAGMA temp_store=FILE")
    connection.execute("PRAGMA temp.cache_size=5")
    connection.execute("CREATE TEMP TABLE x (a)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO x VALUES (?)", ((f"{MARKER} {i}" * 20,) for i in range(2000)))
    temporary = open_temporary_files() - before
    assert temporary
    header = read(path, suite).header
    assert header is not None
    for link, _ in temporary:
        data = link.read_bytes()
        assert len(data) > 100 * 4096
        assert len(data) % (4096 + 40) == 0
        # Also beside a database whose suite hides nothing.
        assert MARKER.encode() not in data
        for candidate in SUITES_BY_ID.values():
            keys = Keys(candidate, header.keys.uuid, header.keys.key_id, header.keys.data_key)
            for kind in range(1, 7):
                with pytest.raises(UnauthenticError):
                    keys.opener(kind).open(0, bytes(16), data[: 4096 + candidate.overhead])
    connection.close()


@pytest.mark.parametrize("block_size", [512, 4096, 65536])
@pytest.mark.parametrize("overhead", [0, 16, 40])
def test_no_slot_covers_the_lock_bytes(block_size: int, overhead: int) -> None:
    geometry = Geometry(block_size, overhead)
    last = geometry.below_lock - 1
    assert geometry.offset(last) + geometry.slot <= LOCK_BYTE < geometry.offset(last) + 2 * geometry.slot
    assert geometry.offset(last + 1) == LOCK_BYTE + 65536
    for index in (0, 1, last, last + 1, last + 2):
        end = geometry.offset(index) + geometry.slot
        assert geometry.logical_size(end) == (index + 1) * block_size
        # A torn append counts for nothing, one byte more is a byte of the database where there are tags.
        assert geometry.logical_size(end + overhead) == (index + 1) * block_size
        expected = (index + 1) * block_size + (0 if index == last or not overhead else 1)
        assert geometry.logical_size(end + overhead + 1) == expected


def test_a_file_longer_than_its_last_whole_slot(tmp_path: Path) -> None:
    """A torn append of at most the overhead is ignored; a longer one is a block that does not open."""
    path = tmp_path / "app.db"
    connection = connect(path, "aegis-256")
    fill(connection, 5)
    connection.close()
    expected = read(path, "aegis-256").image
    shutil.copyfile(path, tmp_path / "torn.db")
    with (tmp_path / "torn.db").open("ab") as file:
        file.write(bytes(40))
    assert read(tmp_path / "torn.db", "aegis-256").image == expected
    with (tmp_path / "torn.db").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UnauthenticError):
        read(tmp_path / "torn.db", "aegis-256")


@pytest.mark.parametrize("suite", UNTAGGED)
def test_what_is_told_without_tags_hazard_14(suite: str, tmp_path: Path) -> None:
    """Every block opens, but for the first, whose beginning is known, and those that are all zeros."""
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    fill(connection, 30)
    connection.close()
    pristine, expected = path.read_bytes(), read(path, suite).image
    assert len(pristine) == 65536 + len(expected)
    flip(path, 65536 + 3 * 4096)
    changed = read(path, suite).image
    assert [changed[at : at + 4096] != expected[at : at + 4096] for at in range(0, len(expected), 4096)] == [
        index == 3 for index in range(len(expected) // 4096)
    ]
    path.write_bytes(pristine)
    flip(path, 65536)
    with pytest.raises(UnauthenticError, match="block 0"):
        read(path, suite)
    path.write_bytes(pristine[: 65536 + 4096] + bytes(4096) + pristine[65536 + 8192 :])
    with pytest.raises(UnauthenticError, match="block 1"):
        read(path, suite)
    # A torn append of less than a page.
    path.write_bytes(pristine + b"x" * 511)
    assert read(path, suite).image == expected


def test_a_database_that_names_a_wal_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    connection = connect(path, "aegis-256")
    connection.execute("PRAGMA journal_mode=WAL")
    fill(connection, 5)
    shutil.copyfile(path, tmp_path / "alone.db")
    connection.close()
    with pytest.raises(LostLogError):
        read_database(tmp_path / "alone.db", secret_for("aegis-256"))
    assert read_database(path, RAW).image


@pytest.mark.parametrize("header_key", [RAW, None], ids=["version2", "version1"])
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_change_of_the_data_key_that_was_interrupted(
    journal: str, header_key: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "app.db"
    key = lumocrypt.Key.raw(RAW)
    with contextlib.closing(lumocrypt.connect(path, key=key)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
        fill(connection)
        connection.commit()
        expected = content(connection.serialize())
    with steps_of(5 * 4096):
        interrupt(path, key=key, after=2, cipher="xchacha20-poly1305")
    assert content(read_database(path, RAW).image) == expected
    # Torn in its place, and whole beside the database.
    bring_back(path, 5, 5, header_key)
    flip(path, 65536 + 6 * 4136 + 100)
    assert content(read_database(path, RAW).image) == expected
    Path(f"{path}-lumo-rekey").unlink()
    with pytest.raises(UnauthenticError):
        read_database(path, RAW)
