"""Argon2id costs for passphrases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Argon2id:
    """Explicit Argon2id (RFC 9106) costs, for ``kdf=``.

    ``t`` passes, ``m`` KiB of memory, ``p`` lanes. The engine refuses costs below OWASP's minimum of
    t=2, m=19456 (19 MiB), p=1.
    """

    t: int
    m: int
    p: int = 1


#: The named profiles. ``interactive`` is RFC 9106's second recommended option (section 4); the other two take
#: the memory of libsodium's MODERATE and SENSITIVE limits.
PROFILES: Mapping[str, Argon2id] = {
    "interactive": Argon2id(t=3, m=64 * 1024, p=4),
    "moderate": Argon2id(t=3, m=256 * 1024, p=4),
    "sensitive": Argon2id(t=3, m=1024 * 1024, p=4),
}

#: The profile of whoever names none; the engine's, too (engine/crates/crypto/src/kdf.rs).
DEFAULT = "interactive"

#: What ``kdf=`` takes.
Kdf = str | Argon2id | Mapping[str, int]

#: What ``kdf_limit=`` takes: the most that is derived to open a database, because nothing of its header is
#: authenticated before that. ``t`` passes, ``m`` KiB and ``p`` lanes of any keyslot, and ``work``, passes
#: times KiB over all keyslots that a passphrase may have to be tried on; as an object, or as text like
#: ``"m=4194304,work=12582912"``. What is left out is as in the environment variable ``LUMO_KDF_LIMIT``, else
#: t=64, m=1048576 (1 GiB), p=64, work=8388608; ``work`` grows with ``m``.
KdfLimit = str | Argon2id | Mapping[str, int]


def resolve(kdf: Kdf) -> dict[str, int]:
    """The costs as the engine takes them.

    Raises ValueError for an unknown profile or cost, TypeError for a cost that is not an int.
    """
    if isinstance(kdf, str):
        if kdf not in PROFILES:
            raise ValueError(f"unknown kdf profile {kdf!r}; the profiles are {', '.join(PROFILES)}")
        kdf = PROFILES[kdf]
    costs = _numbers(kdf, "kdf cost")
    if set(costs) != {"t", "m", "p"}:
        raise ValueError("explicit kdf costs are t (passes), m (KiB) and p (lanes)")
    return costs


def resolve_limit(limit: KdfLimit | None) -> dict[str, int] | None:
    """The limits as the engine takes them; None are those of whoever names none.

    Raises ValueError for an unknown limit or one out of range, TypeError for one that is not an int.
    """
    if limit is None:
        return None
    caps = _numbers(_pairs(limit, "kdf limit") if isinstance(limit, str) else limit, "kdf limit")
    if not caps or not set(caps) <= {"t", "m", "p", "work"}:
        raise ValueError("kdf limits are t (passes), m (KiB), p (lanes) and work (passes times KiB, in all)")
    return caps


def _numbers(given: Argon2id | Mapping[str, int], what: str) -> dict[str, int]:
    values = {"t": given.t, "m": given.m, "p": given.p} if isinstance(given, Argon2id) else dict(given)
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{what} {name} must be an int, not {type(value).__name__}")
        if not 0 < value < (2**64 if name == "work" else 2**32):
            raise ValueError(f"{what} {name} is out of range: {value}")
    return values


def parse(text: str) -> Kdf:
    """A profile's name, or costs as ``t=3,m=65536,p=4`` (m in KiB). Raises ValueError."""
    if "=" not in text:
        resolve(text)
        return text
    costs = _pairs(text, "kdf cost")
    resolve(costs)
    return costs


def parse_limit(text: str) -> KdfLimit:
    """Limits as ``t=100,m=8388608`` (m in KiB). Raises ValueError."""
    caps = _pairs(text, "kdf limit")
    resolve_limit(caps)
    return caps


def _pairs(text: str, what: str) -> dict[str, int]:
    values: dict[str, int] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            values[name.strip()] = int(value)
        except ValueError:
            raise ValueError(f"{what} {name.strip()!r} is not a number: {value!r}") from None
    return values
