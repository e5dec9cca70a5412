"""Starts children, with the Python of each environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Children:
    """Processes of their own for jobs; see child.py."""

    #: The interpreter of each environment.
    pythons: Mapping[str, str]

    def run(self, environment: str, module: str, **arguments: Any) -> Any:
        """What the job of a module returns in a fresh process."""
        finished = subprocess.run(
            self._command(environment, module, arguments),
            cwd=ROOT,
            env=_environment(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return json.loads(finished.stdout)

    def together(self, environment: str, module: str, count: int, **arguments: Any) -> list[Any]:
        """What several processes return that begin when all of them are ready."""
        command = self._command(environment, module, arguments)
        with ExitStack() as stack:
            running = [
                stack.enter_context(
                    subprocess.Popen(
                        command,
                        cwd=ROOT,
                        env=_environment(),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(count)
            ]
            for process in running:
                _line(process)
            for process in running:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            return [_line(process) for process in running]

    def _command(self, environment: str, module: str, arguments: Mapping[str, Any]) -> list[str]:
        python = self.pythons.get(environment, sys.executable)
        return [python, "-m", "benchmarks.child", module, json.dumps(arguments)]


def _line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a child died: {process.args}")
    return json.loads(line)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "LUMO_KEY"}
