"""The engine's counters, as a dictionary and as text for Prometheus."""

from __future__ import annotations

from typing import Any

from . import native

#: Counters of the process: key in :func:`stats`, name and type of the metric, help.
_PROCESS = (
    ("opened", "databases_opened_total", "counter", "Encrypted databases opened."),
    ("open", "databases_open", "gauge", "Encrypted databases open now."),
    ("created", "databases_created_total", "counter", "Encrypted databases created."),
    ("temporary", "temporary_files_total", "counter", "Temporary files opened."),
    ("kdf_runs", "kdf_runs_total", "counter", "Runs of Argon2id."),
)
#: Counters by kind of file and direction.
_FILES = (
    ("{}s", "operations_total", "Reads and writes that SQLite made of encrypted files."),
    ("{}_bytes", "bytes_total", "Bytes that SQLite read and wrote of encrypted files."),
    ("{}_nanoseconds", "seconds_total", "Time that they took, estimated from a sample."),
)


def stats() -> dict[str, Any]:
    """Counters of the engine in this process, for both formats, since it was loaded.

    ``opened``, ``open``, ``created`` count encrypted databases, ``temporary`` temporary files, ``reads``
    and ``writes`` SQLite's calls for databases and their logs, ``unauthentic`` failures of authentication,
    ``kdf_runs`` runs of Argon2id. ``files`` has for each kind of file (``"main"``, ``"journal"``,
    ``"wal"``, ``"temp"``, ``"temp-journal"``, ``"sub-journal"``) ``reads``, ``read_bytes``,
    ``read_nanoseconds``, ``writes``, ``write_bytes``, ``write_nanoseconds`` and ``unauthentic``. Bytes are
    those that SQLite asked for. Nanoseconds are estimated: one call of 64 is timed, all of them where a
    recorder is.

    Each number is exact, or the estimate that it is; together they are no snapshot while other threads work.
    """
    return native.stats()


def stats_prometheus() -> str:
    """The counters of :func:`stats` in Prometheus's text format (version 0.0.4).

    OpenTelemetry's collectors read it, too. Names begin with ``lumocrypt_``; labels are ``kind`` (of file)
    and ``operation`` (``read`` or ``write``).
    """
    found = stats()
    lines: list[str] = []

    def describe(name: str, kind: str, text: str) -> str:
        lines.extend((f"# HELP lumocrypt_{name} {text}", f"# TYPE lumocrypt_{name} {kind}"))
        return f"lumocrypt_{name}"

    for key, name, kind, text in _PROCESS:
        lines.append(f"{describe(name, kind, text)} {found[key]}")
    files: dict[str, dict[str, int]] = found["files"]
    for key, name, text in _FILES:
        metric = describe(name, "counter", text)
        for kind, counts in files.items():
            for operation in ("read", "write"):
                count = counts[key.format(operation)]
                value = count / 1e9 if name == "seconds_total" else count
                lines.append(f'{metric}{{kind="{kind}",operation="{operation}"}} {value}')
    metric = describe("authentication_failures_total", "counter", "Blocks and logs that were not authentic.")
    lines.extend(f'{metric}{{kind="{kind}"}} {counts["unauthentic"]}' for kind, counts in files.items())
    return "\n".join(lines) + "\n"
