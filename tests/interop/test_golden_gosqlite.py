"""Databases in the gosqlite format that a program in Go wrote: every later version has to read them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from make_golden_gosqlite import FOLDER, KEYS, MANIFEST, STATES, content

SAMPLES: list[dict[str, Any]] = json.loads(MANIFEST.read_text(encoding="utf-8"))["samples"]


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample["name"])
def sample(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def unpacked(sample: dict[str, Any], folder: Path) -> Path:
    for suffix in sample["files"]:
        shutil.copyfile(FOLDER / f"{sample['name']}.db{suffix}", folder / f"sample.db{suffix}")
    return folder / "sample.db"


def key_of(sample: dict[str, Any]) -> bytes:
    if sample["key"] is not None:
        return bytes.fromhex(sample["key"])
    return lumocrypt.derive_key(sample["passphrase"], bytes.fromhex(sample["salt"]), sample["cipher"])


def test_all_kinds_are_there() -> None:
    there = {(sample["cipher"], sample["page_size"], sample["state"]) for sample in SAMPLES}
    assert there == {(cipher, size, state) for cipher in KEYS for size in STATES for state in STATES[size]}
    assert {sample["key"] is None for sample in SAMPLES} == {True, False}
    for sample in SAMPLES:
        logs = {"journal": ["-journal"], "wal": ["-wal"], "closed": []}[sample["state"]]
        assert sample["files"] == ["", *logs]


def test_it_opens(sample: dict[str, Any], tmp_path: Path) -> None:
    path = unpacked(sample, tmp_path)
    with lumocrypt.crypto_vfs(key_of(sample), sample["cipher"], sample["page_size"]) as vfs:
        connection = sqlite3.connect(f"file:{path}?vfs={vfs.name}", uri=True)
        with contextlib.closing(connection):
            assert content(connection) == sample["content"]
            connection.execute("INSERT INTO t (name) VALUES ('more')")
            connection.commit()
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_it_is_decrypted(sample: dict[str, Any], tmp_path: Path) -> None:
    path = unpacked(sample, tmp_path)
    key, cipher = key_of(sample), sample["cipher"]
    lumocrypt.decrypt(path, tmp_path / "plain.db", key=key, format="gosqlite", cipher=cipher)
    plain = (tmp_path / "plain.db").read_bytes()
    # A log that the sample has was applied.
    assert (hashlib.sha256(plain).hexdigest() == sample["sha256"]) == (sample["state"] == "closed")
    connection = sqlite3.connect(tmp_path / "plain.db")
    assert content(connection) == sample["content"]
    connection.close()
