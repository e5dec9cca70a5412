"""The pages of a database as the next opener would see them, one at a time and in spite of damage."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from ..engine import native
from ..engine.registration import stdlib_host

#: Where SQLite's lock bytes are; the page that holds them is never used (https://sqlite.org/fileformat2.html).
_LOCK_BYTES = 1 << 30

# Where a page was found (docs/reference/c-abi.md).
_UNREADABLE, _WAL, _JOURNAL = 0, 2, 3


class Image:
    """Committed pages, numbered from 1, out of the main file and its logs. Nothing is written or locked."""

    def __init__(self, path: str, key: int, options: dict[str, Any]) -> None:
        self._image: Any = None
        self._image, facts = native.image_open(stdlib_host().number, path, key, options)
        self.page_size: int = facts["page_size"]
        self.page_count: int = facts["page_count"]
        self.block_size: int = facts["block_size"]
        self.cipher: str = facts["cipher"]
        #: What was done about the logs, and what was lost with them.
        self.notes: list[str] = facts["notes"]
        self.lost: list[str] = facts["lost"]
        self.lock_page = _LOCK_BYTES // self.page_size + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the files."""
        if self._image is not None:
            native.image_close(self._image)
            self._image = None

    def page(self, number: int) -> bytes | None:
        """The content of a page, None if it does not authenticate or does not exist."""
        if not 1 <= number <= self.page_count:
            return None
        source, content = native.image_page(self._image, number, self.page_size)
        return None if source == _UNREADABLE else content

    def is_logged(self, number: int) -> bool:
        """Whether the content of a page is that of a log, whatever the main file holds."""
        return native.image_page(self._image, number, self.page_size)[0] in (_WAL, _JOURNAL)

    def relative(self, destination: int) -> None:
        """Makes an empty file, which is open, a database without content that the same keys open."""
        native.image_relative(self._image, destination)
