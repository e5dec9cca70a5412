"""``lumocrypt verify`` and ``lumocrypt info``."""

from __future__ import annotations

import click

from ..database.info import info as read_info
from ..database.verify import verify as run_verify
from ..pages.damage import describe
from . import exitcodes
from .keysource import KeySource, key_options, uuid_option
from .output import describe_keyslot, print_json, progress_bar, say

# Enough to see a pattern; --json has them all.
_SHOWN_PAGES = 20


@click.command()
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@uuid_option
@key_options
def verify(file: str, as_json: bool, uuid: str | None, key_source: KeySource) -> int:
    """Check every block of FILE and its logs. Exit code 4 if anything is damaged."""
    key = key_source.existing(file, uuid)
    with progress_bar("verifying", quiet=as_json) as progress:
        result = run_verify(file, key=key, kdf_limit=key_source.kdf_limit, uuid=uuid, progress=progress)
    code = exitcodes.OK if result.ok else exitcodes.DAMAGE
    if as_json:
        print_json(result)
        return code
    for page in result.damaged[:_SHOWN_PAGES]:
        where = page.file_kind if page.page is None else f"{page.file_kind} page {page.page}"
        owner = describe(page)
        say(f"{where}: {page.reason}" + (f" ({owner})" if owner else ""))
    if result.damaged_total > _SHOWN_PAGES:
        say(f"... and {result.damaged_total - _SHOWN_PAGES:,} more")
    for warning in result.warnings:
        say(f"warning: {warning}")
    logs = f", {result.wal_frames:,} WAL frames" if result.wal_frames else ""
    logs += f", {result.journal_extents:,} journal extents" if result.journal_extents else ""
    places = "1 place" if result.damaged_total == 1 else f"{result.damaged_total:,} places"
    verdict = "ok" if result.ok else f"DAMAGED in {places}"
    say(f"{result.path}: {verdict}; {result.blocks:,} blocks{logs} checked, {result.cipher}")
    return code


@click.command()
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@uuid_option
def info(file: str, as_json: bool, uuid: str | None) -> None:
    """Show what the header of FILE says. Needs no key."""
    found = read_info(file, uuid=uuid)
    if as_json:
        print_json(found, ok=True)
        return
    rows = {
        "file": found.path,
        "format": f"lumocrypt {found.version}",
        "uuid": str(found.uuid),
        "key id": found.key_id,
        "cipher": found.cipher,
        "block size": f"{found.block_size:,} bytes + {found.overhead}",
        "blocks": f"{found.blocks:,}",
        "size": f"{found.size:,} bytes, {found.logical_size:,} of them as SQLite sees it",
        "header": f"generation {found.generation}; "
        + ", ".join(f"copy {name.upper()} {state}" for name, state in found.copies.items()),
    }
    for name, value in rows.items():
        say(f"{name:<11} {value}")
    for slot in found.keyslots:
        say(f"{'keyslot ' + str(slot.index):<11} {describe_keyslot(slot)}")
