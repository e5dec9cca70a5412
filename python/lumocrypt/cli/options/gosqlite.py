"""Keys of the gosqlite format on the command line: raw, or a passphrase with the salt that no file holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from ...database.convert import AnyKey
from ...database.formats import DEFAULT_GOSQLITE_CIPHER, GOSQLITE, NATIVE, Format
from ...errors import KeySourceError, make
from ...files.paths import existing_file
from ...foreign.derivation import derive_key, key_length
from .common import cipher_option
from .keysource import KeySource

_RAW = re.compile(r"[xX]'([0-9a-fA-F]*)'")

_FORMATS = click.Choice([NATIVE, GOSQLITE])


def format_option(name: str, parameter: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that names a format."""
    return click.option(name, parameter, type=_FORMATS, **settings)


def salt_option(name: str) -> Callable[[Any], Any]:
    """An option for the salt of a passphrase."""
    return click.option(name, metavar="HEX", help="the salt of a passphrase for the gosqlite format")


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


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what the gosqlite format does not say of itself: cipher, page size and salt of SOURCE."""
    for option in (
        salt_option("--salt"),
        page_size_option("that of SOURCE, for gosqlite; default: found out"),
        cipher_option("the cipher of SOURCE, for gosqlite; default: adiantum"),
    ):
        command = option(command)
    return command


def page_size_option(what: str) -> Callable[[Any], Any]:
    """``--page-size``."""
    return click.option("--page-size", type=int, metavar="BYTES", help=what)


def source_arguments(
    source: str, file_format: Format, key_source: KeySource, cipher: str | None, salt: str | None
) -> dict[str, Any]:
    """The arguments of a function that takes a source of a format: its key and what else opens it."""
    existing_file(source)
    if file_format == GOSQLITE:
        key = gosqlite_key(key_source, cipher, salt)
        return {"key": key, "kdf_limit": key_source.kdf_limit, "uuid": key_source.uuid}
    _refuse_salt("--salt", salt)
    return key_source.opening(source)


def key_of_result(
    source: str,
    file_format: Format,
    key_source: KeySource,
    cipher: str | None,
    salt: str | None,
    *,
    name: str,
) -> AnyKey:
    """The key of a result in a format. ``name`` is that of the option for its salt."""
    if file_format == GOSQLITE:
        return gosqlite_key(key_source, cipher, salt, new=True)
    _refuse_salt(name, salt)
    return key_source.of_new(source, cipher)


def _refuse_salt(name: str, salt: str | None) -> None:
    if salt is not None:
        raise click.UsageError(f"{name} is for the gosqlite format; leave it out, the header holds one")
