"""Published vectors for the decryptor's primitives, and the engine's sealed blocks under other libraries.

The engine proves the same vectors in its own tests. Together with the decryptor reading what the engine wrote
this ties both to what is published, and not merely to each other.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import pyaegis
import pytest
import xxhash
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from decryptor import UnauthenticError, length_preserving
from decryptor import primitives as p
from decryptor.header import REGION
from samples import OVERHEAD, TAGGED, connect, fill, read

VECTORS = Path(__file__).parents[2] / "engine" / "crates" / "crypto" / "tests" / "vectors"


def load(*names: str) -> list[Any]:
    """The vectors of these files, each with a readable id."""
    return [
        pytest.param(test, id=f"{name}-{test['name']}")
        for name in names
        for test in json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["tests"]
    ]


def check(open_: p.Open, test: dict[str, Any]) -> None:
    key, nonce, aad, message, ciphertext, tag = (
        bytes.fromhex(test[field]) for field in ("key", "nonce", "aad", "msg", "ct", "tag")
    )
    if test["valid"]:
        assert open_(key, nonce, ciphertext, tag, aad) == message
        # The vector proves something only if a changed one fails.
        with pytest.raises(UnauthenticError):
            open_(key, nonce, ciphertext, bytes([tag[0] ^ 1]) + tag[1:], aad)
        with pytest.raises(UnauthenticError):
            open_(key, nonce, ciphertext, tag, aad + b"\0")
    else:
        with pytest.raises(UnauthenticError):
            open_(key, nonce, ciphertext, tag, aad)


@pytest.mark.parametrize("test", load("aegis-256", "wycheproof-aegis-256"))
def test_aegis_256(test: dict[str, Any]) -> None:
    check(p.aegis256_open, test)


@pytest.mark.parametrize("test", load("aegis-256x2"))
def test_aegis_256x2(test: dict[str, Any]) -> None:
    check(p.aegis256x2_open, test)


@pytest.mark.parametrize("test", load("wycheproof-xchacha20-poly1305"))
def test_xchacha20_poly1305(test: dict[str, Any]) -> None:
    check(p.xchacha20_poly1305_open, test)


@pytest.mark.parametrize("test", load("xaes-256-gcm"))
def test_xaes_256_gcm(test: dict[str, Any]) -> None:
    derived = p.xaes_derive(bytes.fromhex(test["key"]), bytes.fromhex(test["nonce"]))
    assert derived == bytes.fromhex(test["derived"])
    check(p.xaes_256_gcm_open, test)


def test_xaes_256_gcm_accumulated() -> None:
    """C2SP's randomized vectors: 10,000 inputs of SHAKE-128, all outputs absorbed by another."""
    count = 10_000
    # hashlib's SHAKE has no incremental output; the amount read is bounded by the longest input.
    stream = hashlib.shake_128().digest(count * (32 + 24 + 1 + 255 + 1 + 255))
    at = 0

    def take(length: int) -> bytes:
        nonlocal at
        at += length
        return stream[at - length : at]

    digest = hashlib.shake_128()
    for _ in range(count):
        key, nonce = take(32), take(24)
        message = take(take(1)[0])
        aad = take(take(1)[0])
        sealed = AESGCM(p.xaes_derive(key, nonce)).encrypt(nonce[12:], message, aad)
        assert p.xaes_256_gcm_open(key, nonce, sealed[:-16], sealed[-16:], aad) == message
        digest.update(sealed)
    assert digest.hexdigest(32) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


@pytest.mark.parametrize("test", load("adiantum"))
def test_adiantum(test: dict[str, Any]) -> None:
    key, tweak, message, ciphertext = (bytes.fromhex(test[field]) for field in ("key", "tweak", "msg", "ct"))
    assert length_preserving.adiantum_open(key, tweak, ciphertext) == message


@pytest.mark.parametrize("test", load("nhpoly1305"))
def test_nhpoly1305(test: dict[str, Any]) -> None:
    key, message = bytes.fromhex(test["key"]), bytes.fromhex(test["msg"])
    found = length_preserving.nhpoly1305(key[:16], key[16:], message)
    assert found.to_bytes(16, "little").hex() == test["hash"]


def test_aes_256_xts() -> None:
    for name in ("cavp-aes-256-xts", "ieee-1619-aes-256-xts"):
        for test in json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["tests"]:
            key, message, ciphertext = (bytes.fromhex(test[field]) for field in ("key", "msg", "ct"))
            assert length_preserving.aes_256_xts_open(key, test["sector"], ciphertext) == message, test[
                "name"
            ]


@pytest.mark.parametrize("test", load("wycheproof-hkdf-sha256"))
def test_hkdf(test: dict[str, Any]) -> None:
    ikm, salt, info, okm = (bytes.fromhex(test[field]) for field in ("ikm", "salt", "info", "okm"))
    assert p.hkdf_sha256(ikm, salt, info, len(okm)) == okm


@pytest.mark.parametrize("test", load("wycheproof-hmac-sha256"))
def test_hmac(test: dict[str, Any]) -> None:
    found = p.hmac_sha256(bytes.fromhex(test["key"]), bytes.fromhex(test["msg"]))
    assert (found == bytes.fromhex(test["tag"])) == test["valid"]


def test_argon2id() -> None:
    """RFC 9106, section 5.3; and a vector of the reference implementation's test program."""
    rfc = Argon2id(
        salt=b"\2" * 16, length=32, iterations=3, lanes=4, memory_cost=32, ad=b"\4" * 12, secret=b"\3" * 8
    )
    expected = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    assert rfc.derive(b"\1" * 32).hex() == expected
    expected = "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"
    assert p.argon2id("password", b"somesalt", 2, 256, 1).hex() == expected


def test_xxh3_128() -> None:
    """The canonical form is big-endian (xxHash's format document); the format stores little-endian."""
    empty = "99aa06d3014798d86001c324468d497f"
    assert xxhash.xxh3_128_hexdigest(b"") == empty
    assert p.checksum(b"", b"") == bytes.fromhex(empty)[::-1]


# A second implementation of each cipher seals again what the engine sealed: (key, nonce, aad, plaintext) ->
# ciphertext and 16-byte tag.
Seal = Callable[[bytes, bytes, bytes, bytes], bytes]


def seal_aegis_256(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """libsodium has the 32-byte tag only, whose halves' XOR is the 16-byte one (draft, Finalize)."""
    sealed = sodium.crypto_aead_aegis256_encrypt(plaintext, aad, nonce, key)
    tag = sealed[-32:]
    return sealed[:-32] + bytes(a ^ b for a, b in zip(tag[:16], tag[16:], strict=True))


def seal_aegis_256x2(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    return b"".join(pyaegis.Aegis256X2(16).encrypt_detached(key, nonce, plaintext, aad))


def seal_xchacha(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, aad, nonce, key)


def seal_xaes(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """The derivation written out with the bare block cipher, where the decryptor takes CMAC."""
    block = Cipher(AES(key), modes.ECB()).encryptor()
    zero = int.from_bytes(block.update(bytes(16)), "big")
    subkey = (zero << 1) % (1 << 128) ^ (0x87 if zero >> 127 else 0)
    derived = b""
    for counter in (1, 2):
        message = int.from_bytes(bytes([0, counter, ord("X"), 0]) + nonce[:12], "big")
        derived += block.update((message ^ subkey).to_bytes(16, "big"))
    return AESGCM(derived).encrypt(nonce[12:], plaintext, aad)


SEALS: dict[str, Seal] = {
    "aegis-256": seal_aegis_256,
    "aegis-256x2": seal_aegis_256x2,
    "xchacha20-poly1305": seal_xchacha,
    "aes-256-gcm": seal_xaes,
}


@pytest.mark.parametrize("suite", TAGGED)
def test_blocks_of_the_engine(suite: str, tmp_path: Path) -> None:
    """Every slot of a database is, byte for byte, what the library makes of the same key, nonce and AAD."""
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    fill(connection, 40)
    connection.close()
    found = read(path, suite)
    assert found.header is not None
    superblock, keys = found.header.superblock, found.header.keys
    overhead = OVERHEAD[suite]
    slots = path.read_bytes()[REGION:]
    size = superblock.block_size
    nonces: set[bytes] = set()
    for index in range(len(found.image) // size):
        slot = slots[index * (size + overhead) : (index + 1) * (size + overhead)]
        plaintext = found.image[index * size : (index + 1) * size]
        aad = keys.uuid + keys.key_id + struct.pack("<IIQ16x", 1, 0, index)
        if suite == "checksum":
            assert slot == plaintext + xxhash.xxh3_128_digest(aad + plaintext)[::-1]
            continue
        info = b"lumocrypt v1 block key" + keys.key_id + struct.pack("<II", superblock.suite.id, 1)
        key = p.hkdf_sha256(keys.data_key, keys.uuid, info, 32)
        stored = slot[size : size + 24]
        nonce = stored + struct.pack("<Q", index) if suite.startswith("aegis") else stored
        assert SEALS[suite](key, nonce, aad, plaintext) == slot[:size] + slot[size + 24 :]
        nonces.add(stored)
    blocks = len(found.image) // size
    assert blocks > 5
    assert len(nonces) == (0 if suite == "checksum" else blocks)
