"""``lumocrypt bench``."""

from __future__ import annotations

import click

from ..keys.bench import Bench, KdfTime
from ..keys.bench import bench as run_bench
from ..keys.kdf import Kdf
from .base import Command
from .options.common import block_size_option, json_option, kdfs_option
from .output import print_json


@click.command(cls=Command)
@click.option("--cipher", "ciphers", multiple=True, metavar="NAME", help="only this one; may be repeated")
@kdfs_option("only this cost of a passphrase")
@block_size_option("512 to 65536", default=4096, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0, 3600), default=0.5, show_default=True, help="for each measurement"
)
@json_option
def bench(
    ciphers: tuple[str, ...], kdfs: tuple[Kdf, ...], block_size: int, seconds: float, as_json: bool
) -> None:
    """Measure what ciphers and passphrases cost on this machine.

    Memory only, no files; one core for ciphers. If only ciphers are named, no derivation is measured, and the
    other way round.
    """
    measured = run_bench(
        ciphers=ciphers if ciphers or kdfs else None,
        kdf=list(kdfs) if ciphers or kdfs else None,
        block_size=block_size,
        seconds=seconds,
    )
    if as_json:
        print_json(measured, ok=True)
    else:
        _report(measured)


def _report(measured: Bench) -> None:
    if measured.ciphers:
        size = measured.ciphers[0].block_size
        click.echo(f"One core, blocks of {size:,} bytes in the cache, nonce included:")
        click.echo(f"  {'cipher':<20} {'seal':>12} {'open':>12}")
        for one in measured.ciphers:
            click.echo(f"  {one.cipher:<20} {_rate(one.seal):>12} {_rate(one.open):>12}")
    if measured.kdf:
        click.echo("A passphrase, once per process and database; guessing costs as much per guess:")
        click.echo(f"  {'Argon2id':<20} {'time':>12} {'memory':>12}  passes, lanes")
        for one in measured.kdf:
            memory = f"{one.costs.m / 1024:,.0f} MiB"
            click.echo(f"  {one.name:<20} {_time(one):>12} {memory:>12}  t={one.costs.t} p={one.costs.p}")


def _rate(bytes_per_second: float) -> str:
    return f"{bytes_per_second / 1e9:.2f} GB/s"


def _time(one: KdfTime) -> str:
    return "no memory" if one.seconds is None else f"{one.seconds * 1000:,.0f} ms"
