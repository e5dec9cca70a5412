"""What may come of a hostile file."""

from __future__ import annotations

import faulthandler
import resource
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds of processor time, of all threads, and KiB of memory that the process may come to.
MOST_SECONDS = 20.0
MOST_MEMORY = 1 << 20
#: Seconds after which the process ends and says where it is.
HANGS_AFTER = 300
#: What the engine says when it panicked.
_PANIC = "internal error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command or a function came to."""

    #: The exit code of a command; None for a function.
    code: int | None
    #: Everything that a command printed.
    text: str = ""
    error: BaseException | None = None


class Misbehaved(AssertionError):
    """Something else than a result or a documented error."""


def judged(name: str, action: Callable[[], Outcome], *, usage: bool = False) -> Outcome:
    """Carries out an action. ``usage``: a ValueError, or exit code 2, is documented for what a file may hold.

    Raises Misbehaved.
    """
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    begun = time.process_time()
    try:
        outcome = action()
    except (sqlite3.Error, OSError) as error:
        outcome = Outcome(None, str(error), error)
    except ValueError as error:
        if not usage:
            raise Misbehaved(f"{name}: {error!r}") from error
        outcome = Outcome(None, str(error), error)
    except (Exception, MemoryError) as error:
        raise Misbehaved(f"{name}: {error!r}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if seconds > MOST_SECONDS or memory > MOST_MEMORY:
        raise Misbehaved(f"{name}: {seconds:.0f} s, {memory >> 10} MiB")
    if outcome.code not in ((None, 0, 1, 2, 3, 4) if usage else (None, 0, 1, 3, 4)):
        raise Misbehaved(f"{name}: exit code {outcome.code}: {outcome.text}")
    if "Traceback" in outcome.text or _PANIC in outcome.text:
        raise Misbehaved(f"{name}: {outcome.text}")
    # Of a shell's output that is not to a terminal every byte is the database's.
    if outcome.code is not None and name != "shell":
        active = [
            character for character in outcome.text if not (character.isprintable() or character in "\n\t")
        ]
        if active:
            raise Misbehaved(f"{name}: {active!r} would reach a terminal: {outcome.text!r}")
    return outcome
