"""Run every benchmark and write the figures into README.md, or print them as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bulk
import calls
import exec_overhead
import held
import moving
import passing
import startup
import waits

if TYPE_CHECKING:
    from report import Report

BENCHMARKS: Final = {
    "calls": calls,
    "bulk": bulk,
    "waits": waits,
    "moving": moving,
    "passing": passing,
    "exec_overhead": exec_overhead,
    "held": held,
    "startup": startup,
}
README: Final = Path(__file__).with_name("README.md")
BEGIN: Final = "<!-- figures: written by run.py -->\n"
END: Final = "<!-- end of figures -->\n"
_PACKAGES: Final = ("gunicorn", "gevent", "Flask", "Werkzeug", "marshmallow", "orjson", "requests")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and leave README.md as it is")
    parser.add_argument("--quick", action="store_true", help="rougher figures; README.md is left as it is")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    reports: list[Report] = []
    for name in asked.names or BENCHMARKS:
        reports += BENCHMARKS[name].measure(asked.quick)
    if asked.json:
        print(json.dumps({"machine": machine(), "reports": [one.as_json() for one in reports]}, indent=2))
        return
    text = "\n".join([f"{machine()}\n", *(report.markdown() for report in reports)])
    print(text)
    if not (asked.names or asked.quick):
        write(README, text)


def machine() -> str:
    """Say where and with what this was measured."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} by `make bench` (`python benchmarks/run.py`): "
        f"{os.cpu_count()} processors {_processor()}, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}; {versions}. "
        f"Load average of the last quarter of an hour: {os.getloadavg()[2]:.1f}."
    )


def write(path: Path, figures: str) -> None:
    """Put the figures between the markers, and nothing else.

    Raises:
        ValueError: The markers are not there.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path.name} lacks the lines {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
