"""``lumocrypt bench``: that it measures, not what."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import lumocrypt
from lumocrypt.cli import main
from samples import SUITES

CIPHERS = SUITES
QUICK = {"seconds": 0.0}


def test_every_cipher_and_every_profile() -> None:
    found = lumocrypt.bench(kdf=[], **QUICK)
    assert set(CIPHERS) <= {one.cipher for one in found.ciphers}
    assert all(one.seal > 0 and one.open > 0 for one in found.ciphers)
    found = lumocrypt.bench(ciphers=[], kdf=["interactive", {"t": 2, "m": 19456, "p": 1}], **QUICK)
    assert [one.name for one in found.kdf] == ["interactive", "t=2,m=19456,p=1"]
    assert found.kdf[0].costs == lumocrypt.PROFILES["interactive"]
    assert all(one.seconds is not None and one.seconds > 0.001 for one in found.kdf)


def test_a_derivation_for_which_there_is_no_memory() -> None:
    code = """
import resource
import lumocrypt
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
(one,) = lumocrypt.bench(ciphers=[], kdf=[{"t": 2, "m": 8 << 20, "p": 1}], seconds=0.0).kdf
print(one.seconds)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"None\n"


@pytest.mark.parametrize(
    "arguments", [{"ciphers": ["rot13"]}, {"kdf": ["paranoid"]}, {"block_size": 1000}, {"seconds": -1.0}]
)
def test_bad_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        lumocrypt.bench(**{"ciphers": CIPHERS[:1], "kdf": [], **QUICK, **arguments})  # type: ignore[arg-type]


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--seconds", "0", "--cipher", "aegis-256", "--kdf", "t=2,m=19456,p=1"]
    assert main(["bench", *quick]) == 0
    text = capsys.readouterr().out
    assert "GB/s" in text
    assert "19 MiB" in text
    assert "aes-256-gcm" not in text
    assert main(["bench", *quick, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["cipher"] for one in found["ciphers"]] == ["aegis-256"]
    assert found["kdf"][0]["costs"] == {"t": 2, "m": 19456, "p": 1}


def test_only_what_is_named_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--seconds", "0", "--cipher", "checksum", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kdf"] == []
