"""What a crash can leave of a folder."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random

from .disk import PAGE, SECTOR, VOLATILE, Change, Disk, File, put
from .log import Event, Kind

#: The most that is garbled around the point where the power went.
GARBLED = 4096


class Fate(Enum):
    """What becomes of the pending changes of one file."""

    KEPT = "kept"
    DROPPED = "dropped"
    #: The first ones are there, the last of them torn.
    PREFIX = "prefix"
    #: Any of them: reordering.
    SUBSET = "subset"
    #: Only the last.
    LAST = "last"
    #: Any of them, and any sectors of each.
    TORN = "torn"
    #: As PREFIX, and what was being written when the power went holds neither old nor new content.
    GARBLED = "garbled"


_FATES = [Fate.KEPT, Fate.DROPPED, Fate.PREFIX, Fate.SUBSET, Fate.LAST, Fate.TORN, Fate.TORN, Fate.GARBLED]


@dataclass(slots=True)
class Image:
    """The files after a crash."""

    files: dict[str, bytes]
    #: Positions and file names of changes that are not there, or not whole.
    lost: list[tuple[int, str]] = field(default_factory=list)
    #: Positions and names of file creations, deletions and renames that did not happen.
    undone: list[tuple[int, str]] = field(default_factory=list)
    #: How it came about, for people.
    story: str = ""
    #: The process died, and the power did not fail.
    killed: bool = False

    def digest(self) -> bytes:
        """Equal for equal files."""
        hasher = hashlib.blake2b(digest_size=16)
        for name, content in sorted(self.files.items()):
            hasher.update(f"{name}\0{len(content)}\0".encode())
            hasher.update(content)
        return hasher.digest()

    def write(self, folder: Path) -> None:
        """Makes it the content of ``folder``."""
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        for name, content in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)


def killed(disk: Disk, event: Event | None, random: Random) -> Image:
    """A process crash: everything that was written is there; of the write under way, whole pages."""
    files = {name: bytes(file.cache) for name, file in _lasting(disk.names).items()}
    story = "killed"
    if event is not None and event.kind is Kind.WRITE and (file := disk.file_of(event)) is not None:
        first = -event.number % PAGE
        cuts = list(range(first or PAGE, len(event.data), PAGE))
        if cuts and disk.names.get(file.name) is file and file.name in files:
            cut = random.choice(cuts)
            content = bytearray(files[file.name])
            put(content, event.number, event.data[:cut])
            files[file.name] = bytes(content)
            story = f"killed in a write to {file.name}, {cut} of {len(event.data)} bytes"
    return Image(files, story=story, killed=True)


def cut_off(
    disk: Disk,
    random: Random,
    fate: Fate | None = None,
    *,
    whole: Callable[[str], bool],
    ungarbled: Callable[[str], bool],
) -> Image:
    """A power crash: what was synced is there; what was not is kept, lost, reordered, torn or garbled.

    Without a ``fate`` every file has its own. Deletions, creations and truncations last in the order in which
    they happened, as file systems with a journal have it: SQLite relies on that when it truncates a database
    after the deletion of its journal. ``whole(name)``: the file is kept or dropped, never in part.
    ``ungarbled(name)``: each of its sectors holds its old content or its new one.
    """
    horizon = _horizon(disk, random, fate)
    image = Image({})
    names = dict(disk.durable)
    for naming in disk.pending:
        if naming.position < horizon:
            naming.apply(names)
        else:
            image.undone.append((naming.position, naming.name))
    stories = []
    for name, file in sorted(_lasting(names).items()):
        fates = _FATES[:2] if whole(name) else _FATES[:-1] if ungarbled(name) else _FATES
        chosen = fate or random.choice(fates)
        image.lost += [(position, name) for position in file.dropped.values()]
        image.files[name] = _file_after(file, chosen, horizon, random, image)
        if file.pending:
            stories.append(f"{name} {chosen.value}")
    undone = ", ".join(name for _, name in image.undone)
    image.story = f"power cut: {', '.join(stories) or 'nothing pending'}" + (undone and f"; undone: {undone}")
    return image


def _horizon(disk: Disk, random: Random, fate: Fate | None) -> int:
    """The event from which on deletions, creations and truncations are lost."""
    if fate is Fate.DROPPED:
        return disk.settled
    files = {id(file): file for file in (*disk.durable.values(), *disk.names.values())}
    positions = [naming.position for naming in disk.pending]
    positions += [c.position for file in files.values() for c in file.pending if c.data is None]
    positions = [position for position in positions if position >= disk.settled]
    if not positions or fate is Fate.KEPT or random.random() < 0.5:
        return disk.position
    return random.choice(positions)


def _lasting(names: dict[str, File]) -> dict[str, File]:
    return {name: file for name, file in names.items() if not name.endswith(VOLATILE)}


def _file_after(file: File, fate: Fate, horizon: int, random: Random, image: Image) -> bytes:
    if not file.pending:
        return file.durable
    content = bytearray(file.durable)
    stop = random.randrange(len(file.pending)) if fate in (Fate.PREFIX, Fate.GARBLED) else None
    cut_short = False
    for number, change in enumerate(file.pending):
        if change.data is None:
            # What is written after a truncation does not last without it.
            cut_short = cut_short or change.position >= horizon
            share = _Share.ALL
        else:
            share = _share(fate, number, stop, len(file.pending), random)
        if cut_short or not _apply(content, change, share, random):
            image.lost.append((change.position, file.name))
    length = len(file.cache)
    if length > len(content) and not cut_short and fate is not Fate.KEPT and random.random() < 0.3:
        # The new size may last although the data does not.
        content.extend(bytes(length - len(content)))
    return bytes(content)


class _Share(Enum):
    ALL = 0
    NOTHING = 1
    SOME_SECTORS = 2
    FIRST_SECTORS = 3
    GARBLED = 4


def _share(fate: Fate, number: int, stop: int | None, count: int, random: Random) -> _Share:
    """How much of a change lasts."""
    match fate:
        case Fate.KEPT | Fate.DROPPED:
            return _all_if(fate is Fate.KEPT)
        case Fate.LAST:
            return _all_if(number == count - 1)
        case Fate.SUBSET:
            return random.choice([_Share.ALL, _Share.NOTHING])
        case Fate.TORN:
            return random.choice([_Share.ALL, _Share.NOTHING, _Share.SOME_SECTORS, _Share.FIRST_SECTORS])
        case Fate.PREFIX | Fate.GARBLED:
            assert stop is not None
            if number == stop:
                return _Share.GARBLED if fate is Fate.GARBLED else _Share.FIRST_SECTORS
            return _all_if(number < stop)


def _all_if(condition: bool) -> _Share:
    return _Share.ALL if condition else _Share.NOTHING


def _apply(content: bytearray, change: Change, share: _Share, random: Random) -> bool:
    """Applies what lasts of a change. Whether all of it did."""
    if share is _Share.NOTHING:
        return False
    if change.data is None or share is _Share.ALL:
        change.apply(content)
        return True
    pieces = list(_sectors(change))
    if share is _Share.FIRST_SECTORS:
        kept = random.randrange(len(pieces))
        keep = [number < kept for number in range(len(pieces))]
    else:
        keep = [random.random() < 0.5 for _ in pieces]
    for (start, end), kept in zip(pieces, keep, strict=True):
        if kept:
            put(content, change.offset + start, change.data[start:end])
    if share is _Share.GARBLED:
        # Only whole sectors that were being written, which is what SECURITY.md assumes of the medium.
        whole = [piece for piece in pieces if piece[1] - piece[0] == SECTOR]
        if whole:
            first = random.randrange(len(whole))
            for start, _ in whole[first : first + random.randint(1, GARBLED // SECTOR)]:
                put(content, change.offset + start, random.randbytes(SECTOR))
            return False
    return all(keep)


def _sectors(change: Change) -> list[tuple[int, int]]:
    """The pieces of a write that lie in one sector each, as offsets into its data."""
    assert change.data is not None
    cuts = [0, *range(-change.offset % SECTOR or SECTOR, len(change.data), SECTOR), len(change.data)]
    return list(itertools.pairwise(cuts))
