"""Random SQL over every combination of settings: an encrypted database does what its plaintext twin does.

``LUMO_LONG=1`` runs many more programs, drawn anew each time.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.sql_program import JOURNAL_MODES, Program, settings_of, steps
from support.sql_twin import Twins

LONG = bool(os.environ.get("LUMO_LONG"))


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_random_programs(journal_mode: str, tmp_path: Path) -> None:
    @settings(
        max_examples=1000 if LONG else 45,
        deadline=None,
        # The same programs in every run, so that a failure is the change's fault.
        derandomize=not LONG,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        setting = data.draw(settings_of(journal_mode))
        program = data.draw(steps)
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            twins = Twins(Path(folder), {"block_size": setting.block_size, "io": setting.io})
            try:
                Program(twins, setting).run(program)
            finally:
                twins.close()

    run()
