"""What was found, in figures: a table for the screen and a file for machines."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

OUTPUT = Path("build/bench.json")


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, divided by another that was measured beside it or that it must not exceed."""

    name: str
    ratio: float
    goal: float
    better: Literal["higher", "lower"]
    value: float
    base: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio >= self.goal if self.better == "higher" else self.ratio <= self.goal

    def row(self) -> str:
        """Write it for the screen."""
        sign = "≥" if self.better == "higher" else "≤"
        verdict = "met" if self.met else "MISSED"
        facts = f"{self.value:,.1f} ÷ {self.base:,.1f} {self.unit}"
        return f"{self.name:<58} {self.ratio:>6.2f}  {sign} {self.goal:<4g}  {verdict:<6}  {facts}"


def beside(name: str, goal: float, better: Literal["higher", "lower"], unit: str, pairs: Sequence[tuple[float, float]]):
    """Make a figure from rounds that alternated: the median of their ratios, and the medians of both sides."""
    ratio = statistics.median(value / base for value, base in pairs)
    value, base = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Figure(name, ratio, goal, better, value, base, unit)


def at_most(name: str, value: float, limit: float, unit: str) -> Figure:
    """Make a figure of something that must not exceed a limit."""
    return Figure(name, value / limit, 1, "lower", value, limit, unit)


def table(figures: Sequence[Figure]) -> str:
    """Write all for the screen."""
    missed = [figure.name for figure in figures if not figure.met]
    verdict = f"MISSED: {'; '.join(missed)}" if missed else "All goals are met."
    return "\n".join([*(figure.row() for figure in figures), "", verdict])


def write(figures: Sequence[Figure], path: Path = OUTPUT) -> None:
    """Write all for a machine."""
    path.parent.mkdir(exist_ok=True)
    rows = [{**asdict(figure), "met": figure.met} for figure in figures]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
