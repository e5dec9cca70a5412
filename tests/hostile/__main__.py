"""The campaign: ``python -m hostile --minutes 10`` takes the kinds of forgery in turn."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile.campaign import KINDS, run

_EXAMPLES = 200


def main() -> None:
    """Raises what a case raised, with the number that repeats its round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=KINDS)
    given = parser.parse_args()
    end = time.monotonic() + given.minutes * 60
    number, done = given.seed, 0
    while time.monotonic() < end:
        for kind in KINDS if given.only is None else (given.only,):
            try:
                run(kind, _EXAMPLES, number)
            except BaseException:
                print(f"found with --seed {number} --only {kind!r}", file=sys.stderr)
                raise
            done += _EXAMPLES
        number += 1
    print(f"{done:,} forgeries, nothing but results and documented errors", flush=True)


main()
