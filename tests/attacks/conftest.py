"""Databases that the tests of hostile files begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import FAST
from support.operations import PASSPHRASE
from support.plaintext import make_plain
from support.tiny import make_tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "tiny.db")


@pytest.fixture(scope="module")
def with_passphrase(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a database with a passphrase slot."""
    path = tmp_path_factory.mktemp("passphrase") / "tiny.db"
    make_plain(path, rows=5)
    lumocrypt.encrypt(path, key=PASSPHRASE, kdf=FAST)
    return path.read_bytes()
