"""``lumocrypt rekey``."""

from __future__ import annotations

import click

from ..database.rekey import LOCK_WAIT
from ..database.rekey import rekey as run_rekey
from ..keys.kdf import Kdf
from .base import Command
from .options import keytext
from .options.common import cipher_option, file_argument, json_option, kdf_option
from .options.keys import database_options, new_key_options
from .options.keysource import KeySource
from .output import print_json, progress_bar, say


@click.command(cls=Command)
@file_argument
@cipher_option("another cipher from now on")
@kdf_option("another cost of the passphrase", default=None)
@click.option("--change-key", is_flag=True, help="change the key, too: to LUMO_NEW_KEY, or ask for it")
@click.option("--drop-other-slots", is_flag=True, help="drop the keyslots whose keys are not given")
@click.option("--wait", type=float, default=LOCK_WAIT, show_default=True, help="seconds to wait for others")
@json_option
@click.option(
    "--other-key-file",
    "other_key_files",
    metavar="PATH",
    multiple=True,
    help="the key of another keyslot; repeatable",
)
@database_options
@new_key_options
def rekey(
    file: str,
    cipher: str | None,
    kdf: Kdf | None,
    change_key: bool,
    drop_other_slots: bool,
    wait: float,
    as_json: bool,
    other_key_files: tuple[str, ...],
    key_source: KeySource,
    new_key_source: KeySource,
) -> None:
    """Give FILE a new data key and seal every block with it, while others use it.

    The key that opens it stays the same unless --change-key or a source of a new one is given; LUMO_NEW_KEY
    alone does not count. After an interruption the same command
    goes on where it stopped.
    """
    opening = key_source.opening(file)
    # A variable that is there for another command is no request to change the key.
    changes = change_key or new_key_source.named
    if new_key_source.given and not changes:
        click.echo("LUMO_NEW_KEY is not used: the key stays; give --change-key to change it, too", err=True)
    new_key = new_key_source.obtain(new=True) if changes else None
    others = [keytext.decode(keytext.read_file(path), path) for path in other_key_files]
    with progress_bar("rekeying", quiet=as_json) as progress:
        done = run_rekey(
            file,
            **opening,
            new_key=new_key,
            cipher=cipher,
            kdf=kdf,
            other_keys=others,
            drop_other_slots=drop_other_slots,
            wait=wait,
            progress=progress,
        )
    if as_json:
        print_json(done, ok=True, operation="rekey")
        return
    rate = done.size / done.seconds / 1e6 if done.seconds > 0 else 0.0
    verb = "went on rekeying" if done.resumed else "rekeyed"
    say(
        f"{verb} {done.path}: {done.size:,} bytes with {done.cipher} in {done.seconds:.1f} s "
        f"({rate:.0f} MB/s); the new data key's id is {done.key_id}"
    )
