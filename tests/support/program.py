"""The command line, run as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from support.terminal import PROGRAM

PASS = "correct horse battery staple"


def run(
    *arguments: object, stdin: bytes = b"", env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Runs the program without a terminal."""
    return subprocess.run(
        [sys.executable, *PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        timeout=60,
        check=False,
        **options,
    )
