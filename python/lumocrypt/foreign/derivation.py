"""``derive_key``: keys of the gosqlite format (docs/reference/gosqlite.md) from passphrases."""

from __future__ import annotations

from ..engine import native
from ..keys.key import Hidden, hiding
from .gosqlite import KEY_BYTES

#: The shortest salt in bytes; RFC 9106 recommends 16 (section 3.1).
MIN_SALT_BYTES = 16


def key_length(cipher: str) -> int:
    """Bytes in a key of ``cipher``. Raises ValueError for a cipher that the gosqlite format does not have."""
    if cipher not in KEY_BYTES:
        known = " and ".join(KEY_BYTES)
        raise ValueError(f"cipher={cipher!r}: the ciphers of the gosqlite format are {known}")
    return KEY_BYTES[cipher]


@hiding("passphrase")
def derive_key(passphrase: str | native.Material, salt: native.Material, cipher: str = "adiantum") -> bytes:
    """A key for :func:`lumocrypt.crypto_vfs`, the same that gosqlite's ``DeriveKey`` makes.

    Argon2id with 3 passes, 64 MiB and 4 lanes; 32 bytes for ``adiantum``, 64 for ``aes-256-xts``.
    ``passphrase`` is text, taken as UTF-8, or bytes. ``salt`` is at least 16 random bytes, one salt for each
    database; it is no secret, and without it the key is lost: the file does not hold it.

    The result is an ordinary bytes object, which nothing wipes. Native databases need none of this: there the
    salt is in the file and the key in locked memory.

    Raises ValueError for an empty passphrase, a short salt and an unknown cipher, TypeError for other types,
    MemoryError.
    """
    hidden = Hidden(passphrase)
    length = key_length(cipher)
    if not isinstance(salt, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a salt is bytes, not {type(salt).__name__}")
    if len(salt) < MIN_SALT_BYTES:
        raise ValueError(f"a salt of {len(salt)} bytes is too short; use {MIN_SALT_BYTES} random ones")
    return native.derive_key(hidden.material(), salt, length)
