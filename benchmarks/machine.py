"""What it was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from .processes import ROOT


def machine() -> dict[str, str]:
    """Processor, kernel, memory, and how busy it was."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": f"{len(models)} x {models[0]}" if models else platform.processor(),
        "memory": f"{meminfo('MemTotal') / 1e9:.0f} GB",
        "kernel": platform.release(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def meminfo(field: str) -> int:
    """Bytes, of a line of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    found = [(len(at), kind) for at, kind in mounts if folder.resolve().is_relative_to(at)]
    return max(found)[1] if found else "unknown"


def in_memory(folder: Path) -> bool:
    """Whether a sync costs nothing there."""
    return file_system(folder) in ("tmpfs", "ramfs")


def room(folder: Path) -> int:
    """Bytes that may be written there."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    return min(free, meminfo("MemAvailable")) if in_memory(folder) else free


def commit() -> str:
    """The commit that was measured, if this is a clone."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return found.stdout.strip() or "unknown"
