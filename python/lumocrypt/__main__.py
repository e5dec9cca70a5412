"""``python -m lumocrypt``."""

import sys

from .cli import main

sys.exit(main())
