"""The ``socketctl`` command; click and rich are known only here, and imported when they are needed."""

from __future__ import annotations

import sys


def main() -> int:
    """Run ``socketctl`` with this process's arguments; return the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["exec"]:
        from socketd_client.cli.plain import execute  # noqa: PLC0415 - only for this

        status = execute(arguments[1:])
        if status is not None:
            return status
    try:
        from socketd_client.cli.app import run  # noqa: PLC0415 - click may be missing
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write("socketctl: click is not installed: pip install 'socketd[cli]'\n")
        return 1
    return run(arguments)
