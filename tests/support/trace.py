"""Everything that a program writes, from strace: unlinked temporary files are part of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STRACE = shutil.which("strace")
_WORKLOAD = Path(__file__).with_name("workload.py")
# pwrite64(5</tmp/x/app.db>, "\x53\x51"..., 16, 0) = 16
_WRITE = re.compile(r'(?:write|pwrite64)\((\d+)<(.*?)>(?:\(deleted\))?, "((?:\\x[0-9a-f]{2})*)"(\.\.\.)?, ')


@dataclass(frozen=True, slots=True)
class Write:
    """One system call."""

    phase: str
    #: The name of the file within the folder of the databases, or ``"temporary"``.
    file: str
    data: bytes


def writes(folder: Path, *arguments: str) -> list[Write]:
    """Runs the workload in ``folder``; all that it wrote, in order."""
    assert STRACE is not None
    trace = folder.with_name(folder.name + ".trace")
    command = [STRACE, "-f", "--seccomp-bpf", "-y", "-qq", "-xx", "-s", "10000000", "-o", str(trace)]
    command += ["-e", "trace=write,pwrite64,pwritev,pwritev2,writev,sendfile,copy_file_range"]
    temporary = folder / "temporary"
    temporary.mkdir(parents=True)
    environment = {**os.environ, "SQLITE_TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*command, sys.executable, str(_WORKLOAD), str(folder), *arguments],
        check=True,
        capture_output=True,
        env=environment,
    )
    found: list[Write] = []
    phase = "start"
    with trace.open() as lines:
        for line in lines:
            if " resumed>" in line:
                # The end of a call during which another thread made one; its beginning has the data.
                continue
            match = _WRITE.search(line)
            # A call that strace shows in another way would be overlooked.
            assert match is not None, line[:200]
            assert match[4] is None, "strace cut the data"
            data = bytes.fromhex(match[3].replace("\\x", ""))
            if data.startswith(b"phase "):
                phase = data.decode().split()[1]
            else:
                found.append(Write(phase, _file(_path(match[2]), folder), data))
    trace.unlink()
    return found


def _path(shown: str) -> str:
    # Of paths, too, strace shows each byte in hexadecimal when it does so for data.
    return os.fsdecode(bytes.fromhex(shown.replace("\\x", ""))) if shown.startswith("\\x") else shown


def _file(path: str, folder: Path) -> str:
    if path.startswith(str(folder / "temporary")):
        return "temporary"
    return os.path.relpath(path, folder) if path.startswith(str(folder)) else path
