"""``bench``: what the ciphers and the Argon2id profiles cost on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..engine import native
from .kdf import PROFILES, Argon2id, Kdf, resolve


@dataclass(frozen=True, slots=True)
class CipherSpeed:
    """How fast a cipher is: bytes of content per second on one core, of blocks that are in the cache."""

    cipher: str
    block_size: int
    seal: float
    open: float


@dataclass(frozen=True, slots=True)
class KdfTime:
    """How long one passphrase takes."""

    #: A profile's name, or the costs as ``t=3,m=65536,p=4``.
    name: str
    costs: Argon2id
    #: None: there is not enough memory for it.
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Bench:
    """What :func:`bench` measured."""

    ciphers: list[CipherSpeed]
    kdf: list[KdfTime]


def bench(
    *,
    ciphers: Iterable[str] | None = None,
    kdf: Iterable[Kdf] | None = None,
    block_size: int = 4096,
    seconds: float = 0.5,
) -> Bench:
    """Measures ciphers (None: all) and passphrase costs (None: the profiles), for about ``seconds`` each.

    A derivation that takes longer than that is run once. ``block_size`` is in bytes, a power of two from
    512 to 65536. Raises ValueError for an unknown cipher, profile or block size.
    """
    chosen = native.ciphers() if ciphers is None else list(ciphers)
    costs = [(_name(one), Argon2id(**resolve(one))) for one in (PROFILES if kdf is None else kdf)]
    return Bench(
        [_cipher(name, block_size, seconds) for name in chosen],
        [KdfTime(name, cost, _seconds(cost, seconds)) for name, cost in costs],
    )


def _name(kdf: Kdf) -> str:
    return (
        kdf if isinstance(kdf, str) else ",".join(f"{name}={value}" for name, value in resolve(kdf).items())
    )


def _cipher(name: str, block_size: int, seconds: float) -> CipherSpeed:
    measured = native.bench({"cipher": name, "block_size": block_size}, seconds)
    return CipherSpeed(name, block_size, measured["seal"], measured["open"])


def _seconds(cost: Argon2id, seconds: float) -> float | None:
    costs = resolve(cost)
    try:
        # Whoever names costs here means them: no cap.
        return native.bench({"kdf": costs, "kdf_limit": {**costs, "work": cost.t * cost.m}}, seconds)["kdf"]
    except MemoryError:
        return None
