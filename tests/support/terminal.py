"""A program on a terminal of its own, and somebody who types there."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

#: What somebody may have to wait for, in seconds.
PATIENCE = 20
# The leader of a session gets the first terminal that it opens for its own.
_STARTER = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDWR)); os.execv(sys.argv[2], sys.argv[2:])"
# What only moves the cursor, sets modes of the terminal or rings its bell; not colour.
_CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-HJKhlGP]|\x1b[=>]|\x07")


class Terminal:
    """What is on the screen, and the keys."""

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], stdin: int | None = None
    ) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _STARTER, os.ttyname(slave), sys.executable, *arguments],
            stdin=slave if stdin is None else stdin,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        os.close(slave)
        #: Everything that was shown, colours included.
        self.seen = ""
        #: Everything that came.
        self.raw = ""
        self._read_to = 0

    def expect(self, text: str) -> str:
        """Waits until ``text`` is shown behind what was expected last; returns what came before it."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.seen.find(text, self._read_to)) < 0:
            assert time.monotonic() < deadline, self.seen
            assert self._more(), f"{text!r} did not come: {self.seen!r}"
        before = self.seen[self._read_to : at]
        self._read_to = at + len(text)
        return before

    def send(self, text: str) -> None:
        """Types."""
        os.write(self._master, text.encode())

    def line(self, text: str) -> None:
        """Types a line."""
        self.send(text + "\n")

    def interrupt(self) -> None:
        """Presses Ctrl-C.

        Python's readline overlooks a signal between showing its prompt and waiting for a key, until the next
        key.
        """
        time.sleep(0.5)
        self.send("\x03")

    def end(self) -> int:
        """Waits for the end; returns the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._more():
            assert time.monotonic() < deadline, self.seen
        return self.process.wait(PATIENCE)

    def _more(self) -> bool:
        if not select.select([self._master], [], [], 1)[0]:
            return True
        try:
            chunk = os.read(self._master, 65536)
        except OSError:
            # All others have closed it.
            return False
        text = chunk.decode(errors="replace")
        self.raw += text
        self.seen += _CONTROL.sub("", text)
        return bool(chunk)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        os.close(self._master)


@contextlib.contextmanager
def terminal(
    arguments: list[str], environment: Mapping[str, str], stdin: int | None = None
) -> Iterator[Terminal]:
    """Runs Python with ``arguments`` on a terminal; killed at the end if it still runs."""
    one = Terminal(arguments, environment, stdin)
    try:
        yield one
    finally:
        one.close()


#: The command line, for Python.
PROGRAM = ("-m", "lumocrypt")


def on_terminal(
    arguments: Sequence[object],
    script: Sequence[tuple[str, str]],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Runs the command line; for each prompt and answer, waits for the one and types the other.

    With ``stdin``, standard input is a pipe that holds this, and the terminal is only ``/dev/tty``. Returns
    the exit code and everything that was shown.
    """
    reading = None if stdin is None else _pipe(stdin)
    with terminal([*PROGRAM, *map(str, arguments)], env or {}, reading) as one:
        if reading is not None:
            os.close(reading)
        for prompt, answer in script:
            # The echo is turned off before the prompt is printed.
            one.expect(prompt)
            one.send(answer)
        return one.end(), one.raw


def _pipe(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading
