"""Figures beside their goals: a benchmark prints them, and `make bench` gathers those of all.

A benchmark that runs by itself only prints. Under `make bench` a variable names the file into which each figure goes, a
line of JSON each, so that the results are what the benchmarks said and nothing is typed twice.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from bench.machine import load

FILE_VARIABLE: Final = "BENCH_FIGURES"

Direction: TypeAlias = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the middle of the values that it was measured as, the least and the greatest of them.

    `load` is how many processes of the machine ran or wanted to in the last minute. Without a goal `direction` and
    `bound` are None.
    """

    benchmark: str
    what: str
    value: float
    least: float
    most: float
    unit: str
    direction: Direction | None
    bound: float | None
    load: float

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None when there is none."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.direction == "at least" else self.value <= self.bound

    @property
    def goal(self) -> str:
        """The goal in words; "" when there is none."""
        return "" if self.bound is None else f"{self.direction} {self.bound:g}{self.unit}"


def tell(
    what: str,
    values: float | Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    unit: str = "",
) -> None:
    """Prints a figure, the median of the values, beside its goal; and keeps it."""
    figure = _figure(what, values, at_least=at_least, at_most=at_most, unit=unit)
    spread = f" ({figure.least:.2f} to {figure.most:.2f})" if figure.least < figure.most else ""
    goal = f"  goal: {figure.goal}, {'reached' if figure.reached else 'MISSED'}" if figure.goal else ""
    print(f"{what}: {figure.value:.2f}{unit}{spread}{goal}", flush=True)
    _keep(figure)


def keep(what: str, values: float | Sequence[float], *, unit: str) -> None:
    """Keeps a figure without a goal that the benchmark prints in its own way."""
    _keep(_figure(what, values, unit=unit))


def figures_in(path: Path) -> list[Figure]:
    """The figures that were kept, in their order."""
    return [Figure(**json.loads(line)) for line in path.read_text().splitlines()]


def _figure(
    what: str,
    values: float | Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    unit: str = "",
) -> Figure:
    many = [values] if isinstance(values, float | int) else list(values)
    direction: Direction | None = None
    if at_least is not None:
        direction = "at least"
    elif at_most is not None:
        direction = "at most"
    return Figure(
        benchmark=_benchmark(),
        what=what.strip(),
        value=statistics.median(many),
        least=min(many),
        most=max(many),
        unit=unit,
        direction=direction,
        bound=at_least if at_least is not None else at_most,
        load=round(load(), 1),
    )


def _benchmark() -> str:
    """The module that runs, without its package."""
    specification = sys.modules["__main__"].__spec__
    return specification.name.rpartition(".")[2] if specification else ""


def _keep(figure: Figure) -> None:
    name = os.environ.get(FILE_VARIABLE)
    if name:
        with Path(name).open("a") as file:
            file.write(json.dumps(dataclasses.asdict(figure)) + "\n")
