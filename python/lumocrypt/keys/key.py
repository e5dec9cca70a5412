"""Keys: what unlocks a database.

The key material lives in the engine, in locked memory; a :class:`Key` is a number that stands for it. It
cannot be read back, printed or pickled.
"""

from __future__ import annotations

import functools
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, ParamSpec, TypeVar, final

from ..engine import native
from ..errors import KeyRequiredError, make
from ..errors.tracebacks import forgetful
from . import keyring
from .textsource import bare

#: The environment variable that holds a key of last resort.
ENVIRONMENT_VARIABLE = "LUMO_KEY"
#: The user that :meth:`Key.from_keyring` asks a keyring for unless it is told another.
KEYRING_USER = "lumocrypt"
#: Bytes in a raw key.
RAW_KEY_BYTES = 32


_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def hiding(
    *names: str, each: str | None = None
) -> Callable[[Callable[_Parameters, _Result]], Callable[_Parameters, _Result]]:
    """Decorates a function that takes keys: it finds each parameter of ``names`` as a :class:`Hidden`.

    So none of its frames, nor any below, has a key in a variable that a traceback could record. ``each`` is
    a parameter with a sequence of keys.
    """

    def decorate(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        code = function.__code__  # pyright: ignore[reportFunctionMemberAccess]
        positional: tuple[str, ...] = code.co_varnames[: code.co_argcount]
        hidden = (*names, *([] if each is None else [each]))
        places = {name: positional.index(name) for name in hidden if name in positional}

        def hide(name: str, value: Any) -> Any:
            return tuple(Hidden(one) for one in value) if name == each else Hidden(value)

        @forgetful
        @functools.wraps(function)
        def call(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
            given: list[Any] = list(arguments)
            for name, place in places.items():
                if place < len(given):
                    given[place] = hide(name, given[place])
            named: dict[str, Any] = options
            for name in hidden:
                if name in named:
                    named[name] = hide(name, named[name])
            return function(*given, **named)  # pyright: ignore[reportCallIssue]

        return call

    return decorate


@final
class Key:
    """A passphrase or a raw key.

    ``Key(text)`` reads text as :func:`lumocrypt.connect` does: ``x'<64 hex digits>'`` is a raw key, anything
    else a passphrase. The other constructors say what they make. A passphrase is the same key in every form
    of Unicode: keyslots take it in NFC, and NFC, NFD and the text as given are tried where one is opened.
    """

    __slots__ = ("__weakref__", "_kind", "_number")

    _kind: str
    _number: int

    @hiding("text")
    def __new__(cls, text: str) -> Key:
        """As :meth:`parse`."""
        return cls._make(native.key_parse, Hidden(text))

    @classmethod
    def own(cls, number: int, kind: str) -> Key:
        """The key that the engine knows by a number, which nobody else frees."""
        self = object.__new__(cls)
        self._number = number
        self._kind = kind
        weakref.finalize(self, native.key_free, number)
        return self

    @classmethod
    def _make(cls, function: Callable[[bytes], tuple[int, int]], hidden: Hidden) -> Key:
        kind = "raw" if function is native.key_parse and hidden.looks_raw() else "passphrase"
        status, number = function(hidden.utf8())
        if status:
            raise native.key_failure(status)
        return cls.own(number, kind)

    @classmethod
    @hiding("text")
    def parse(cls, text: str) -> Key:
        """A key from text: ``x'<64 hex digits>'`` is a raw key, anything else a passphrase.

        Raises ValueError for an empty text, a NUL, and for ``x'...'`` that is not 64 hex digits;
        TypeError for bytes.
        """
        return cls._make(native.key_parse, Hidden(text))

    @classmethod
    @hiding("text")
    def passphrase(cls, text: str) -> Key:
        """A passphrase, also one that looks like ``x'...'``.

        Raises ValueError if it is empty or holds a NUL, TypeError for bytes.
        """
        return cls._make(native.key_passphrase, Hidden(text))

    @classmethod
    @hiding("key")
    def raw(cls, key: bytes | bytearray | memoryview) -> Key:
        """A raw key of 32 bytes, such as a key-management service hands out; no key derivation is run.

        The engine keeps a copy; the caller may wipe a bytearray afterwards. Raises ValueError for another
        length, TypeError for text.
        """
        status, number = native.key_raw(Hidden(key).raw())
        if status:
            raise native.key_failure(status)
        return cls.own(number, "raw")

    @classmethod
    def random(cls) -> Key:
        """A random raw key that nobody can read: for databases that need not outlive the process."""
        return cls.own(native.key_random(), "raw")

    @classmethod
    @forgetful
    def from_env(cls, name: str = ENVIRONMENT_VARIABLE) -> Key:
        """A key from an environment variable, read as by :meth:`parse`.

        A byte order mark in front and one end of a line behind are no part of it.

        Raises KeyRequiredError if the variable is not set, ValueError if its text is no key. The variable
        stays visible to this user's other processes and to those that are spawned.
        """
        if name not in os.environ:
            raise make(
                KeyRequiredError,
                f"the environment variable {name} is not set; set it, or give the key in another way",
            )
        return cls._make(native.key_parse, Hidden(bare(os.environ[name])))

    @classmethod
    @forgetful
    def from_keyring(cls, service: str, user: str = KEYRING_USER) -> Key:
        """A key from the system's keyring, read as by :meth:`parse`; needs ``lumocrypt[keyring]``.

        ``service`` and ``user`` are what ``keyring set SERVICE USER`` stored it under. Raises KeySourceError
        if the package ``keyring`` is not installed, the keyring cannot be used, holds no such entry, or
        the entry's text is no key.
        """
        hidden = Hidden(keyring.get(service, user))
        try:
            return cls._make(native.key_parse, hidden)
        except ValueError as error:
            reason = str(error)
        raise keyring.unusable(service, user, reason)

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


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A fresh key, and what a keyslot has to remember for it to be had again."""

    key: Key
    #: The keyslot's provider data (docs/reference/format.md, section 2.2).
    provider: bytes


class RemoteKey(ABC):
    """A key that is kept elsewhere and has to be asked for with a database at hand."""

    @abstractmethod
    def unwrap(self, path: str) -> Key:
        """The raw key of one of the keyslots of the database at ``path``.

        Raises WrongKeyError if none is meant for this key, KeySourceError if it cannot be had.
        """

    @abstractmethod
    def wrap(self, uuid: bytes, key_id: bytes) -> Wrapped:
        """A fresh raw key for a keyslot of the database with this UUID and key id.

        Raises KeySourceError if none can be had.
        """


@final
class NoKey:
    """The type of :data:`NO_KEY`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "lumocrypt.NO_KEY"


#: For ``key=``: no key is meant, whatever the process knows. For databases that are only checksummed.
NO_KEY: Final = NoKey()

#: What ``key=`` takes.
KeyLike = str | Key | RemoteKey | NoKey


@final
class Hidden:
    """What a caller gave as a key, out of sight.

    Tracebacks can record the local variables of every frame, and do in many error reporters. :func:`hiding`
    puts keys in here before a function gets them, so that an exception finds none. To hide what is hidden
    already changes nothing.
    """

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value: Any = value._value if isinstance(value, Hidden) else value

    def __repr__(self) -> str:
        return "<hidden>"

    def key(self, path: str | None = None) -> Key | None:
        """The Key that opens the database at ``path``; None stays None.

        Without a path there is no asking for a key that is kept elsewhere. Raises TypeError for one then, for
        bytes (a passphrase or a raw key? say which) and for other types, ValueError for a malformed text, and
        what :meth:`RemoteKey.unwrap` raises.
        """
        if self.none_is_meant:
            return None
        if self._value is None or isinstance(self._value, Key):
            return self._value
        if isinstance(self._value, RemoteKey):
            if path is None:
                raise TypeError(f"{self._value!r} needs a database that exists")
            return self._value.unwrap(path)
        return Key._make(native.key_parse, self)  # pyright: ignore[reportPrivateUsage]

    def is_given(self) -> bool:
        """Whether there is any."""
        return self._value is not None and not self.none_is_meant

    @property
    def none_is_meant(self) -> bool:
        """Whether the caller said that no key is meant."""
        return isinstance(self._value, NoKey)

    def remote(self) -> RemoteKey | None:
        """The key if it is kept elsewhere."""
        return self._value if isinstance(self._value, RemoteKey) else None

    def looks_raw(self) -> bool:
        """Whether it is the text form of a raw key, well formed or not."""
        return isinstance(self._value, str) and self._value[:2].lower() == "x'"

    def utf8(self) -> bytes:
        """The text's bytes. Raises TypeError if it is no text, ValueError if UTF-8 cannot express it."""
        if isinstance(self._value, str):
            try:
                return self._value.encode("utf-8")
            except UnicodeEncodeError:
                pass
            # Raised out here: the original exception, which carries the text, would become its context.
            raise ValueError("a passphrase must be text that UTF-8 can express")
        hint = ": use Key.raw(...) for a raw key" if self._is_binary() else ""
        raise TypeError(f"a key must be a str or a Key, not {self._type_name()}{hint}")

    def raw(self) -> bytes | bytearray | memoryview:
        """The bytes of a raw key. Raises TypeError for text, ValueError for another length."""
        return self.sized(RAW_KEY_BYTES, "a raw key")

    def sized(self, size: int, what: str) -> bytes | bytearray | memoryview:
        """The ``size`` bytes of a key that is named ``what`` in errors. Raises as :meth:`raw`."""
        if not self._is_binary():
            raise TypeError(f"{what} is {size} bytes, not {self._type_name()}")
        given = memoryview(self._value).nbytes
        if given != size:
            raise ValueError(f"{what} is {size} bytes, not {given}")
        return self._value

    def material(self) -> bytes | bytearray | memoryview:
        """The bytes of a passphrase: binary as it is, text as UTF-8.

        Raises TypeError for anything else, ValueError as :meth:`utf8`.
        """
        if self._is_binary():
            return self._value
        if not isinstance(self._value, str):
            raise TypeError(f"a passphrase is text or bytes, not {self._type_name()}")
        return self.utf8()

    def _is_binary(self) -> bool:
        return isinstance(self._value, bytes | bytearray | memoryview)

    def _type_name(self) -> str:
        value: object = self._value
        return type(value).__name__
