"""Opens and seals blocks without the engine (docs/reference/format.md, sections 1 and 2), for forgeries.

Only for the suite ``xchacha20-poly1305`` and databases whose first keyslot holds a raw key.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

from support.layout import KEYSLOT, KEYSLOTS_AT, OVERHEAD, slot_at, u32, u64

MAIN = 1
_SUITE = 3


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(key)


def _ids(content: bytes) -> tuple[bytes, bytes]:
    return content[32:48], content[48:64]


def data_key(content: bytes, raw_key: bytes) -> bytes:
    """The data key that a raw key unwraps from keyslot 0."""
    _, key_id = _ids(content)
    slot = content[KEYSLOTS_AT : KEYSLOTS_AT + KEYSLOT]
    wrap = hkdf(raw_key, slot[32:64], b"lumocrypt v1 keyslot", 64)[:32]
    return crypto_aead_xchacha20poly1305_ietf_decrypt(
        slot[120:168], key_id + u32(0) + slot[:96], slot[96:120], wrap
    )


def _block_key(content: bytes, raw_key: bytes, kind: int) -> bytes:
    uuid, key_id = _ids(content)
    info = b"lumocrypt v1 block key" + key_id + u32(_SUITE) + u32(kind)
    return hkdf(data_key(content, raw_key), uuid, info, 32)


def _aad(content: bytes, kind: int, index: int) -> bytes:
    uuid, key_id = _ids(content)
    return uuid + key_id + u32(kind) + u32(0) + u64(index) + bytes(16)


def seal_block(content: bytes, raw_key: bytes, index: int, plain: bytes, *, kind: int = MAIN) -> bytes:
    """A slot of the database ``content`` that holds ``plain``, as a file of that kind would have it."""
    nonce = os.urandom(24)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(
        plain, _aad(content, kind, index), nonce, _block_key(content, raw_key, kind)
    )
    return sealed[:-16] + nonce + sealed[-16:]


def open_block(content: bytes, raw_key: bytes, index: int, block_size: int) -> bytes:
    """What slot ``index`` of the main file holds."""
    start = slot_at(index, block_size)
    slot = content[start : start + block_size + OVERHEAD]
    return crypto_aead_xchacha20poly1305_ietf_decrypt(
        slot[:block_size] + slot[-16:],
        _aad(content, MAIN, index),
        slot[block_size : block_size + 24],
        _block_key(content, raw_key, MAIN),
    )
