"""Processes that may not do everything: all works there, or is an error that says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlcipher3 import dbapi2 as sqlcipher

import lumocrypt
from support import confined
from support.plaintext import fill

TESTS = Path(__file__).parents[1]
ALL = [name for name in vars(confined.Errands) if not name.startswith("_")]


def errands(restriction: str, folder: Path, *options: str, **environment: str) -> dict[str, str]:
    """What became of each errand."""
    connection = sqlcipher.connect(str(folder / "cipher.db"))
    connection.execute(f"PRAGMA key = '{confined.PASSPHRASE}'")
    fill(connection)
    connection.close()
    command = [sys.executable, "-m", "support.confined", restriction, str(folder), *options]
    done = subprocess.run(
        command,
        cwd=TESTS,
        env={**os.environ, "LUMO_THREADS": "2", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.partition(": ") for line in done.stdout.splitlines()]
    results = {name: result for name, _, result in lines if name in ALL}
    assert list(results) == ALL, done.stdout + done.stderr
    return results


@pytest.mark.parametrize(
    "restriction",
    [
        "nothing",
        "no_new_code",
        "no_new_code_nor_memfd",
        "no_threads",
        "no_locked_memory",
        "few_descriptors",
        "no_home",
        "deleted_folder",
    ],
)
def test_everything_works(restriction: str, tmp_path: Path) -> None:
    assert set(errands(restriction, tmp_path).values()) == {"ok"}


@pytest.mark.parametrize("restriction", ["no_new_code", "no_threads", "no_getrandom"])
def test_everything_works_from_the_start_of_the_process(restriction: str, tmp_path: Path) -> None:
    assert set(errands(restriction, tmp_path, "--first").values()) == {"ok"}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes /proc and /dev away in a namespace of its own, as root")
def test_everything_works_without_proc_and_dev(tmp_path: Path) -> None:
    assert set(errands("no_proc", tmp_path).values()) == {"ok"}


def test_a_generator_that_is_taken_away_is_an_error(tmp_path: Path) -> None:
    results = errands("no_getrandom", tmp_path)
    assert "random number generator failed" in results["connect"]
    assert "nothing was written" in results["connect"]


def test_what_needs_more_memory_than_there_is_says_how_much(tmp_path: Path) -> None:
    results = errands("little_memory", tmp_path)
    for result in results.values():
        assert result == "ok" or (result.startswith("MemoryError: ") and "MiB" in result)
    for errand in ("connect", "verify", "decrypt", "encrypt", "rekey", "salvage"):
        assert results[errand] == "ok"


@pytest.mark.parametrize("descriptors", ["0", "3", "6"])
def test_too_few_descriptors_lose_nothing(descriptors: str, tmp_path: Path, key: lumocrypt.Key) -> None:
    results = errands("few_descriptors", tmp_path, DESCRIPTORS=descriptors)
    for errand, result in results.items():
        # What failed leaves nothing for the errands behind it: no file, or the old key.
        kind = result.partition(":")[0]
        assert kind in (
            "ok",
            "OSError",
            "OperationalError",
            "FileNotFoundError",
            "WrongKeyError",
            "CryptError",
            "AssertionError",
        ), (
            errand,
            result,
        )
    for path in tmp_path.glob("*.db"):
        if path.name in ("cipher.db", "clear.db", "recorded.db", "converted.db", "salvaged.db"):
            continue
        for given in (key, confined.NEW, confined.PASSPHRASE):
            try:
                assert path.stat().st_size == 0 or lumocrypt.verify(path, key=given).ok
                break
            except lumocrypt.WrongKeyError:
                continue
        else:
            pytest.fail(f"{path.name} opens with no key")
