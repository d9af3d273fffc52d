"""docs/performance.md names the benchmarks that there are, and links to what they write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from bench import report
from bench.__main__ import ALL, MAIN
from bench.figures import Figure

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "performance.md").read_text()
LINKS = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
RESULTS = "../bench/results/"


def modules(names: Iterable[str]) -> set[str]:
    return {ALL[name][0] for name in names}


def test_every_benchmark_is_named_and_no_other() -> None:
    named = {f"bench.{name}" for name in re.findall(r"`bench\.(\w+)`", PAGE)}
    assert named == modules(ALL)


def test_every_goal_names_benchmarks_of_the_main_ones() -> None:
    table = re.search(r"^## Goals$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert table
    rows = re.findall(r"^\| .+ \| (`.+`) \|$", table[1], re.MULTILINE)
    assert len(rows) == 12
    named = {f"bench.{name}" for row in rows for name in re.findall(r"`bench\.(\w+)`", row)}
    assert named == modules(MAIN)


def test_results_that_are_linked_to_are_what_a_run_writes(tmp_path: Path) -> None:
    figures = [
        Figure("upload", "upload / BuildGrid's Write", 2.0, 1.9, 2.1, "", "at least", 1.6, 1.0),
        Figure("upload", "upload", 300.0, 290.0, 310.0, " MB/s", None, None, 1.0),
    ]
    report.write(figures, {}, {}, main=frozenset(MAIN), folder=tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    linked = {link.removeprefix(RESULTS) for link in LINKS if link.startswith(RESULTS)}
    assert linked == written - {"figures.json"}


def test_whatever_else_is_linked_to_is_there() -> None:
    others = [link for link in LINKS if not link.startswith((RESULTS, "http"))]
    assert len(others) > 3
    for link in others:
        assert (ROOT / "docs" / link).exists(), link


def test_kept_results_have_each_benchmark_or_say_that_they_lack_it() -> None:
    assert {path.name for path in report.RESULTS.iterdir()} == {"figures.json", "figures.md", "goals.svg", "rates.svg"}
    kept = json.loads((report.RESULTS / "figures.json").read_text())
    lacking = set(filter(None, kept["particulars"].get("not measured yet", "").split(", ")))
    assert {figure["benchmark"] for figure in kept["figures"]} == ALL.keys() - lacking - kept["failed"].keys()
