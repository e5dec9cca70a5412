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

#: What ``kdf=`` takes.
Kdf = str | Argon2id | Mapping[str, int]


def resolve(kdf: Kdf) -> dict[str, int]:
    """The costs as the engine takes them.

    Raises ValueError for an unknown profile or cost, TypeError for a cost that is not an int.
    """
    if isinstance(kdf, str):
        if kdf not in PROFILES:
            raise ValueError(f"unknown kdf profile {kdf!r}; the profiles are {', '.join(PROFILES)}")
        kdf = PROFILES[kdf]
    if isinstance(kdf, Argon2id):
        costs = {"t": kdf.t, "m": kdf.m, "p": kdf.p}
    else:
        costs = dict(kdf)
        if set(costs) != {"t", "m", "p"}:
            raise ValueError("explicit kdf costs are t (passes), m (KiB) and p (lanes)")
    for name, value in costs.items():
        if not isinstance(value, int) or isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"kdf cost {name} must be an int, not {type(value).__name__}")
        if not 0 < value < 2**32:
            raise ValueError(f"kdf cost {name} is out of range: {value}")
    return costs


def parse(text: str) -> Kdf:
    """A profile's name, or costs as ``t=3,m=65536,p=4`` (m in KiB). Raises ValueError."""
    if "=" not in text:
        resolve(text)
        return text
    costs: dict[str, int] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            costs[name.strip()] = int(value)
        except ValueError:
            raise ValueError(f"kdf cost {name.strip()!r} is not a number: {value!r}") from None
    resolve(costs)
    return costs
