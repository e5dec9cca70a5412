"""Files that somebody hostile made: a sample of what ``make fuzz-python`` makes, and single values."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from hostile.actions import ACTIONS, Place, command, outcome_of
from hostile.campaign import KINDS, run
from hostile.conduct import judged
from hostile.originals import NAME, RAW_KEY, original
from support.layout import GENERATION_AT, KEYSLOTS_AT, patched, u64

CREATED_AT, LABEL_LENGTH_AT = KEYSLOTS_AT + 8, KEYSLOTS_AT + 168


@pytest.mark.parametrize("kind", KINDS)
def test_forged_files_give_results_or_documented_errors(kind: str) -> None:
    run(kind, 80)


@pytest.fixture
def place(tmp_path: Path) -> Callable[[bytes], Place]:
    """A database with that content in a folder of its own."""
    number = 0

    def make(content: bytes) -> Place:
        nonlocal number
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / NAME).write_bytes(content)
        return Place(folder, RAW_KEY)

    return make


def sound() -> bytes:
    return original("encrypted").files[NAME]


DATES = {
    0: "1970-01-01 00:00:00 UTC",
    1 << 32: "2106-02-07 06:28:16 UTC",
    253402300799: "9999-12-31 23:59:59 UTC",
    253402300800: "at no date that there is",
    (1 << 63) - 1: "at no date that there is",
    1 << 63: "at no date that there is",
    (1 << 64) - 1: "at no date that there is",
}


@pytest.mark.parametrize("seconds", DATES)
def test_dates_of_any_value(place: Callable[[bytes], Place], seconds: int) -> None:
    """They are shown, or the header is refused because somebody without the key changed it."""
    forged = patched(sound(), CREATED_AT, u64(seconds))
    for words in (["info"], ["key", "list"]):
        database = str(place(forged).database)
        outcome = command(*words, database)
        assert (outcome.code, DATES[seconds] in outcome.text) == (0, True), outcome.text
        answer = json.loads(command(*words, "--json", database).text)
        shown = answer["keyslots"][0]["created"]
        assert shown is None if "no date" in DATES[seconds] else datetime.fromisoformat(shown)
    (slot,) = lumocrypt.keyslots(place(forged).database)
    if slot.created is not None:
        assert slot.created == datetime.fromtimestamp(seconds, UTC)
    for name, action in ACTIONS.items():
        if name.startswith(("info", "key list", "lumocrypt.keyslots")):
            continue
        there = place(forged)
        outcome = judged(
            name, lambda action=action, there=there: outcome_of(action, there), usage=name == "encrypt"
        )
        # Without a key, or with one that no keyslot is for.
        keyless = name in ("header backup", "encrypt", "lumocrypt.KmsKey")
        refused = isinstance(outcome.error, lumocrypt.HeaderDamagedError) or outcome.code == 4
        assert refused or keyless, (name, outcome)


@pytest.mark.parametrize("generation", [0, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1])
def test_generations_of_any_value(place: Callable[[bytes], Place], generation: int) -> None:
    """Of a database without a key, where anybody may write an authentic one: counting on never fails."""
    content = original("checksummed").files[NAME]
    for name, action in ACTIONS.items():
        forged = bytearray(patched(content, GENERATION_AT, u64(generation)))
        there = place(bytes(forged))
        there.key = None
        judged(name, lambda action=action, there=there: outcome_of(action, there), usage=True)


LABELS = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31mred",
    "a\nkeyslot 1 raw",
    "\u202egpj.exe",
    "tab\there",
    "\x00",
    "\x7f",
]


@pytest.mark.parametrize("label", LABELS, ids=range(len(LABELS)))
def test_labels_cannot_act_on_the_terminal(place: Callable[[bytes], Place], label: str) -> None:
    text = label.encode()
    there = place(patched(sound(), LABEL_LENGTH_AT, struct.pack("<I", len(text)) + text))
    for words in (["info"], ["info", "--json"], ["key", "list"], ["key", "list", "--json"]):
        outcome = command(*words, str(there.database))
        assert outcome.code == 0
        lines = outcome.text.splitlines()
        assert all(character.isprintable() or character == "\n" for character in outcome.text), outcome.text
        assert "--json" in words or len(lines) == (10 if words == ["info"] else 1)
    # Whoever asks for it gets it as it is.
    assert lumocrypt.keyslots(there.database)[0].label == label


def test_names_in_a_database_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    """Anybody may have written those of a database without a key."""
    name = "t\x1b[31m\nlumocrypt: ok"
    path = tmp_path / NAME
    lumocrypt.encrypt(_plain_with(tmp_path / "plain.db", name), path, key=None, cipher="checksum")
    content = bytearray(path.read_bytes())
    # The third of the table's leaves.
    content[65536 + 9 * (512 + 16) + 40] ^= 1
    path.write_bytes(content)
    for words in (["verify", str(path)], ["salvage", str(path), str(tmp_path / "saved.db")]):
        outcome = command(*words)
        assert outcome.code == 4, outcome.text
        assert r"t\x1b[31m\x0alumocrypt: ok" in outcome.text
        assert "\x1b" not in outcome.text
        assert not any(line.startswith("lumocrypt: ok") for line in outcome.text.splitlines())


def _plain_with(path: Path, table: str) -> Path:
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size=512")
    connection.execute(f'CREATE TABLE "{table}" (a, b)')
    connection.executemany(f'INSERT INTO "{table}" VALUES (?, ?)', [(row, "x" * 100) for row in range(50)])
    connection.commit()
    connection.close()
    return path


def test_no_memory_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise MemoryError("deriving the key needs 4096 MiB of memory")

    monkeypatch.setattr("lumocrypt.cli.info.read_info", nothing)
    outcome = command("info", str(tmp_path / "x.db"))
    assert (outcome.code, "4096 MiB" in outcome.text) == (1, True)
