"""Databases that the tests of hostile files begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tiny import make_tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "tiny.db")
