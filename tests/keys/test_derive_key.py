"""``derive_key`` against golang.org/x/crypto/argon2, which is what gosqlite's ``DeriveKey`` calls."""

from __future__ import annotations

from typing import Any

import pytest

import lumocrypt

SALT = bytes(range(16))

#: Written by tests/interop (``interop derive``).
FROM_GO = [
    ("correct horse", SALT, "adiantum", "577f1ff37e9a3e52c97d39f8e83891c1b73b0e87ffe0429cee8ede2fb005fe44"),
    (
        "correct horse",
        SALT,
        "aes-256-xts",
        "7b604c747e41fe2ad70ed06e46e35833771567eacb24b89643c50526305c0a4f"
        "43819f1a166c5c395cc0310cbe702bc10416889ca1c90b2c9123a98ac18b602f",
    ),
    (
        "Grüße, 世界",
        b"sixteen bytes!! and more of them",
        "adiantum",
        "85907030d691e270f3c5b6a97d64a3b0f7e7a99b30a0e97f384233f91b63690b",
    ),
]


@pytest.mark.parametrize(("passphrase", "salt", "cipher", "expected"), FROM_GO)
def test_equal_to_go(passphrase: str, salt: bytes, cipher: str, expected: str) -> None:
    assert lumocrypt.derive_key(passphrase, salt, cipher).hex() == expected
    assert lumocrypt.derive_key(passphrase.encode(), memoryview(salt), cipher).hex() == expected


def test_adiantum_is_the_default() -> None:
    assert lumocrypt.derive_key("correct horse", bytearray(SALT)).hex() == FROM_GO[0][3]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("", SALT), ValueError, "empty"),
        ((b"", SALT), ValueError, "empty"),
        (("x", SALT[:15]), ValueError, "15 bytes is too short"),
        (("x", SALT, "aes-128"), ValueError, "adiantum and aes-256-xts"),
        (("x", "salt" * 4), TypeError, "str"),
        ((None, SALT), TypeError, "NoneType"),
        ((12, SALT), TypeError, "int"),
        (("\ud800", SALT), ValueError, "UTF-8"),
    ],
)
def test_what_is_refused(arguments: tuple[Any, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        lumocrypt.derive_key(*arguments)
