"""The text of a key, from a descriptor, a file or a person at the terminal."""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from pathlib import Path

from ...errors import KeySourceError, make
from ...errors.names import shown
from ...keys.key import Key
from ...keys.textsource import bare, is_utf16

STDIN = 0
_TERMINAL = "/dev/tty"
# A key's text is short. The limit keeps `--key-file /dev/zero` from filling the memory.
_MAX_TEXT_BYTES = 1 << 20


def descriptor_name(descriptor: int) -> str:
    """What messages call a descriptor."""
    return "standard input" if descriptor == STDIN else f"descriptor {descriptor}"


def read_descriptor(descriptor: int, *, lines: int = 1) -> bytes:
    """All that a descriptor gives, up to a limit; from a terminal, so many lines.

    Raises KeySourceError if it cannot be read.
    """
    text = b""
    try:
        while chunk := os.read(descriptor, 65536):
            text += chunk
            if len(text) > _MAX_TEXT_BYTES:
                break
            # A person who types at a terminal ends with the return key.
            if text.count(b"\n") >= lines and os.isatty(descriptor):
                break
    except OSError as error:
        name = descriptor_name(descriptor)
        raise make(KeySourceError, f"cannot read the key from {name}: {error.strerror}") from None
    return text


def read_file(path: str) -> bytes:
    """What a file holds, up to a limit. Raises KeySourceError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise make(KeySourceError, f"cannot read the key from {shown(path)}: {error.strerror}") from None


def decode(text: bytes, source: str) -> str:
    """What a text source gave: UTF-8, a byte order mark and one trailing newline being no part of it.

    Raises KeySourceError, which names ``source``, if it can be no key.
    """
    if len(text) > _MAX_TEXT_BYTES:
        raise make(KeySourceError, f"what {source} holds is too long for a key")
    if is_utf16(text):
        raise make(KeySourceError, f"the key from {source} is UTF-16 text; save it as UTF-8")
    try:
        return bare(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise make(KeySourceError, f"the key from {source} is not UTF-8 text") from None


def parse(text: str, source: str) -> Key:
    """As :meth:`lumocrypt.Key.parse`. Raises KeySourceError, which names ``source``, if it is no key."""
    try:
        return Key.parse(text)
    except ValueError as error:
        raise make(KeySourceError, f"the key from {source} cannot be used: {error}") from None


def has_terminal() -> bool:
    """Whether there is a terminal to ask on, whatever the standard streams are."""
    try:
        # getpass would read standard input where there is no terminal, which is not what was asked for.
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ask(*, new: bool) -> Key:
    """A key that somebody types at the terminal, as :func:`ask_text`. Raises KeySourceError if it is none."""
    return parse(ask_text(new=new), "the terminal")


def ask_text(*, new: bool) -> str:
    """What somebody types at the terminal, without echo; twice if it is ``new``.

    Raises KeySourceError if nothing usable is typed, or not the same twice.
    """
    text = _ask("New passphrase: " if new else "Passphrase: ")
    if new and text != _ask("Repeat the passphrase: "):
        raise make(KeySourceError, "the two passphrases differ")
    return text


def _ask(prompt: str) -> str:
    with warnings.catch_warnings():
        # GetPassWarning: the echo could not be turned off.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except (EOFError, getpass.GetPassWarning):
            raise make(KeySourceError, "no passphrase was given") from None
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise
