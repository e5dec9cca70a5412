"""Imported by every Python that the suite starts: its databases are encrypted as well."""

import os
import sys
from pathlib import Path

if folder := os.environ.get("LUMO_SUITE_FOLDER"):
    sys.path.append(str(Path(__file__).parent.parent))
    from replacement import install

    install(Path(folder))
