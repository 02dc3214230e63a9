"""``python -m weir``: the command line where no script is installed."""

from __future__ import annotations

import sys

from weir.cli import main

sys.exit(main())
