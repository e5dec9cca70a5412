"""Shared objects that campaigns put under a process: compiled once, for all test processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path


def build(source: Path, *libraries: str) -> Path:
    """Compiles a C source, once per version of it and of the headers beside it; where the result is.

    ``libraries``: options for the linker, such as ``-ldl``. Raises CalledProcessError.
    """
    hasher = hashlib.sha256(source.read_bytes())
    for header in sorted(source.parent.glob("*.h")):
        hasher.update(header.read_bytes())
    name = f"lumocrypt-{source.stem}-{os.getuid()}-{hasher.hexdigest()[:16]}.so"
    target = Path(tempfile.gettempdir()) / name
    with target.with_suffix(".lock").open("w") as lock:
        # Several test processes may need it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = target.with_suffix(".partial")
            command = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-fPIC", "-shared"]
            subprocess.run([*command, "-o", str(partial), str(source), *libraries], check=True)
            partial.rename(target)
    return target
