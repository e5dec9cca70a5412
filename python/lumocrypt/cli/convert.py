"""``lumocrypt convert``."""

from __future__ import annotations

import click

from ..database.convert import convert as run_convert
from ..database.formats import Format
from ..keys.kdf import Kdf
from .base import Command
from .options.common import (
    block_size_option,
    cipher_option,
    destination_argument,
    json_option,
    kdf_option,
    source_argument,
)
from .options.gosqlite import format_option, key_of_result, salt_option, source_arguments, source_options
from .options.keys import database_options, new_key_options
from .options.keysource import KeySource
from .output import progress_bar, report_conversion


@click.command(cls=Command)
@source_argument
@destination_argument()
@format_option("--from", "old_format", required=True, help="the format of SOURCE")
@format_option("--to", "new_format", required=True, help="the format of the result")
@source_options
@cipher_option("the cipher of the result", "--new-cipher")
@salt_option("--new-salt")
@kdf_option("cost of the result's passphrase, for lumocrypt's format")
@block_size_option("of the result, for lumocrypt's format")
@json_option
@database_options
@new_key_options
def convert(
    source: str,
    destination: str | None,
    old_format: Format,
    new_format: Format,
    cipher: str | None,
    page_size: int | None,
    salt: str | None,
    new_cipher: str | None,
    new_salt: str | None,
    kdf: Kdf,
    block_size: int | None,
    as_json: bool,
    key_source: KeySource,
    new_key_source: KeySource,
) -> None:
    """Move the encrypted database SOURCE to another format or key, in place or to DESTINATION.

    The key is that of SOURCE, the new key that of the result. Nothing is on disk in clear. To and from
    plaintext there are encrypt and decrypt, with --format gosqlite.
    """
    opening = source_arguments(source, old_format, key_source, cipher, salt)
    new_key = key_of_result(source, new_format, new_key_source, new_cipher, new_salt, name="--new-salt")
    with progress_bar("converting", quiet=as_json) as progress:
        done = run_convert(
            source,
            destination,
            **opening,
            format=old_format,
            new_format=new_format,
            new_key=new_key,
            cipher=cipher,
            page_size=page_size,
            new_cipher=new_cipher,
            kdf=kdf,
            block_size=block_size,
            progress=progress,
        )
    report_conversion("convert", "converted", done, as_json=as_json)
