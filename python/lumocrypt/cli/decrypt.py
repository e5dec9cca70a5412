"""``lumocrypt decrypt``."""

from __future__ import annotations

import click

from ..database.convert import decrypt as run_decrypt
from ..database.formats import NATIVE, Format
from .base import Command
from .options.common import destination_argument, json_option, source_argument
from .options.gosqlite import format_option, source_arguments, source_options
from .options.keys import database_options
from .options.keysource import KeySource
from .output import progress_bar, report_conversion


@click.command(cls=Command)
@source_argument
@destination_argument()
@format_option("--format", "file_format", default=NATIVE, show_default=True, help="the format of SOURCE")
@source_options
@json_option
@database_options
def decrypt(
    source: str,
    destination: str | None,
    file_format: Format,
    cipher: str | None,
    page_size: int | None,
    salt: str | None,
    as_json: bool,
    key_source: KeySource,
) -> None:
    """Decrypt the database SOURCE, in place or to DESTINATION."""
    opening = source_arguments(source, file_format, key_source, cipher, salt)
    with progress_bar("decrypting", quiet=as_json) as progress:
        done = run_decrypt(
            source,
            destination,
            **opening,
            format=file_format,
            cipher=cipher,
            page_size=page_size,
            progress=progress,
        )
    report_conversion("decrypt", "decrypted", done, as_json=as_json)
