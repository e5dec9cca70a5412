"""Makes the sample environments in tests/golden/lmdb. Run by hand, as make_golden.py.

    python tests/make_golden_lmdb.py

They are written by engine/crates/lmdb/examples/sample.rs, which says what LMDB sees in them. Samples that
are in the repository are never made again.
"""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).with_name("golden") / "lmdb"
MANIFEST = FOLDER / "manifest.json"
PASSPHRASE = "golden passphrase, Grüße"
RAW = bytes(range(100, 132))
#: Suite, size of pages, and whether a passphrase opens it.
SAMPLES = [
    ("aegis-256x2", 1024, True),
    ("aegis-256", 512, False),
    ("xchacha20-poly1305", 1024, False),
    ("aes-256-gcm", 2048, False),
    ("checksum", 1024, False),
]


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    suite: str
    page_size: int
    #: One of the two, or neither.
    passphrase: str | None
    raw_key: str | None
    #: By name ("-" for the one without): how many entries, and SHA-256 over them as sample.rs says.
    databases: dict[str, tuple[int, str]]


def make(path: Path, suite: str, page_size: int, *secret: str) -> dict[str, tuple[int, str]]:
    """Writes an environment, and says what LMDB sees in it."""
    manifest = ROOT / "engine" / "Cargo.toml"
    command = ["cargo", "run", "--quiet", "--release", "--manifest-path", str(manifest)]
    command += [
        "-p",
        "lumocrypt-lmdb",
        "--example",
        "sample",
        "--",
        str(path),
        suite,
        str(page_size),
        *secret,
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in said.splitlines()]
    return {name: (int(count), digest) for name, count, digest in lines}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    old: list[dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else []
    known = {sample["name"]: sample for sample in old}
    for suite, page_size, passphrase in SAMPLES:
        name = f"v1-{suite}"
        if name in known:
            continue
        raw = None if passphrase or suite == "checksum" else RAW.hex()
        secret = [PASSPHRASE] if passphrase else [] if raw is None else [f"raw:{raw}"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "app.lmdb"
            databases = make(path, suite, page_size, *secret)
            (FOLDER / f"{name}.lmdb.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
        sample = Sample(name, suite, page_size, PASSPHRASE if passphrase else None, raw, databases)
        known[name] = asdict(sample)
    MANIFEST.write_text(json.dumps(list(known.values()), indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
