"""Other processes at work on a database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

#: What such a process runs.
PROGRAM = Path(__file__).parents[1] / "peer.py"


class Peer:
    """Another process with a connection of its own; ``run`` executes SQL there."""

    def __init__(
        self, database: Path | str, raw_key: bytes | None, environment: dict[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(PROGRAM), str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        assert self._process.stdin is not None
        # Not in the arguments: these are what ps shows.
        self._process.stdin.write((raw_key.hex() if raw_key else "") + "\n")
        self._process.stdin.flush()
        self.opened = self._answer()

    def run(self, sql: str) -> dict[str, Any]:
        """``{"rows": [...]}`` or ``{"error": class, "message": text}``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(sql) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the peer died"
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def kill(self) -> None:
        """As a crash: nothing is closed."""
        self._process.kill()
        self._process.wait(30)
