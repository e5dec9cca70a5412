"""The blocks that a change of the data key keeps beside the database: forged headers, long names."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import pytest

import lumocrypt
from decryptor.redo import redo_path
from support.known_keys import RAW
from support.plaintext import fill
from support.rekeying import interrupt, kept_header, steps_of

KEY = lumocrypt.Key.raw(RAW)
SLOT, HEADER = 4096 + 40, 65536
#: Blocks of a step.
STEP = 5


def make(path: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
        fill(connection)
    return rows(path)


def rows(path: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
        return connection.execute("SELECT * FROM t ORDER BY id").fetchall()


def interrupted(path: Path) -> bytes:
    """Interrupts a change in its third step; the beginning of the database."""
    with steps_of(STEP * 4096):
        interrupt(path, key=KEY, after=2)
    return path.read_bytes()[:16384]


@pytest.mark.parametrize("count", [2**64 - 1, 2**63, 2**40, 10**6])
@pytest.mark.parametrize("first", [0, 3, 2**64 - 1])
def test_a_count_that_somebody_made_up_is_bounded_by_the_file(tmp_path: Path, first: int, count: int) -> None:
    path = tmp_path / "app.db"
    content = make(path)
    head = interrupted(path)
    redo_path(path).write_bytes(kept_header(head, first, count, None))
    # It would never end.
    assert lumocrypt.rekey(path, key=KEY).resumed
    assert rows(path) == content


def test_a_header_by_somebody_without_the_key_is_an_error_that_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    content = make(path)
    head = interrupted(path)
    kept = redo_path(path)
    before = kept.read_bytes()
    sound = kept_header(head, STEP, STEP, RAW)
    for at in (24, 31, 64, 71):
        forged = bytearray(sound)
        forged[at] ^= 1
        forged[96:128] = hashlib.sha256(forged[:96]).digest()
        kept.write_bytes(bytes(forged) + before[len(forged) :])
        with pytest.raises(lumocrypt.TamperedError, match="move it away") as caught:
            lumocrypt.rekey(path, key=KEY)
        assert caught.value.path == str(kept)
        assert kept.read_bytes()[: len(forged)] == forged, "the only copy of a block may be in it"
        assert rows(path) == content
    kept.rename(tmp_path / "away")
    lumocrypt.rekey(path, key=KEY)
    assert rows(path) == content


def test_a_header_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    content = make(path)
    head = bytearray(kept_header(interrupted(path), STEP, STEP, RAW)[:96])
    head[16] = 3
    newer = bytes(head) + hashlib.sha256(head).digest() + bytes(8192)
    redo_path(path).write_bytes(newer)
    with pytest.raises(lumocrypt.UnsupportedFormatError, match="version that began it"):
        lumocrypt.rekey(path, key=KEY)
    assert redo_path(path).read_bytes() == newer
    assert rows(path) == content


@pytest.mark.parametrize("length", [244, 245, 247])
def test_a_database_of_any_name_that_sqlite_takes_keeps_its_blocks(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("n" * length)
    content = make(path)
    head = interrupted(path)
    kept = redo_path(path)
    assert (kept.name == path.name + "-lumo-rekey") == (length == 244)
    with kept.open("r+b") as file:
        file.write(kept_header(head, STEP, STEP, RAW))
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(2000), HEADER + (STEP + 1) * SLOT + 1000)
    assert rows(path) == content
    assert lumocrypt.verify(path, key=KEY).ok
    lumocrypt.rekey(path, key=KEY)
    assert not kept.exists()
    assert rows(path) == content
