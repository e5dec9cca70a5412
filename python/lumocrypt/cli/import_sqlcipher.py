"""``lumocrypt import-sqlcipher``."""

from __future__ import annotations

import click

from ..errors import KeySourceError, make
from ..files.paths import absolute, existing_file, refuse_existing
from ..foreign.import_sqlcipher import import_sqlcipher as run_import
from ..foreign.sqlcipher import SqlcipherKey
from ..keys.kdf import Kdf
from .base import Command
from .options.common import cipher_option, destination_argument, json_option, kdf_option, source_argument
from .options.keys import key_options, new_key_options
from .options.keysource import KeySource
from .output import print_json, progress_bar, say


@click.command("import-sqlcipher", cls=Command)
@source_argument
@destination_argument(required=True)
@cipher_option("the cipher of the new database")
@kdf_option("cost of the new passphrase")
@json_option
@key_options
@new_key_options
def import_sqlcipher(
    source: str,
    destination: str,
    cipher: str | None,
    kdf: Kdf,
    as_json: bool,
    key_source: KeySource,
    new_key_source: KeySource,
) -> None:
    """Copy the SQLCipher 4 database SOURCE to the new database DESTINATION.

    The key is SQLCipher's: a passphrase, x'<64 hex digits>', or x'<96 hex digits>' with the salt. The new
    key is that of DESTINATION.
    """
    # Before anything is asked for.
    existing_file(source)
    refuse_existing(absolute(destination))
    source_key = key_source.text()
    try:
        SqlcipherKey(source_key)
    except ValueError as error:
        raise make(KeySourceError, str(error)) from None
    key = new_key_source.obtain(new=True)
    with progress_bar("importing", quiet=as_json) as progress:
        done = run_import(
            source,
            destination,
            source_key=source_key,
            key=key,
            cipher=cipher,
            kdf=kdf,
            kdf_limit=key_source.kdf_limit,
            progress=progress,
        )
    if as_json:
        print_json(done, ok=True, operation="import-sqlcipher")
    else:
        sizes = f"{done.source_size:,} -> {done.destination_size:,} bytes"
        say(f"imported {done.source} to {done.destination} with {done.cipher}: {sizes}")
