"""Where results go: standard output, or the file of ``.output`` and ``.once``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from .resultfile import open_result_file
from .screen import Paint, harmless, is_terminal


class Output:
    """A destination that can be changed, and what it may be sent."""

    def __init__(self, standard: TextIO) -> None:
        self._standard = standard
        #: The colours of standard output, wherever results go.
        self.standard_paint = Paint.of(standard)
        self._once = False
        self._set(standard)

    def _set(self, stream: TextIO) -> None:
        self._stream = stream
        self.paint = Paint.of(stream)
        #: Makes a text of the database fit for the destination: on a terminal, nothing in it may act.
        self.clean: Callable[[str], str] = harmless if is_terminal(stream) else str
        #: Whether people see it as it is written.
        self.on_terminal = is_terminal(stream)

    @property
    def name(self) -> str:
        """The file, or ``stdout``."""
        return "stdout" if self._stream is self._standard else str(self._stream.name)

    def line(self, text: str = "", end: str = "\n") -> None:
        """Writes a line, which has been cleaned."""
        self._stream.write(text + end)

    def flush(self) -> None:
        """Hands on what is kept in memory, so that it stands in front of what others write next."""
        self._stream.flush()

    def to_file(self, path: str, database: str, *, once: bool = False) -> None:
        """Sends what follows, or with ``once`` the next result, to a new or emptied file; raises OSError.

        The file is clear text, out of the file ``database``; :func:`open_result_file` says who may read it.
        """

        def opened(_path: str, _flags: int) -> int:
            return open_result_file(path, database)

        stream = open(path, "w", encoding="utf-8", errors="surrogateescape", newline="", opener=opened)  # noqa: SIM115
        try:
            self.to_standard()
        except OSError:
            stream.close()
            raise
        self._set(stream)
        self._once = once

    def to_standard(self) -> None:
        """Sends what follows to standard output again. Raises OSError if the file cannot be completed."""
        stream, self._once = self._stream, False
        self._set(self._standard)
        if stream is not self._standard:
            stream.close()

    def result_over(self) -> None:
        """A statement or command is done: the file of ``.once`` has what it was opened for."""
        if self._once:
            self.to_standard()
