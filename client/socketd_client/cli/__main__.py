"""``python -m socketd_client.cli`` is ``socketctl``."""

from __future__ import annotations

import sys

from socketd_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
