"""Plots in the terminal: bars of numbers and lines of shares, over time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

HEIGHT: Final = 10
"""Rows of a plot with its axes, without its title."""
NARROWEST: Final = 40
WIDEST: Final = 110
WIDTH_WITHOUT_TERMINAL: Final = 80
TICKS: Final = 6
MARKS: Final = ("*", "o")

# What is drawn where the output can only carry ASCII.
PLAIN: Final = str.maketrans(
    {"│": "|", "─": "-", "┌": "+", "┐": "+", "└": "+", "┘": "+", "┤": "+", "┬": "+", "┼": "+", "█": "#"}
)
LEVELS: Final = "▁▂▃▄▅▆▇█"
PLAIN_LEVELS: Final = "_.-=+*%#"


@dataclass(frozen=True, slots=True)
class Line:
    """Shares in percent over time; None where there was nothing to have a share of."""

    title: str
    values: Sequence[float | None]


def bars(title: str, labels: Sequence[str], values: Sequence[int]) -> list[str]:
    """Numbers as bars, one for each label, in lines as wide as the terminal; a line above them says what they are."""
    top = _round_up(max(values, default=0))
    ticks = [0, top // 2, top] if top > 1 else [0, top]
    canvas = _Canvas(labels, [(float(tick), f"{tick:,}") for tick in ticks])
    if canvas.columns >= len(values):
        # Where it is not nothing, there is something to see.
        least = top / (2 * (HEIGHT - 3))
        heights = [0.0 if value == 0 else max(float(value), least) for value in values]
        canvas.plot.bar(list(range(len(values))), heights, width=0.8, marker="█")
    else:
        canvas.plot.plot(list(range(len(values))), list(values), marker="*")
    return [title, *canvas.lines()]


def lines(title: str, labels: Sequence[str], shares: Sequence[Line], *, floor: float | None = None) -> list[str]:
    """Shares as lines of marks, with gaps where there is none; from `floor` percent, or just below the lowest, to 100.

    Of no share at all, nothing.
    """
    known = [value for line in shares for value in line.values if value is not None]
    if not known:
        return []
    bottom = _floor(min(known)) if floor is None else floor
    middle = (bottom + 100) / 2
    canvas = _Canvas(labels, [(tick, f"{tick:g} %") for tick in (bottom, middle, 100.0)])
    for line, mark in reversed(list(zip(shares, MARKS, strict=False))):  # the first lies on top
        for run in _runs(line.values):
            places = [place for place, _ in run]
            heights = [value for _, value in run]
            # A line of one point has no length.
            draw = canvas.plot.scatter if len(run) == 1 else canvas.plot.plot
            draw(places, heights, marker=mark)
    legend = "" if len(shares) == 1 else f": {', '.join(f'{m} {s.title}' for s, m in zip(shares, MARKS, strict=False))}"
    return [f"{title}{legend}", *canvas.lines()]


def sparkline(values: Sequence[int]) -> str:
    """Numbers as a row of small bars, nothing lower than any number; empty when there are none."""
    levels = LEVELS if _can_draw() else PLAIN_LEVELS
    top = max(values, default=0)
    return "".join(
        levels[-(-value * (len(levels) - 1) // top)] if value else levels[0] for value in values if top or value == 0
    )


def plot_width() -> int:
    """How wide plots are: as the terminal, or COLUMNS, within reason; 80 where there is neither."""
    columns = shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns
    return min(max(columns, NARROWEST), WIDEST)


class _Canvas:
    """A plot of so many places from left to right. plotext has one figure a process, which is begun anew here."""

    def __init__(self, labels: Sequence[str], ticks: Sequence[tuple[float, str]]) -> None:
        # Some 30 ms, which the other commands need not wait for.
        import plotext

        self.plot: Any = plotext  # it ships no types
        self.columns = plot_width() - max(len(text) for _, text in ticks) - 2
        self.plot.clear_figure()
        self.plot.theme("clear")
        self.plot.limit_size(False, False)
        count = max(len(labels), 1)
        inside = self.columns // count * count if count <= self.columns else self.columns
        self.plot.plot_size(plot_width() - self.columns + inside, HEIGHT)
        self.plot.xlim(-0.5, count - 0.5)
        self.plot.ylim(ticks[0][0], ticks[-1][0])
        self.plot.yticks([place for place, _ in ticks], [text for _, text in ticks])
        self._labels = labels
        self._shown = _spread(labels, inside)

    def lines(self) -> list[str]:
        """What was drawn."""
        # Bars put labels of their own below themselves, so these come after them.
        self.plot.xticks(self._shown, [self._labels[place] for place in self._shown])
        drawn: str = self.plot.uncolorize(self.plot.build())
        text = drawn if _can_draw() else drawn.translate(PLAIN)
        return [line.rstrip() for line in text.splitlines()]


def _spread(labels: Sequence[str], columns: int) -> list[int]:
    """The places of labels that fit beside one another: the last one, and others at even distances before it."""
    if not labels:
        return []
    fitting = max(min(TICKS, columns // (max(len(label) for label in labels) + 3)), 1)
    step = -(-len(labels) // fitting)
    return list(range(len(labels) - 1, -1, -step))[::-1]


def _runs(values: Sequence[float | None]) -> Iterable[list[tuple[int, float]]]:
    for is_known, run in groupby(enumerate(values), key=lambda item: item[1] is not None):
        if is_known:
            yield [(place, value) for place, value in run if value is not None]


def _round_up(value: int) -> int:
    """The lowest of 1, 2, 4, 6, 8, 10, 20, 40 and so on that is not below it."""
    size = 1
    while True:
        for factor in (1, 2, 4, 6, 8):
            if value <= size * factor:
                return size * factor
        size *= 10


def _floor(lowest: float) -> float:
    """Where an axis that ends at 100 begins: at a round number below the lowest share."""
    for bottom in (99.9, 99.0, 98.0, 95.0, 90.0, 80.0, 50.0):
        if lowest >= bottom:
            return bottom
    return 0.0


def _can_draw() -> bool:
    """Whether the output carries more letters than ASCII has."""
    try:
        (LEVELS + "│").encode(_encoding())
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _encoding() -> str:
    return sys.stdout.encoding or "ascii"
