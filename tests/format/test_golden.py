"""Databases written once and kept: every later version has to read them, live logs included."""

from __future__ import annotations

import json
import lzma
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from decryptor import read_database
from decryptor.header import Secret
from make_golden import EARLIER, FOLDER, LENGTH, MANIFEST, STATES, facts
from samples import SUITES

SAMPLES: list[dict[str, Any]] = json.loads(MANIFEST.read_text(encoding="utf-8"))["samples"]


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample["name"])
def sample(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def unpack(sample: dict[str, Any], folder: Path) -> Path:
    for name in sample["files"]:
        target = name.removeprefix(sample["name"]).removesuffix(".xz")
        (folder / f"sample{target}").write_bytes(lzma.decompress((FOLDER / name).read_bytes()))
    return folder / "sample.db"


def secret_of(sample: dict[str, Any]) -> Secret:
    return sample["passphrase"] or (bytes.fromhex(sample["raw_key"]) if sample["raw_key"] else None)


def key_of(sample: dict[str, Any]) -> lumocrypt.Key | None:
    secret = secret_of(sample)
    if secret is None:
        return None
    return lumocrypt.Key.passphrase(secret) if isinstance(secret, str) else lumocrypt.Key.raw(secret)


def test_the_decryptor_reads_it(sample: dict[str, Any], tmp_path: Path) -> None:
    found = read_database(unpack(sample, tmp_path), secret_of(sample))
    assert found.header is not None
    assert found.header.superblock.suite.name == sample["suite"]
    # The samples are what they are said to be.
    assert found.header.superblock.keeps_length == sample["name"].startswith(LENGTH)
    assert (found.wal is not None) == (sample["state"] == "wal")
    assert (found.rolled_back is not None) == (sample["state"] == "journal")
    if found.wal is not None:
        assert found.wal.header.sequence == 2
        assert 0 < found.wal.committed < found.wal.authentic
    image = bytearray(found.image)
    # A database in memory cannot be in WAL mode.
    image[18:20] = b"\1\1"
    connection = sqlite3.connect(":memory:")
    connection.deserialize(bytes(image))
    assert facts(connection) == sample["facts"]
    connection.close()


def test_lumocrypt_reads_it(sample: dict[str, Any], tmp_path: Path) -> None:
    path = unpack(sample, tmp_path)
    key = key_of(sample)
    assert lumocrypt.info(path).cipher == sample["suite"]
    assert lumocrypt.verify(path, key=key).ok
    connection = lumocrypt.connect(path, key)
    assert facts(connection) == sample["facts"]
    connection.execute("INSERT INTO t (name) VALUES ('written by a later version')")
    connection.commit()
    connection.close()
    assert lumocrypt.verify(path, key=key).ok
    found = read_database(path, secret_of(sample))
    assert len(found.image) >= 512 * sample["facts"]["page_count"]
    # Whoever writes to an older one gives it a length cell.
    assert found.header is not None
    assert found.header.superblock.keeps_length


def test_the_samples_are_complete() -> None:
    expected_names = [
        f"{age}{suite}-{state}" for age in (EARLIER, LENGTH) for suite in SUITES for state in STATES
    ]
    assert sorted(sample["name"] for sample in SAMPLES) == sorted(expected_names)
    for sample in SAMPLES:
        assert sample["name"].endswith(f"-{sample['suite']}-{sample['state']}")
    names = {name for sample in SAMPLES for name in sample["files"]}
    assert names == {path.name for path in FOLDER.glob("*.xz")}
    # Of unfinished transactions nothing may be seen, of the log's commits everything.
    for sample in SAMPLES:
        rows = sample["facts"]["rows"]
        expected = 13 if sample["state"] == "wal" else 12
        assert [row[0] for row in rows] == list(range(1, expected + 1))
        assert not any(row[1] == "never committed" for row in rows)
        assert any(row[1] == "in the log only" for row in rows) == (sample["state"] == "wal")
        assert sample["facts"]["integrity"] == "ok"
