"""Ciphers, key derivation and blocks (docs/reference/format.md, section 1) by independent libraries."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass

import nacl.bindings as sodium
import nacl.exceptions
import pyaegis
import xxhash
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .errors import UnauthenticError, UnsupportedFormatError
from .length_preserving import adiantum_open, aes_256_xts_open

NONCE = 24
TAG = 16

KIND_MAIN = 1
KIND_JOURNAL = 2
KIND_WAL = 3


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def hkdf_sha256(ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869."""
    prk = hmac_sha256(salt, ikm)
    output = block = b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac_sha256(prk, block + info + bytes([counter]))
        output += block
    return output[:length]


def argon2id(passphrase: str, salt: bytes, t: int, m: int, p: int) -> bytes:
    """32 bytes; m in KiB."""
    kdf = Argon2id(salt=salt, length=32, iterations=t, lanes=p, memory_cost=m)
    return kdf.derive(passphrase.encode("utf-8"))


# Each cipher: open(key, nonce as the AEAD wants it, ciphertext, tag, aad) -> plaintext, or UnauthenticError.
Open = Callable[[bytes, bytes, bytes, bytes, bytes], bytes]


def _aegis_open(cipher: type[pyaegis.Aegis256] | type[pyaegis.Aegis256X2]) -> Open:
    aead = cipher(tag_size=TAG)

    def open_(key: bytes, nonce: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
        try:
            return bytes(aead.decrypt_detached(key, nonce, ciphertext, tag, aad))
        except pyaegis.DecryptionError:
            raise UnauthenticError(cipher.__name__) from None

    return open_


aegis256_open = _aegis_open(pyaegis.Aegis256)
aegis256x2_open = _aegis_open(pyaegis.Aegis256X2)


def xchacha20_poly1305_open(key: bytes, nonce: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext + tag, aad, nonce, key)
    except nacl.exceptions.CryptoError:
        raise UnauthenticError("XChaCha20-Poly1305") from None


def xaes_derive(key: bytes, nonce: bytes) -> bytes:
    """The AES-256-GCM key of XAES-256-GCM: a NIST SP 800-108 counter KDF over CMAC with a counter of 16 bits.

    Each of its two messages is exactly one block, so that CMAC is one AES call (c2sp.org/XAES-256-GCM).
    """
    derived = b""
    for counter in (1, 2):
        mac = CMAC(AES(key))
        mac.update(struct.pack(">H", counter) + b"X\0" + nonce[:12])
        derived += mac.finalize()
    return derived


def xaes_256_gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(xaes_derive(key, nonce)).decrypt(nonce[12:], ciphertext + tag, aad)
    except InvalidTag:
        raise UnauthenticError("XAES-256-GCM") from None


# Each length-preserving cipher: open(key, file kind, block index, ciphertext) -> whatever that decrypts to.
OpenUntagged = Callable[[bytes, int, int, bytes], bytes]


def adiantum_of_a_block(key: bytes, kind: int, index: int, sealed: bytes) -> bytes:
    return adiantum_open(key, bytes([kind]) + index.to_bytes(8, "big"), sealed)


def aes_256_xts_of_a_block(key: bytes, kind: int, index: int, sealed: bytes) -> bytes:
    return aes_256_xts_open(key, kind << 56 | index, sealed)


@dataclass(frozen=True, slots=True)
class Suite:
    id: int
    name: str
    overhead: int
    #: None: no AEAD.
    open: Open | None
    #: The stored nonce is completed by the block index.
    long_nonce: bool = False
    #: None, too: no key and no cipher, only a checksum.
    open_untagged: OpenUntagged | None = None
    key_length: int = 32

    @property
    def keyed(self) -> bool:
        return self.open is not None or self.open_untagged is not None


SUITES = {
    suite.id: suite
    for suite in (
        Suite(1, "aegis-256", NONCE + TAG, aegis256_open, long_nonce=True),
        Suite(2, "aegis-256x2", NONCE + TAG, aegis256x2_open, long_nonce=True),
        Suite(3, "xchacha20-poly1305", NONCE + TAG, xchacha20_poly1305_open),
        Suite(4, "aes-256-gcm", NONCE + TAG, xaes_256_gcm_open),
        Suite(5, "adiantum", 0, None, open_untagged=adiantum_of_a_block),
        Suite(6, "aes-256-xts", 0, None, open_untagged=aes_256_xts_of_a_block, key_length=64),
        Suite(7, "checksum", 16, None),
    )
}
#: What logs are sealed by where the main file's blocks have no tags.
DEFAULT_SUITE = SUITES[2]

SQLITE_MAGIC = b"SQLite format 3\0"


def suite_by_id(number: int) -> Suite:
    try:
        return SUITES[number]
    except KeyError:
        raise UnsupportedFormatError(f"suite {number}") from None


def checksum(aad: bytes, plaintext: bytes) -> bytes:
    return xxhash.xxh3_128_intdigest(aad + plaintext, seed=0).to_bytes(16, "little")


@dataclass(frozen=True)
class Keys:
    """A database's identity and data key; everything else is derived from them."""

    suite: Suite
    uuid: bytes
    key_id: bytes
    #: Empty for the checksum suite.
    data_key: bytes

    def derive(self, info: bytes, length: int = 32) -> bytes:
        return hkdf_sha256(self.data_key, self.uuid, info, length)

    def mac(self, purpose: bytes, data: bytes) -> bytes:
        """HMAC under the key for ``purpose``; a plain digest in a database without a key."""
        if not self.suite.keyed:
            return sha256(data)
        return hmac_sha256(self.derive(purpose + self.key_id), data)

    def opener(self, kind: int) -> Opener:
        suite = self.suite
        if suite.open_untagged is not None and kind != KIND_MAIN:
            suite = DEFAULT_SUITE
        info = b"lumocrypt v1 block key" + self.key_id + struct.pack("<II", suite.id, kind)
        key = self.derive(info, suite.key_length) if suite.keyed else b""
        return Opener(suite, key, kind, self.uuid + self.key_id + struct.pack("<II", kind, 0))


@dataclass(frozen=True)
class Opener:
    """Opens the sealed blocks of one kind of file."""

    suite: Suite
    key: bytes
    kind: int
    #: The part of the AAD that all blocks share.
    prefix: bytes

    @property
    def overhead(self) -> int:
        return self.suite.overhead

    def open(self, index: int, context: bytes, sealed: bytes) -> bytes:
        """The plaintext of a block; UnauthenticError if it is not what was sealed for this place."""
        place = struct.pack("<Q", index)
        aad = self.prefix + place + context
        assert len(aad) == 64
        length = len(sealed) - self.overhead
        if length < 0:
            raise UnauthenticError("shorter than its overhead")
        if self.suite.open_untagged is not None:
            return self._open_untagged(self.suite.open_untagged, index, sealed)
        if self.suite.open is None:
            plaintext = sealed[:length]
            if checksum(aad, plaintext) != sealed[length:]:
                raise UnauthenticError("checksum")
            return plaintext
        nonce, tag = sealed[length : length + NONCE], sealed[length + NONCE :]
        if self.suite.long_nonce:
            nonce += place
        return self.suite.open(self.key, nonce, sealed[:length], tag, aad)

    def _open_untagged(self, open_: OpenUntagged, index: int, sealed: bytes) -> bytes:
        """Nothing is checked but what can be: that there is a block, and how a database begins."""
        if not any(sealed):
            raise UnauthenticError("never written")
        plaintext = open_(self.key, self.kind, index, sealed)
        if index == 0 and plaintext[:16] not in (SQLITE_MAGIC, bytes(16)):
            raise UnauthenticError("not the beginning of a database")
        return plaintext
