"""What the results say, in words: above all where lumocrypt loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .results import Record, Results
from .subjects import SUBJECTS
from .table import by_place, mean, words
from .workloads import API, ENGINE

#: What is no more than this is not called slower: the intervals are about as wide.
EVEN = 1.02
#: Those of other people.
PEERS = ("mc-aegis", "mc-chacha20", "sqlcipher")


def findings(results: Results, file_system: str) -> list[str]:
    """Sentences about the default settings, about pread, and about peers."""
    cells = by_place(results.of("speed", file_system))
    sentences: list[str] = []
    for subject, called in (("map", "With its defaults, lumocrypt"), ("pread", 'With `io="pread"`, it')):
        found = _ratios(cells, subject)
        if found:
            sentences.append(_against_plaintext(called, found, mean(cells, subject)))
    sentences += _second_core(cells)
    lost = [text for peer in PEERS for text in _against_peer(cells, peer)]
    if any(_ratios(cells, peer) for peer in PEERS):
        sentences.append(
            f"Each against its own plaintext, lumocrypt loses to {'; '.join(lost)}."
            if lost
            else "Each against its own plaintext, none of the peers is faster at anything that was measured."
        )
    sentences += _api(cells)
    return sentences


def _against_plaintext(called: str, found: Mapping[str, Record], average: float | None) -> str:
    slower = sorted(
        (record for record in found.values() if record.value > EVEN), key=lambda record: -record.value
    )
    listed = [f"{words(record.name)} ({record.value:.2f})" for record in slower]
    text = (
        f"{called} is slower than plaintext at {_listed(listed)}"
        if slower
        else f"{called} is slower than plaintext at nothing that was measured"
    )
    return text + (f"; the geometric mean is {average:.2f}." if average is not None else ".")


def _second_core(cells: Mapping[tuple[str, str], Record]) -> list[str]:
    both, alone = _ratios(cells, "map"), _ratios(cells, "one-thread")
    better = [
        f"{words(name)} ({record.value:.2f})"
        for name, record in alone.items()
        if name in both and both[name].value < 0.95 * record.value
    ]
    if not better:
        return []
    return [
        "A second core encrypts and writes a part of large transactions and checkpoints. "
        f"Without it (`LUMO_THREADS=1`) these take longer: {_listed(better)}."
    ]


def _against_peer(cells: Mapping[tuple[str, str], Record], peer: str) -> list[str]:
    ours, theirs = _ratios(cells, "map"), _ratios(cells, peer)
    lost = [
        f"{words(name)} ({ours[name].value:.2f} to {theirs[name].value:.2f})"
        for name in ours
        if name in theirs and ours[name].value > theirs[name].value
    ]
    return [f"{SUBJECTS[peer].title} at {_listed(lost)}"] if lost else []


def _api(cells: Mapping[tuple[str, str], Record]) -> list[str]:
    found = [cells.get(("connect", name)) for name in API]
    texts = [f"{words(record.name)} {record.value:.2f}" for record in found if record and not record.void]
    if not texts:
        return []
    return [f"`lumocrypt.connect` compared with a bare `sqlite3.connect` on its VFS: {_listed(texts)}."]


def _ratios(cells: Mapping[tuple[str, str], Record], subject: str) -> dict[str, Record]:
    found = {name: cells.get((subject, name)) for name in ENGINE}
    return {name: record for name, record in found.items() if record is not None and not record.void}


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:-1]) + (" and " if len(texts) > 1 else "") + texts[-1]
