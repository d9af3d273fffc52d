"""The results of a run of all benchmarks: a table, plots and the figures themselves, into `bench/results`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure as Plot
from matplotlib.ticker import NullLocator

from bench.figures import Figure

RESULTS: Final = Path(__file__).parent / "results"
REACHED, MISSED, NEUTRAL = "#2a7f62", "#c1432e", "#5b6c8f"


def write(
    figures: Sequence[Figure],
    failed: Mapping[str, str],
    particulars: Mapping[str, str],
    *,
    main: Collection[str],
    folder: Path,
) -> None:
    """`figures.json`, `figures.md`, `goals.svg` and `rates.svg`. `failed` names the benchmarks that did not end well,
    and why, `main` those whose figures come first, and are plotted."""
    # The same figures make the same files, letter by letter.
    mpl.rcParams["svg.hashsalt"] = "release-registry"
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"particulars": dict(particulars), "failed": dict(failed), "figures": list(map(dataclasses.asdict, figures))}
    (folder / "figures.json").write_text(json.dumps(kept, indent=1) + "\n")
    (folder / "figures.md").write_text(_page(figures, failed, particulars, main))
    _plot_goals([figure for figure in figures if figure.bound and figure.benchmark in main], folder / "goals.svg")
    _plot_rates([figure for figure in figures if figure.unit == " MB/s"], folder / "rates.svg")


def _page(
    figures: Sequence[Figure], failed: Mapping[str, str], particulars: Mapping[str, str], main: Collection[str]
) -> str:
    goals = [figure for figure in figures if figure.goal]
    reached = sum(bool(figure.reached) for figure in goals)
    lines = [
        "# Figures",
        "",
        (
            "Written by `make bench`. Ratios of the product and its peers, measured in one run; a ratio is the median "
            "of its rounds, in brackets the least and the greatest."
        ),
        "",
        f"**{reached} of {len(goals)} goals reached.**" + (f" Failed: {', '.join(failed)}." if failed else ""),
        "",
        *(f"- {name}: {value}" for name, value in particulars.items()),
        "",
        "![Figures against their goals](goals.svg)",
        "",
        "![Rates up and down](rates.svg)",
        "",
        "| benchmark | figure | result | goal | | load |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(figure) for figure in goals if figure.benchmark in main),
        *(f"| {name} | did not end well: {why} | | | **failed** | |" for name, why in failed.items()),
        "",
        "## Further goals",
        "",
        "| benchmark | figure | result | goal | | load |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(figure) for figure in goals if figure.benchmark not in main),
        "",
        "## Without a goal",
        "",
        "| benchmark | figure | result | load |",
        "| --- | --- | --- | --- |",
        *(
            f"| {figure.benchmark} | {figure.what} | {_result(figure)} | {figure.load:.1f} |"
            for figure in figures
            if not figure.goal
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(figure: Figure) -> str:
    mark = "reached" if figure.reached else "**missed**"
    cells = (figure.benchmark, figure.what, _result(figure), figure.goal, mark, f"{figure.load:.1f}")
    return f"| {' | '.join(cells)} |"


def _result(figure: Figure) -> str:
    spread = f" ({_short(figure.least)} to {_short(figure.most)})" if figure.least < figure.most else ""
    return f"{_short(figure.value)}{figure.unit}{spread}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _plot_goals(figures: Sequence[Figure], file: Path) -> None:
    """How far each figure is beyond its goal, as a factor; left of the line is short of it."""
    if not figures:
        return
    names = [f"{figure.what}  ({figure.goal.replace('at least', '≥').replace('at most', '≤')})" for figure in figures]
    beyond = [_beyond(figure) for figure in figures]
    plot = Plot(figsize=(11, 1.2 + 0.24 * len(figures)), layout="constrained")
    axes = plot.add_subplot()
    colors = [REACHED if figure.reached else MISSED for figure in figures]
    axes.barh(range(len(figures)), [each - 1 for each in beyond], left=1, color=colors, height=0.65)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    low, high = math.floor(math.log2(min(*beyond, 0.5))), math.ceil(math.log2(max(*beyond, 2)))
    ticks = [2.0**power for power in range(low, high + 1)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(figures)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("times as good as the goal")
    _save(plot, file)


def _beyond(figure: Figure) -> float:
    assert figure.bound, "only figures with a goal are plotted against it"
    value = max(figure.value, 1e-3)  # a figure of nothing at all, such as no memory more, has no logarithm
    return value / figure.bound if figure.direction == "at least" else figure.bound / value


def _plot_rates(figures: Sequence[Figure], file: Path) -> None:
    """Megabytes a second of the product and its peers, of one stream."""
    shown = [figure for figure in figures if figure.benchmark == "upload"]
    if not shown:
        return
    plot = Plot(figsize=(8, 0.8 + 0.3 * len(shown)), layout="constrained")
    axes = plot.add_subplot()
    ours = {"upload", "download", "download, unverified"}
    colors = [REACHED if figure.what in ours else NEUTRAL for figure in shown]
    bars = axes.barh([figure.what for figure in shown], [figure.value for figure in shown], color=colors, height=0.65)
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("MB/s, one stream")
    _save(plot, file)


def _save(plot: Plot, file: Path) -> None:
    plot.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
