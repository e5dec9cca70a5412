"""Every program in examples/ runs, says what it should, and leaves nothing in clear."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Of each example: what its output has, in this order.
SAYS = {
    "web_service": ["GET {'body': 'a private note'}", "GET 404"],
    "django_site": ["found: a private note", "on disk: aegis-256x2", "without the key: KeyRequiredError"],
    "sqlalchemy_orm": ["found: ['a private note', 'another one']", "with a wrong key: WrongKeyError"],
    "async_tasks": ["rows: 80", "verify: sound"],
    "kms_keys": [
        "keyslot 0: kms",
        "keyslot 1: raw paper, safe 3",
        "with KMS: a private note",
        "disabled: ",
        "DisabledException",
        "with the recovery key: a private note",
    ],
    "rekey_without_downtime": [
        "another data key: True",
        "the writer lost nothing: True",
        "with the old key: WrongKeyError",
        "verify: sound",
    ],
    "backup": ["copy.db: ", "sound", "offsite.db: ", "sound", "restored rows: 1000"],
    "migrate_plaintext": [
        "while it is in use: InUseError",
        "the rehearsal has the same rows: True",
        "the database has the same rows: True",
        "plain sqlite3: file is not a database",
    ],
    "migrate_sqlcipher": [
        "HMAC checked",
        "rows: 5000",
        "integrity_check: ok",
        "with a wrong key: WrongKeyError",
        "PRAGMA key: ",
        "lumo_key",
    ],
    "salvage": [
        "damaged: notes",
        "people: 500",
        "notes: TamperedError",
        "saved people: 500 rows, about 0 lost",
        "saved notes: ",
        "all of it: False",
        "the new one: sound",
    ],
}
#: In every row of every example, and in every schema.
CLEAR = (b"private ", b"CREATE TABLE")
LONGEST = 120


def test_there_is_a_test_of_each() -> None:
    # demo.py and frozen.py are run by `make demo` and `make frozen`.
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SAYS, "demo", "frozen"}


@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name: str, tmp_path: Path) -> None:
    program = EXAMPLES / f"{name}.py"
    assert len(program.read_text().splitlines()) <= LONGEST
    done = subprocess.run(
        [sys.executable, program, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"PYTHONWARNINGS": "error::ResourceWarning"},
        check=False,
    )
    missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", done.stderr)
    assert missing is None, f"{missing and missing[1]} is missing: pip install '.[test]', or make test"
    assert done.returncode == 0, done.stderr
    at = 0
    for said in SAYS[name]:
        found = done.stdout.find(said, at)
        assert found >= 0, f"{said!r} is not in what follows {done.stdout[:at]!r}: {done.stdout[at:]!r}"
        at = found + len(said)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    in_clear = [path.name for path in files for text in CLEAR if text in path.read_bytes()]
    assert in_clear == []
