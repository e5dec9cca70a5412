"""Keys of the gosqlite format on the command line: raw, or a passphrase with the salt that no file holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from ..database.formats import DEFAULT_GOSQLITE_CIPHER, GOSQLITE, NATIVE
from ..errors import KeySourceError, make
from ..foreign.derivation import derive_key, key_length
from .keysource import KeySource

_RAW = re.compile(r"[xX]'([0-9a-fA-F]*)'")

_FORMATS = click.Choice([NATIVE, GOSQLITE])


def format_option(name: str, parameter: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that names a format."""
    return click.option(name, parameter, type=_FORMATS, **settings)


def salt_option(name: str) -> Callable[[Any], Any]:
    """An option for the salt of a passphrase."""
    return click.option(name, metavar="HEX", help="The salt of a passphrase for the gosqlite format.")


def gosqlite_key(source: KeySource, cipher: str | None, salt: str | None, *, new: bool = False) -> bytes:
    """The bytes of a key: ``x'<hex>'``, or derived from a passphrase and ``salt``, which is hexadecimal.

    Raises UsageError for a salt too many, too few or malformed, KeySourceError for an unusable key,
    ValueError for an unknown cipher.
    """
    cipher = cipher or DEFAULT_GOSQLITE_CIPHER
    length = key_length(cipher)
    text = source.text(new=new).utf8().decode()
    if text[:2].lower() == "x'":
        if salt is not None:
            raise click.UsageError("a salt is for a passphrase, and this key is a raw one")
        digits = _RAW.fullmatch(text)
        if digits is None or len(digits[1]) != 2 * length:
            raise make(
                KeySourceError,
                f"a raw key for {cipher} is written x'...' with {2 * length} hexadecimal digits",
            )
        return bytes.fromhex(digits[1])
    if salt is None:
        raise click.UsageError(
            "a passphrase for the gosqlite format needs its salt, in hexadecimal: the file does not hold it"
        )
    try:
        return derive_key(text, bytes.fromhex(salt), cipher)
    except ValueError as error:
        raise click.UsageError(f"the passphrase or its salt cannot be used: {error}") from None
