"""What opens the databases of tests, quickly."""

from __future__ import annotations

#: A raw key: no key derivation, so tests that do not care about passphrases are fast.
RAW = bytes(range(32))
#: The cheapest costs that are accepted.
FAST = {"t": 2, "m": 19 * 1024, "p": 1}
