"""LMDB environments before functions and commands for files: described, verified, or refused."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from decryptor.lmdb import read_environment
from make_golden_lmdb import FOLDER, MANIFEST
from support.program import run

SAMPLES: dict[str, dict[str, Any]] = {sample["name"]: sample for sample in json.loads(MANIFEST.read_text())}
REGION = 65536


def _key(name: str) -> lumocrypt.Key | None:
    sample = SAMPLES[name]
    if sample["raw_key"] is not None:
        return lumocrypt.Key.raw(bytes.fromhex(sample["raw_key"]))
    return None if sample["passphrase"] is None else lumocrypt.Key.passphrase(sample["passphrase"])


def _secret(name: str) -> str | bytes | None:
    raw = SAMPLES[name]["raw_key"]
    return SAMPLES[name]["passphrase"] if raw is None else bytes.fromhex(raw)


def _environment(folder: Path, name: str) -> Path:
    path = folder / "app.lmdb"
    path.write_bytes(lzma.decompress((FOLDER / f"{name}.lmdb.xz").read_bytes()))
    return path


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", SAMPLES)
def test_info_and_verify(tmp_path: Path, name: str) -> None:
    path = _environment(tmp_path, name)
    before = path.read_bytes()
    found = lumocrypt.info(path)
    sample = SAMPLES[name]
    assert (found.contents, found.cipher, found.block_size) == ("lmdb", sample["suite"], sample["page_size"])
    assert found.blocks == (len(before) - REGION) // found.block_size
    result = lumocrypt.verify(path, key=_key(name))
    assert result.ok, result
    assert result.contents == "lmdb"
    assert sorted(result.metas) == ["ok", "older"]
    assert not result.warnings
    # As the reader that shares no code with the engine counts them.
    seen = read_environment(path, _secret(name))
    assert (result.blocks, result.free) == (len(seen.used) + 2, len(seen.free))
    assert result.transaction == seen.meta.transaction
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["v1-aegis-256", "v1-checksum"])
def test_a_damaged_page_is_named_with_database_and_keys(tmp_path: Path, name: str) -> None:
    path = _environment(tmp_path, name)
    whole = path.read_bytes()
    size: int = SAMPLES[name]["page_size"]
    owners: set[tuple[str | None, str | None]] = set()
    for number in sorted(read_environment(path, _secret(name)).used):
        path.write_bytes(whole)
        _flip(path, REGION + number * size + size // 2)
        result = lumocrypt.verify(path, key=_key(name))
        assert not result.ok
        first = result.damaged[0]
        assert first.block is not None
        assert first.block <= number, "an extent is one with its first page"
        owners.add((first.owner_type, first.owner))
    assert owners >= {
        ("database", None),
        ("database", "plain"),
        ("database", "many"),
        ("database", "fixed"),
        ("freelist", None),
    }


def test_the_command_says_which_keys(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    path = _environment(tmp_path, name)
    size: int = SAMPLES[name]["page_size"]
    key = f"x'{SAMPLES[name]['raw_key']}'".encode()
    done = run("verify", path, "--key-stdin", stdin=key)
    assert done.returncode == 0, done.stderr
    assert b": ok; " in done.stdout
    assert b"pages of transaction" in done.stdout
    assert b"an LMDB environment" in run("info", path).stdout
    whole = path.read_bytes()
    for number in sorted(read_environment(path, _secret(name)).used):
        path.write_bytes(whole)
        _flip(path, REGION + number * size + 99)
        found = lumocrypt.verify(path, key=_key(name)).damaged[0]
        if found.owner == "plain" and found.keys is not None and found.keys.start and found.keys.end:
            break
    else:
        pytest.fail("no leaf in the middle of its tree")
    start, end = found.keys.start, found.keys.end
    assert b"key 000" <= start < end <= b"key 039"
    done = run("verify", path, "--key-stdin", stdin=key)
    assert done.returncode == 4
    words = f"page {found.block}: {found.reason} (of database plain, keys from {start!r} before {end!r})"
    assert words.encode() in done.stdout
    shown = json.loads(run("verify", path, "--json", "--key-stdin", stdin=key).stdout)
    assert (shown["contents"], shown["damaged_total"]) == ("lmdb", 1)
    assert shown["damaged"][0]["owner"] == "plain"


def test_the_silent_fall_back_is_damage(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    path = _environment(tmp_path, name)
    before = lumocrypt.verify(path, key=_key(name))
    assert before.transaction is not None
    _flip(path, REGION + before.transaction % 2 * SAMPLES[name]["page_size"] + 100)
    after = lumocrypt.verify(path, key=_key(name))
    assert (after.ok, after.transaction) == (False, before.transaction - 1)
    assert "a commit is lost" in after.damaged[0].reason
    _flip(path, REGION + after.transaction % 2 * SAMPLES[name]["page_size"] + 100)
    with pytest.raises(lumocrypt.HeaderDamagedError, match="neither meta page"):
        lumocrypt.verify(path, key=_key(name))


def test_errors_of_keys(tmp_path: Path) -> None:
    path = _environment(tmp_path, "v1-aegis-256")
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.verify(path, key=lumocrypt.Key.raw(bytes(32)))
    with pytest.raises(lumocrypt.KeyRequiredError):
        lumocrypt.verify(path)


def test_what_is_for_sqlite_alone_is_refused(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    path = _environment(tmp_path, name)
    before, key = path.read_bytes(), _key(name)
    other = tmp_path / "other.db"
    for refused in (
        lambda: lumocrypt.connect(path, key=key).execute("SELECT * FROM sqlite_schema"),
        lambda: lumocrypt.decrypt(path, other, key=key),
        lambda: lumocrypt.rekey(path, key=key),
        lambda: lumocrypt.salvage(path, other, key=key),
    ):
        with pytest.raises(lumocrypt.Error, match="LMDB environment"):
            refused()
        assert path.read_bytes() == before
        assert not other.exists()


def _opens(path: Path, key: lumocrypt.Key) -> bool:
    try:
        return lumocrypt.verify(path, key=key).ok
    except lumocrypt.WrongKeyError:
        return False


def test_keys_come_change_and_go(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    path = _environment(tmp_path, name)
    pages, key = path.read_bytes()[REGION:], _key(name)
    assert key is not None
    second, third = lumocrypt.Key.random(), lumocrypt.Key.random()
    assert lumocrypt.add_key(path, key=key, new_key=second, label="second").index == 1
    assert _opens(path, key)
    assert _opens(path, second)
    assert lumocrypt.change_key(path, key=second, new_key=third).label == "second"
    assert not _opens(path, second)
    lumocrypt.label_key(path, "other", key=third, slot=1)
    assert [slot.label for slot in lumocrypt.keyslots(path)] == ["", "other"]
    assert lumocrypt.remove_key(path, key=third, slot=0) == 0
    assert not _opens(path, key)
    with pytest.raises(lumocrypt.CryptError, match="last keyslot"):
        lumocrypt.remove_key(path, key=third)
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.add_key(path, key=key, new_key=second)
    assert _opens(path, third)
    assert path.read_bytes()[REGION:] == pages
    path.chmod(0o400)
    done = run("key", "list", path)
    assert done.returncode == 0
    assert b"other" in done.stdout


def test_a_change_that_was_cut_short_is_completed_first(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    path = _environment(tmp_path, name)
    older, key = path.read_bytes(), _key(name)
    lumocrypt.add_key(path, key=key, new_key=lumocrypt.Key.random(), label="new")
    newer = path.read_bytes()
    # Copy A is written first.
    path.write_bytes(newer[:16384] + older[16384:])
    assert not lumocrypt.verify(path, key=key).ok
    lumocrypt.label_key(path, "again", key=key, slot=1)
    assert lumocrypt.verify(path, key=key).ok
    content = path.read_bytes()
    assert content[:16384] == content[16384:32768]


def test_a_header_comes_back(tmp_path: Path) -> None:
    name = "v1-aegis-256"
    path, backup = _environment(tmp_path, name), tmp_path / "backup"
    whole, key = path.read_bytes(), _key(name)
    lumocrypt.backup_header(path, backup)
    assert backup.read_bytes() == whole[:REGION]
    path.write_bytes(bytes(REGION) + whole[REGION:])
    restored = lumocrypt.restore_header(path, backup, key=key)
    assert (restored.opened, restored.new_cells) == (2, True)
    assert lumocrypt.verify(path, key=key).ok
    assert path.read_bytes()[REGION:] == whole[REGION:]
    other = tmp_path / "other"
    other.mkdir()
    other_path = _environment(other, "v1-aes-256-gcm")
    before = other_path.read_bytes()
    with pytest.raises(ValueError, match="another environment"):
        lumocrypt.restore_header(other_path, backup, key=key)
    assert other_path.read_bytes() == before
