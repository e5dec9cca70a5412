"""Engines that are broken on purpose: a campaign must notice each, or its silence would mean nothing."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import lumocrypt

ENGINE = Path(__file__).parents[2] / "engine"
_LIBRARY = "lib_lumocrypt.so"

#: What ``LUMO_FAULT`` can name (engine/crates/ground/src/sabotage.rs), and the scenarios that notice it.
FAULTS: dict[str, tuple[str, ...]] = {
    "journal-flush": ("spills-delete-off", "commits-persist-off"),
    "journal-sync": ("commits-persist-full", "spills-delete-normal"),
    "journal-trailer": ("pairs-delete-full", "pairs-truncate-full"),
    "wal-sync": ("commits-wal-full", "generations-wal-normal"),
    "wal-cell": ("commits-wal-full", "generations-wal-normal"),
    "wal-retire": ("closing-wal-full", "emptied-wal-normal"),
    "main-sync": ("commits-delete-full", "generations-wal-full"),
    "gap-sealing": ("holes-delete-full",),
    "header-sync": ("creation-delete-full", "creation-wal-normal"),
    "copy-sync": ("creation-delete-full-page512",),
    "stale-block": ("by_turns-delete-full",),
    "stale-log": ("two_writers-wal-full",),
    "stale-frame": ("by_turns-wal-full",),
    "stale-size": ("by_turns-delete-full",),
    "redo": ("rekeying-delete-full", "rekeying-wal-full"),
    "batch-wait": ("floods-delete-off", "floods-wal-full"),
}

#: The same for a medium that fails: scenarios, and which syncs.
FAILING: dict[str, tuple[tuple[str, str], ...]] = {
    "cell-once": (("generations-wal-full", "of the database"),),
    "journal-once": (("savepoints-delete-full", "of the journal"),),
    "wal-once": (("generations-wal-full-exclusive", "of the wal"),),
    "kept-trust": (("rekeying-persist-full", "of the database"),),
    "block-once": (
        ("holes-delete-full", "of the database"),
        ("sizes-delete-full-incremental", "of the database"),
    ),
    "backfill-kept": (("checkpoints-wal-full", "of the database"),),
}

#: Where no crash shows it but an attack does: tests that fail with such an engine.
ATTACKS: dict[str, str] = {
    "missing-end": "attacks/test_attack_length.py::test_an_old_journal_that_restores_a_longer_database",
    "copied-frames": "attacks/test_attack_length.py::test_frames_that_a_checkpoint_has_copied_cannot_go",
}


def faulty_package() -> Path:
    """A folder with a lumocrypt whose engine does wrong what ``LUMO_FAULT`` names; built if need be."""
    command = [
        "cargo",
        "build",
        "--release",
        "--lib",
        "--package",
        "lumocrypt-capi",
        "--features",
        "fault-injection",
    ]
    command += ["--manifest-path", str(ENGINE / "Cargo.toml"), "--message-format", "json"]
    target = ENGINE / "target" / "faulty"
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        # Several test processes may need it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        built = _shared_object(done.stdout)
        package = target / "lumocrypt"
        library = package / "_lumocrypt" / _LIBRARY
        if not library.exists() or library.read_bytes() != built.read_bytes():
            shutil.rmtree(package, ignore_errors=True)
            shutil.copytree(Path(lumocrypt.__file__).parent, package)
            shutil.copyfile(built, library)
        # Where it lies, somebody might take it for a release; cargo still has it.
        built.unlink()
    return target


def _shared_object(messages: str) -> Path:
    for line in messages.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "lumocrypt":
            for name in message["filenames"]:
                if name.endswith(".so"):
                    return Path(name)
    raise FileNotFoundError("the engine's shared object")
