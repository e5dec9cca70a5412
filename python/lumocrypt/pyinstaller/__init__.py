"""What PyInstaller is told about this package, by the entry point ``pyinstaller40``."""

from __future__ import annotations

import os


def hook_dirs() -> list[str]:
    """The folders with hooks (https://pyinstaller.org/en/stable/hooks.html)."""
    return [os.path.dirname(os.path.abspath(__file__))]
