"""``python -m mamltui``: the same as the ``mamltui`` command."""

from __future__ import annotations

import sys

from mamltui.cli import main

if __name__ == "__main__":
    sys.exit(main())
