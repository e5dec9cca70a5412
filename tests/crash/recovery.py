"""What a crash left, recovered under the recorder, so that the recovery can be crashed as well."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random

import lumocrypt
from support.known_keys import RAW
from support.rekeying import steps_of

from .flavour import Either, Flavour
from .image import Image
from .judge import WITHOUT_CONTENT, recover
from .log import parse
from .recorder import Recorder
from .session import BEGUN, NAME, OTHER, OTHER_NAME, RETURNED, Recording, all_contents


def record_recovery(
    folder: Path,
    flavour: Flavour,
    image: Image,
    allowed: list[bytes],
    recorder: Recorder,
    random: Random,
    *,
    with_other: bool,
) -> tuple[Recording, Flavour]:
    """The first connections after a crash: one recovers and reads, another commits.

    What the first one found must not change any more, whenever the power goes again: the recording has that
    content and the one after the commit. Now and then ``encrypt`` or ``decrypt`` in place comes first, or a
    change of the data key is taken up again; the flavour that is returned can read the outcome.
    """
    convert = not with_other and random.random() < 0.25 and _is_convertible(folder / NAME, image)
    convert = convert and flavour.convertible
    recorder.start(folder)
    try:
        if convert:
            convert_in_place(folder / NAME)
            flavour = Either()
        if is_rekeying(folder / NAME) and random.random() < 0.5:
            change_data_key(folder / NAME, random.choice([1, 4]))
        found = recover(folder, flavour, allowed, random, with_other=with_other)
        with contextlib.closing(flavour.open(folder / NAME, random)) as connection:
            if with_other:
                flavour.attach(connection, folder / OTHER_NAME, OTHER)
            recorder.mark(BEGUN)
            connection.execute("CREATE TABLE recovered AS SELECT 1 AS v")
            recorder.mark(RETURNED)
            after = all_contents(connection, with_other=with_other) + flavour.opening(folder / NAME)
    finally:
        log = recorder.stop()
    recording = Recording(dict(image.files), list(parse(log)), [found, after])
    recording.count()
    return recording, flavour


def _is_convertible(path: Path, image: Image) -> bool:
    # Less may be a creation that a crash interrupted.
    large = len(image.files.get(path.name, b"")) > WITHOUT_CONTENT
    return _is_clear(path) or (large and not is_rekeying(path))


def is_rekeying(path: Path) -> bool:
    """Has a change of the data key begun and not ended?"""
    with contextlib.suppress(lumocrypt.Error, OSError):
        return lumocrypt.info(path).rekeying
    return False


def change_data_key(path: Path, blocks: int) -> None:
    """Changes the data key, so many blocks at a time, or takes an interrupted change up again."""
    with steps_of(blocks * 4096):
        lumocrypt.rekey(path, key=lumocrypt.Key.raw(RAW))


def _is_clear(path: Path) -> bool:
    return path.exists() and path.read_bytes()[:16] == b"SQLite format 3\0"


def convert_in_place(path: Path, *, to_clear: bool | None = None) -> None:
    """Encrypts what is in clear, and decrypts what is not; ``to_clear``: unless it is so already."""
    key = lumocrypt.Key.raw(RAW)
    is_clear = _is_clear(path)
    if is_clear == to_clear:
        return
    if is_clear:
        lumocrypt.encrypt(path, key=key)
        return
    lumocrypt.decrypt(path, key=None if lumocrypt.info(path).cipher == "checksum" else key)
