"""What a log puts over the main file: whole pages, and a new size."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import UnauthenticError
from .main_file import MainFile


@dataclass(slots=True)
class Overlay:
    """Pages by number, counted from 1, and the size of the database in pages."""

    page_size: int
    page_count: int
    pages: dict[int, bytes] = field(default_factory=dict[int, bytes])


def compose(main: MainFile, overlay: Overlay | None) -> bytes:
    """The logical database.

    A block that the log replaces whole need not be authentic: a crash may have torn it, which is what the log
    is for. Every other block must be.
    """
    if overlay is None:
        return b"".join(main.blocks())
    size = overlay.page_count * overlay.page_size
    image = bytearray(size)
    for start in range(0, min(size, main.size), main.block_size):
        end = min(start + main.block_size, size)
        try:
            block = main.block(start // main.block_size)
        except UnauthenticError:
            first, last = start // overlay.page_size + 1, (end - 1) // overlay.page_size + 1
            if all(page in overlay.pages for page in range(first, last + 1)):
                continue
            raise
        image[start:end] = block[: end - start].ljust(end - start, b"\0")
    for number, data in overlay.pages.items():
        if number <= overlay.page_count:
            image[(number - 1) * overlay.page_size : number * overlay.page_size] = data
    return bytes(image)
