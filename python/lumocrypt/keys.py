"""Keys: what unlocks a database.

The key material lives in the engine, in locked memory; a :class:`Key` is a number that stands for it. It
cannot be read back, printed or pickled.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, NoReturn, final

from . import native
from .errors import KeyRequiredError, make

#: The environment variable that holds a key of last resort.
ENVIRONMENT_VARIABLE = "LUMO_KEY"
#: Bytes in a raw key.
RAW_KEY_BYTES = 32


@final
class Key:
    """A passphrase or a raw key.

    ``Key(text)`` reads text as :func:`lumocrypt.connect` does: ``x'<64 hex digits>'`` is a raw key, anything
    else a passphrase. The other constructors say what they make.
    """

    __slots__ = ("__weakref__", "_kind", "_number")

    _kind: str
    _number: int

    def __new__(cls, text: str) -> Key:
        """As :meth:`parse`."""
        return cls.parse(text)

    @classmethod
    def _own(cls, number: int, kind: str) -> Key:
        self = object.__new__(cls)
        self._number = number
        self._kind = kind
        weakref.finalize(self, native.key_free, number)
        return self

    @classmethod
    def parse(cls, text: str) -> Key:
        """A key from text: ``x'<64 hex digits>'`` is a raw key, anything else a passphrase.

        Raises ValueError for an empty text, a NUL, and for ``x'...'`` that is not 64 hex digits;
        TypeError for bytes.
        """
        kind = "raw" if _is_hex_form(text) else "passphrase"
        status, number = native.key_parse(_utf8(text))
        del text  # tracebacks may record local variables
        if status:
            raise native.key_failure(status) from None
        return cls._own(number, kind)

    @classmethod
    def passphrase(cls, text: str) -> Key:
        """A passphrase, also one that looks like ``x'...'``.

        Raises ValueError if it is empty or holds a NUL, TypeError for bytes.
        """
        status, number = native.key_passphrase(_utf8(text))
        del text
        if status:
            raise native.key_failure(status) from None
        return cls._own(number, "passphrase")

    @classmethod
    def raw(cls, key: bytes | bytearray | memoryview) -> Key:
        """A raw key of 32 bytes, such as a key-management service hands out; no key derivation is run.

        The engine keeps a copy; the caller may wipe a bytearray afterwards. Raises ValueError for another
        length, TypeError for text.
        """
        if not isinstance(key, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"Key.raw() takes 32 bytes, not {type(key).__name__}")
        if len(key) != RAW_KEY_BYTES:
            raise ValueError(f"a raw key is {RAW_KEY_BYTES} bytes, not {len(key)}")
        status, number = native.key_raw(key)
        del key
        if status:
            raise native.key_failure(status) from None
        return cls._own(number, "raw")

    @classmethod
    def random(cls) -> Key:
        """A random raw key that nobody can read: for databases that need not outlive the process."""
        return cls._own(native.key_random(), "raw")

    @classmethod
    def from_env(cls, name: str = ENVIRONMENT_VARIABLE) -> Key:
        """A key from an environment variable, read as by :meth:`parse`.

        Raises KeyRequiredError if the variable is not set, ValueError if its text is no key. The variable
        stays visible to this user's other processes and to those that are spawned.
        """
        if name not in os.environ:
            raise make(KeyRequiredError, f"the environment variable {name} is not set")
        return cls.parse(os.environ[name])

    @property
    def kind(self) -> str:
        """``"passphrase"`` or ``"raw"``."""
        return self._kind

    @property
    def number(self) -> int:
        """What the engine calls this key; meaningless outside this process."""
        return self._number

    def __repr__(self) -> str:
        return f"<lumocrypt.Key {self._kind}>"

    def __copy__(self) -> Key:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Key:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a lumocrypt.Key cannot be pickled; give the other process a key of its own")


#: What ``key=`` takes.
KeyLike = str | Key


def as_key(key: KeyLike) -> Key:
    """A Key for anything that ``key=`` takes.

    Raises TypeError for bytes (a passphrase or a raw key? say which) and other types, ValueError for a
    malformed text.
    """
    if isinstance(key, Key):
        return key
    kind = type(key)
    if kind is str or isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return Key.parse(key)
    del key
    if issubclass(kind, bytes | bytearray | memoryview):
        raise TypeError("key must be a str or a Key, not bytes: use Key.raw(...) for a raw key of 32 bytes")
    raise TypeError(f"key must be a str or a Key, not {kind.__name__}")


def _is_hex_form(text: object) -> bool:
    return isinstance(text, str) and text[:2].lower() == "x'"


def _utf8(text: str) -> bytes:
    kind = type(text)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        del text
        hint = ": use Key.raw(...) for a raw key" if issubclass(kind, bytes | bytearray | memoryview) else ""
        raise TypeError(f"a key's text must be a str, not {kind.__name__}{hint}")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        pass
    del text
    # Raised out here because the original exception, which carries the text, would be this one's context.
    raise ValueError("a passphrase must be text that UTF-8 can express")
