"""``lumocrypt rekey``."""

from __future__ import annotations

import click

from ..database.rekey import LOCK_WAIT
from ..database.rekey import rekey as run_rekey
from ..keys.kdf import parse as parse_kdf
from . import keytext
from .keysource import KeySource, key_options, new_key_options, uuid_option
from .output import print_json, progress_bar, say


@click.command()
@click.argument("file", type=click.Path())
@click.option("--cipher", metavar="NAME", help="Another suite from now on.")
@click.option("--kdf", metavar="PROFILE", help="Another cost of the passphrase.")
@click.option("--change-key", is_flag=True, help="Change the key, too: to LUMO_NEW_KEY, or ask for it.")
@click.option("--drop-other-slots", is_flag=True, help="Drop the keyslots whose keys are not given.")
@click.option("--wait", type=float, default=LOCK_WAIT, show_default=True, help="Seconds to wait for others.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--other-key-file",
    "other_key_files",
    metavar="PATH",
    multiple=True,
    help="The key of another keyslot; repeatable.",
)
@uuid_option
@key_options
@new_key_options
def rekey(
    file: str,
    cipher: str | None,
    kdf: str | None,
    change_key: bool,
    drop_other_slots: bool,
    wait: float,
    as_json: bool,
    other_key_files: tuple[str, ...],
    uuid: str | None,
    key_source: KeySource,
    new_key_source: KeySource,
) -> None:
    """Give FILE a new data key and seal every block with it, while others use it.

    The key that opens it stays the same unless --change-key or a source of a new one is given; LUMO_NEW_KEY
    alone does not count. After an interruption the same command
    goes on where it stopped.
    """
    costs = None if kdf is None else parse_kdf(kdf)
    key = key_source.existing(file, uuid)
    # A variable that is there for another command is no request to change the key.
    changes = change_key or new_key_source.named
    if new_key_source.given and not changes:
        click.echo("LUMO_NEW_KEY is not used: the key stays; give --change-key to change it, too", err=True)
    new_key = new_key_source.obtain(new=True) if changes else None
    others = [keytext.decode(keytext.read_file(path), path) for path in other_key_files]
    with progress_bar("rekeying", quiet=as_json) as progress:
        done = run_rekey(
            file,
            key=key,
            new_key=new_key,
            cipher=cipher,
            kdf=costs,
            kdf_limit=key_source.kdf_limit,
            uuid=uuid,
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
        f"({rate:.0f} MB/s); the data key is {done.key_id}"
    )
