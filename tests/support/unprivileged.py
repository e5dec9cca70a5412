"""Folders that may be read and not be written."""

from __future__ import annotations

import os
from pathlib import Path


class Unprivileged:
    """A folder that may be read and, after :meth:`drop`, not be written by this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = os.geteuid() == 0

    def drop(self) -> None:
        """Root may do everything, so it becomes somebody else."""
        self.folder.chmod(0o555)
        if self._root:
            os.setresuid(65534, 65534, 0)

    def restore(self) -> None:
        if self._root:
            os.setresuid(0, 0, 0)
        self.folder.chmod(0o755)
