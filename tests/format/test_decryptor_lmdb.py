"""The LMDB format, by a reader that shares no code with the engine, of what the engine wrote."""

from __future__ import annotations

import hashlib
import itertools
import json
import lzma
import struct
from pathlib import Path
from typing import Any

import pytest

from decryptor import DecryptorError, UnsupportedFormatError, WrongKeyError, read_database
from decryptor.lmdb import Environment, read_environment
from make_golden_lmdb import FOLDER, MANIFEST

SAMPLES: dict[str, dict[str, Any]] = {sample["name"]: sample for sample in json.loads(MANIFEST.read_text())}
REGION = 65536


def _secret(sample: dict[str, Any]) -> str | bytes | None:
    raw = sample["raw_key"]
    return sample["passphrase"] if raw is None else bytes.fromhex(raw)


def _content(name: str) -> bytes:
    return lzma.decompress((FOLDER / f"{name}.lmdb.xz").read_bytes())


def _read(folder: Path, name: str, content: bytes) -> Environment:
    path = folder / "app.lmdb"
    path.write_bytes(content)
    return read_environment(path, _secret(SAMPLES[name]))


def _digest(entries: list[tuple[bytes, bytes]]) -> str:
    return hashlib.sha256(
        b"".join(struct.pack("<I", len(part)) + part for pair in entries for part in pair)
    ).hexdigest()


@pytest.mark.parametrize("name", SAMPLES)
def test_what_lmdb_sees_is_there(tmp_path: Path, name: str) -> None:
    found = _read(tmp_path, name, _content(name))
    seen = {
        "-" if key is None else key.decode(): [len(database.entries), _digest(database.entries)]
        for key, database in found.databases.items()
    }
    assert seen == SAMPLES[name]["databases"]
    assert found.header.superblock.suite.name == SAMPLES[name]["suite"]
    assert dict(found.databases[None].entries) == {b"round": (3).to_bytes(8, "big")}
    plain = dict(found.databases[b"plain"].entries)
    assert plain[b"key 001"] == b"value 1 of round 3"
    assert plain[b"key 020"] == b"value 20 of round 3" * 120, "a value in an extent"
    assert [value for key, value in found.databases[b"many"].entries if key == b"much"] == sorted(
        f"value {n:03} of round {round}".encode() for n in range(40) for round in range(4)
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_every_page_is_in_use_or_free(tmp_path: Path, name: str) -> None:
    found = _read(tmp_path, name, _content(name))
    assert found.used | found.free == set(range(2, found.meta.last_page + 1))
    assert len(found.free) > 2


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_of_it_is_in_clear_but_with_checksums(name: str) -> None:
    content = _content(name)
    assert (b"value 1 of round" in content) == (name == "v1-checksum")


def test_another_key_and_another_reader_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.lmdb"
    path.write_bytes(_content("v1-aegis-256"))
    with pytest.raises(WrongKeyError):
        read_environment(path, bytes(32))
    with pytest.raises(UnsupportedFormatError):
        read_database(path, _secret(SAMPLES["v1-aegis-256"]))


@pytest.mark.parametrize("name", ["v1-aegis-256", "v1-xchacha20-poly1305", "v1-aes-256-gcm", "v1-checksum"])
def test_a_changed_page_is_refused(tmp_path: Path, name: str) -> None:
    content = _content(name)
    size: int = SAMPLES[name]["page_size"]
    for number in sorted(_read(tmp_path, name, content).used):
        changed = bytearray(content)
        changed[REGION + number * size + (number * 37) % size] ^= 2
        with pytest.raises(DecryptorError):
            _read(tmp_path, name, bytes(changed))


def test_swapped_pages_are_refused(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    content, size = _content(name), SAMPLES[name]["page_size"]
    used = sorted(_read(tmp_path, name, content).used)
    for first, second in itertools.pairwise(used):
        changed = bytearray(content)
        one, other = (slice(REGION + n * size, REGION + (n + 1) * size) for n in (first, second))
        changed[one], changed[other] = content[other], content[one]
        with pytest.raises(DecryptorError):
            _read(tmp_path, name, bytes(changed))


def test_without_its_newest_meta_page_it_is_the_state_before(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    content, size = _content(name), SAMPLES[name]["page_size"]
    newest = _read(tmp_path, name, content).meta.transaction
    changed = bytearray(content)
    changed[REGION + newest % 2 * size + 100] ^= 1
    assert _read(tmp_path, name, bytes(changed)).meta.transaction == newest - 1
    changed[REGION + (1 - newest % 2) * size + 100] ^= 1
    with pytest.raises(DecryptorError):
        _read(tmp_path, name, bytes(changed))
