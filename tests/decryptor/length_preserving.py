"""Adiantum and AES-256-XTS, which check nothing: every ciphertext opens.

Adiantum is written down here as its authors define it (Crowley and Biggers, https://eprint.iacr.org/2018/720),
slowly: no library has it. AES comes from one.
"""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

_WORD = 0xFFFFFFFF
_COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
_CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")

#: Of NH: bytes of a message and of a unit of it, passes, bytes of the key.
_MESSAGE, _UNIT, _PASSES = 1024, 16, 4
_NH_KEY = _MESSAGE + _UNIT * (_PASSES - 1)

_PRIME = (1 << 130) - 5
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
_MASK = (1 << 128) - 1


def _permute(state: list[int]) -> list[int]:
    """The twelve rounds of ChaCha12."""
    x = list(state)
    for _ in range(6):
        for a, b, c, d in _COLUMNS + _DIAGONALS:
            for left, right, target, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[left] = (x[left] + x[right]) & _WORD
                mixed = x[target] ^ x[left]
                x[target] = ((mixed << turn) | (mixed >> (32 - turn))) & _WORD
    return x


def xchacha12(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """``data`` under the stream of XChaCha12 with a nonce of 24 bytes."""
    mixed = _permute([*_CONSTANTS, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce[:16])])
    subkey = mixed[:4] + mixed[12:]
    out = bytearray()
    for counter, at in enumerate(range(0, len(data), 64)):
        state = [*_CONSTANTS, *subkey, counter, 0, *struct.unpack("<2I", nonce[16:])]
        words = ((x + y) & _WORD for x, y in zip(_permute(state), state, strict=True))
        out += bytes(x ^ y for x, y in zip(data[at : at + 64], struct.pack("<16I", *words), strict=False))
    return bytes(out)


def nh(key: bytes, message: bytes) -> bytes:
    """NH of at most 1024 bytes in whole units."""
    k = struct.unpack(f"<{len(key) // 4}I", key)
    m = struct.unpack(f"<{len(message) // 4}I", message)
    sums = [0] * _PASSES
    for at in range(0, len(m), 4):
        for shift in range(_PASSES):
            w = [(m[at + i] + k[at + 4 * shift + i]) & _WORD for i in range(4)]
            sums[shift] += w[0] * w[2] + w[1] * w[3]
    return struct.pack("<4Q", *(value & 0xFFFFFFFFFFFFFFFF for value in sums))


def poly1305(r: bytes, message: bytes) -> int:
    """Poly1305 without the final addition, modulo 2^128."""
    clamped, total = int.from_bytes(r, "little") & _CLAMP, 0
    for at in range(0, len(message), 16):
        block = message[at : at + 16] + b"\1"
        total = (total + int.from_bytes(block, "little")) * clamped % _PRIME
    return total & _MASK


def nhpoly1305(r: bytes, nh_key: bytes, message: bytes) -> int:
    """Poly1305 over the NH hashes of a message, which is filled up with zeros."""
    message += bytes(-len(message) % _UNIT)
    pieces = (message[at : at + _MESSAGE] for at in range(0, len(message), _MESSAGE))
    return poly1305(r, b"".join(nh(nh_key, piece) for piece in pieces))


def adiantum_open(key: bytes, tweak: bytes, sealed: bytes) -> bytes:
    """Adiantum with XChaCha12 and AES-256, backwards."""
    derived = xchacha12(key, b"\1" + bytes(23), bytes(32 + 16 + 16 + _NH_KEY))
    block_key, r_tweak, r_message, nh_key = derived[:32], derived[32:48], derived[48:64], derived[64:]
    left, right = sealed[:-16], int.from_bytes(sealed[-16:], "little")
    fixed = poly1305(r_tweak, (8 * len(left)).to_bytes(16, "little") + tweak)
    middle = ((right + fixed + nhpoly1305(r_message, nh_key, left)) & _MASK).to_bytes(16, "little")
    left = xchacha12(key, middle + b"\1" + bytes(7), left)
    # One block of AES, not a mode of it.
    decryptor = Cipher(AES(block_key), modes.ECB()).decryptor()
    right = int.from_bytes(decryptor.update(middle), "little")
    right -= fixed + nhpoly1305(r_message, nh_key, left)
    return left + (right & _MASK).to_bytes(16, "little")


def aes_256_xts_open(key: bytes, sector: int, sealed: bytes) -> bytes:
    """IEEE 1619; the sector number is its tweak."""
    return Cipher(AES(key), modes.XTS(sector.to_bytes(16, "little"))).decryptor().update(sealed)
