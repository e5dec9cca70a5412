"""A wrong key is always WrongKeyError, and damage never is.

The property, for every damage below and a database that is opened by a raw key:

- With the right key the outcome is all rows, or an error for damage: HeaderDamagedError, TamperedError, or
  NotEncryptedError where not even the beginning says what the file was. A file that is cut between two slots
  may be SQLite's to notice (SQLITE_CORRUPT), and one cut to nothing is a new database, as for SQLite. It is
  never WrongKeyError, and never other rows.
- With another key the outcome is WrongKeyError if the header can still be read, whatever else is damaged. If
  it cannot, nobody can say which key is right: then the error is the same as with the right key, or none.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.layout import CELLS_END, COPY, HEADER, KEYSLOTS_AT, slot_at
from support.tiny import BLOCK, Attacked, Rows, make_tiny

DAMAGES = 1000
#: Of the header: both copies of the superblock, the first keyslot in each, the cells, and all of it.
PLACES = [
    (0, COPY),
    (COPY, 2 * COPY),
    (KEYSLOTS_AT, KEYSLOTS_AT + 200),
    (COPY + KEYSLOTS_AT, COPY + KEYSLOTS_AT + 200),
    (2 * COPY, CELLS_END),
    (0, 2 * COPY),
    (0, HEADER),
]
WRONG = lumocrypt.Key.raw(bytes(range(32, 64)))
DAMAGED = (lumocrypt.HeaderDamagedError, lumocrypt.TamperedError, lumocrypt.NotEncryptedError)

Damage = Callable[[random.Random, bytearray], None]


def _place(draw: random.Random, content: bytearray) -> tuple[int, int]:
    """Half of the damages are to the header."""
    if draw.random() < 0.5:
        return draw.choice(PLACES)
    return HEADER, len(content)


def flip_bits(draw: random.Random, content: bytearray) -> None:
    begin, end = _place(draw, content)
    for _ in range(draw.choice([1, 1, 1, 2, 50])):
        content[draw.randrange(begin, end)] ^= 1 << draw.randrange(8)


def flip_bits_of_both_copies(draw: random.Random, content: bytearray) -> None:
    at = draw.randrange(COPY)
    for offset in (at, COPY + (at if draw.random() < 0.5 else draw.randrange(COPY))):
        content[offset] ^= 1 << draw.randrange(8)


def zero(draw: random.Random, content: bytearray) -> None:
    begin, end = _place(draw, content)
    start = draw.randrange(begin, end)
    length = min(draw.choice([1, 16, 512, 4096, COPY, 2 * COPY, HEADER]), len(content) - start)
    content[start : start + length] = bytes(length)


def erase_the_beginning(draw: random.Random, content: bytearray) -> None:
    """What the file was cannot be seen any more, in most cases."""
    end = draw.randrange(COPY // 2, 2 * COPY)
    content[:end] = draw.choice([bytes(end), draw.randbytes(end)])


def garble(draw: random.Random, content: bytearray) -> None:
    begin, end = _place(draw, content)
    start = draw.randrange(begin, end)
    length = min(draw.choice([16, 512, 4096, COPY, 2 * COPY]), len(content) - start)
    content[start : start + length] = draw.randbytes(length)


def swap(draw: random.Random, content: bytearray) -> None:
    """Two slots, or two pieces of the header."""
    if draw.random() < 0.5:
        length = slot_at(1, BLOCK) - slot_at(0, BLOCK)
        count = (len(content) - HEADER) // length
        one, other = (slot_at(index, BLOCK) for index in draw.sample(range(count), 2))
    else:
        length = draw.choice([64, 1024, 4096])
        one, other = (index * length for index in draw.sample(range(HEADER // length), 2))
    content[one : one + length], content[other : other + length] = (
        content[other : other + length],
        content[one : one + length],
    )


def cut(draw: random.Random, content: bytearray) -> None:
    del content[draw.choice([draw.randrange(HEADER), draw.randrange(HEADER, len(content))]) :]


def lengthen(draw: random.Random, content: bytearray) -> None:
    content += draw.randbytes(draw.choice([1, 512, slot_at(1, BLOCK) - slot_at(0, BLOCK), 5000]))


KINDS: list[Damage] = [
    flip_bits, flip_bits, flip_bits_of_both_copies, erase_the_beginning, zero, zero, garble, swap, swap, cut,
    lengthen,
]  # fmt: skip


def class_of(error: BaseException) -> str:
    return type(error).__name__


def header_error(path: Path) -> str | None:
    """What reading the header without a key says, if it fails."""
    try:
        lumocrypt.info(path)
    except lumocrypt.CryptError as error:
        return class_of(error)
    return None


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Rows]:
    path = make_tiny(tmp_path_factory.mktemp("original") / "app.db")
    return path.read_bytes(), Attacked(path, lumocrypt.Key.raw(RAW)).rows()


def test_a_thousand_damages(tmp_path: Path, original: tuple[bytes, Rows]) -> None:
    sound, rows = original
    draw = random.Random(1)
    path = tmp_path / "app.db"
    right, wrong = Attacked(path, lumocrypt.Key.raw(RAW)), Attacked(path, WRONG)
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(DAMAGES):
        kind = KINDS[number % len(KINDS)]
        content = bytearray(sound)
        kind(draw, content)
        # Another file each time: what is known of the last one must not help.
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        about = f"damage {number}, {kind.__name__}"
        io = draw.choice(["map", "pread"])
        with_right, with_wrong = right.outcome(io), wrong.outcome(io)  # type: ignore[arg-type]
        assert path.read_bytes() == content, about

        if not content:
            assert isinstance(with_right, sqlite3.OperationalError), about
            assert "no such table" in str(with_right), about
            continue
        if isinstance(with_right, sqlite3.Error):
            noticed = isinstance(with_right, DAMAGED)
            if kind is cut and not noticed:
                noticed = with_right.sqlite_errorcode == sqlite3.SQLITE_CORRUPT
            assert noticed, f"{about}: {with_right!r}"
        else:
            assert with_right == rows, about

        assert isinstance(with_wrong, lumocrypt.CryptError), f"{about}: {with_wrong!r}"
        unreadable = header_error(path)
        assert class_of(with_wrong) == (unreadable or "WrongKeyError"), f"{about}: {with_wrong!r}"
        if unreadable is not None:
            assert class_of(with_right) == unreadable, f"{about}: {with_right!r}"  # type: ignore[arg-type]
        # Each says what to do next.
        for error in (with_right, with_wrong):
            if isinstance(error, lumocrypt.CryptError):
                assert str(path) in str(error), about
        seen["rows" if isinstance(with_right, list) else class_of(with_right), class_of(with_wrong)] += 1

    # The damages do all that damage can.
    assert set(seen) >= {
        ("rows", "WrongKeyError"),
        ("TamperedError", "WrongKeyError"),
        ("HeaderDamagedError", "WrongKeyError"),
        ("HeaderDamagedError", "HeaderDamagedError"),
        ("NotEncryptedError", "NotEncryptedError"),
    }, seen
