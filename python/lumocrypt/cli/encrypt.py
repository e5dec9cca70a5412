"""``lumocrypt encrypt``."""

from __future__ import annotations

import click

from ..database.convert import encrypt as run_encrypt
from ..database.formats import NATIVE, Format
from ..files.paths import existing_file
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
from .options.gosqlite import format_option, key_of_result, page_size_option, salt_option
from .options.keys import key_options
from .options.keysource import KeySource
from .output import progress_bar, report_conversion


@click.command(cls=Command)
@source_argument
@destination_argument()
@cipher_option("the cipher; `checksum` needs no key and only detects damage")
@kdf_option("cost of the passphrase")
@block_size_option("512 to 65536; default: the page size")
@format_option("--format", "file_format", default=NATIVE, show_default=True, help="the result's format")
@page_size_option("for gosqlite; checked to be the database's")
@salt_option("--salt")
@json_option
@key_options
def encrypt(
    source: str,
    destination: str | None,
    cipher: str | None,
    kdf: Kdf,
    block_size: int | None,
    file_format: Format,
    page_size: int | None,
    salt: str | None,
    as_json: bool,
    key_source: KeySource,
) -> None:
    """Encrypt the plaintext database SOURCE, in place or to DESTINATION."""
    # Before the passphrase is asked for: a missing file should not cost anybody two prompts.
    existing_file(source)
    key = key_of_result(source, file_format, key_source, cipher, salt, name="--salt")
    with progress_bar("encrypting", quiet=as_json) as progress:
        done = run_encrypt(
            source,
            destination,
            key=key,
            cipher=cipher,
            kdf=kdf,
            kdf_limit=key_source.kdf_limit,
            block_size=block_size,
            format=file_format,
            page_size=page_size,
            progress=progress,
        )
    report_conversion("encrypt", "encrypted", done, as_json=as_json)
