"""Figures and how they are shown: rounds that alternate, medians, ratios, a table and JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Report:
    """One table.

    Attributes:
        question: What it answers.
        columns: Headings; the first one is of the rows' names.
        rows: One value a column, unrounded.
        notes: What a reader has to know.
    """

    question: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: str = ""

    def markdown(self) -> str:
        """Write it as a table."""
        lines = [
            f"### {self.question}",
            "",
            f"| {' | '.join(self.columns)} |",
            f"|---|{'---:|' * (len(self.columns) - 1)}",
        ]
        lines += [f"| {' | '.join(_shown(cell) for cell in row)} |" for row in self.rows]
        return "\n".join([*lines, "", self.notes, ""] if self.notes else [*lines, ""])

    def as_json(self) -> dict[str, Any]:
        """Write it for programs."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"question": self.question, "notes": self.notes, "rows": rows}


@dataclass(slots=True)
class Samples:
    """How long one thing took, round by round, in seconds."""

    rounds: list[list[float]] = field(default_factory=list)

    def rates(self) -> list[float]:
        """Give each round's number per second, at its median: one stall of a shared machine is in the p99."""
        return [1 / statistics.median(took) for took in self.rounds]

    def per_second(self) -> float:
        """Give the median round."""
        return statistics.median(self.rates())

    def ratio(self, to: Samples) -> float:
        """Compare round by round: what disturbed the machine disturbed both."""
        pairs = zip(self.rates(), to.rates(), strict=True)
        return statistics.median(own / other for own, other in pairs)

    def quantile_us(self, which: float) -> float:
        """Give a quantile over all rounds, in microseconds."""
        return quantile([one for took in self.rounds for one in took], which) * 1e6


def quantile(values: Sequence[float], which: float) -> float:
    """Give the value that ``which`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(which * len(ordered)))]


def timed(step: Callable[[], object]) -> float:
    """Give the seconds that a call takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main(measure: Callable[[bool], Sequence[Report]]) -> None:
    """Run one benchmark as a command."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; the figures are rougher")
    asked = parser.parse_args()
    reports = measure(asked.quick)
    if asked.json:
        print(json.dumps([report.as_json() for report in reports], indent=2))
    else:
        print("\n".join(report.markdown() for report in reports))


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if abs(cell) >= 100:  # noqa: PLR2004 - three digits say enough
        return f"{cell:,.0f}"
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
