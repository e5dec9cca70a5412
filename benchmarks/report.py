"""The results as a table and as JSON."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from .pairs import Measured

#: A campaign is void unless plaintext against plaintext comes out in here.
CONTROL = (0.97, 1.03)


def table(results: Sequence[Measured]) -> str:
    """A table in Markdown: a row for each workload, a column for each subject."""
    subjects = list(dict.fromkeys(result.subject for result in results))
    workloads = list(dict.fromkeys(result.workload for result in results))
    cells = {(result.workload, result.subject): result for result in results}
    lines = ["| workload | " + " | ".join(subjects) + " |", "|-|" + "-|" * len(subjects)]
    for workload in workloads:
        found = [cells[workload, subject] for subject in subjects]
        texts = [f"{one.ratio:.2f} ({one.interval[0]:.2f}-{one.interval[1]:.2f})" for one in found]
        lines.append(f"| {workload.replace('_', ' ')} | " + " | ".join(texts) + " |")
    means = [geometric_mean(cells[workload, subject].ratio for workload in workloads) for subject in subjects]
    lines.append("| geometric mean | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    return "\n".join(lines)


def void(results: Sequence[Measured]) -> list[str]:
    """The workloads whose control says that nothing can be said."""
    low, high = CONTROL
    return [
        f"{result.workload}: plaintext against plaintext is {result.ratio:.3f}"
        for result in results
        if result.subject.endswith("plain") and not low <= result.ratio <= high
    ]


def machine() -> dict[str, str]:
    """What it was measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": f"{len(models)} x {models[0]}" if models else platform.processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def as_json(results: Sequence[Measured], **facts: Any) -> str:
    """Everything that was measured, pair by pair."""
    found = [
        {
            "subject": result.subject,
            "workload": result.workload,
            "ratio": round(result.ratio, 4),
            "interval": [round(bound, 4) for bound in result.interval],
            "seconds": [[round(base, 4), round(subject, 4)] for base, subject in result.pairs],
        }
        for result in results
    ]
    return json.dumps({"machine": machine(), **facts, "results": found}, indent=1) + "\n"
