"""Benchmarks run: those with rivals that write the product's tables by hand, which a new column breaks unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bench.__main__ as benchmarks
from bench.__main__ import ALL, BRIEF, run
from bench.figures import Figure

ROOT = Path(__file__).parent.parent.parent
BY_HAND = ("set_commits", "searches", "start", "histories", "comparisons", "sessions", "health")


@pytest.mark.timeout(600)
def test_benchmarks_with_rivals_that_know_our_tables_end_and_write_their_results(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--brief", "--results", str(tmp_path), *BY_HAND]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    kept = json.loads((tmp_path / "figures.json").read_text())
    figures = [Figure(**figure) for figure in kept["figures"]]
    assert kept["failed"] == {}
    assert {figure.benchmark for figure in figures} == set(BY_HAND)
    page = (tmp_path / "figures.md").read_text()
    for figure in figures:
        assert f"| {figure.benchmark} | {figure.what} |" in page
    assert "SetCommits, store / bare SQL" in (tmp_path / "goals.svg").read_text()


WELL = "from bench.figures import tell; tell('upload / discard', [0.5, 0.7, 0.6], at_least=0.5)"


def scripts(monkeypatch: pytest.MonkeyPatch, folder: Path, **programs: str) -> list[str]:
    """Benchmarks that are these programs; their names."""
    for name, program in programs.items():
        (folder / f"{name}.py").write_text(program)
        monkeypatch.setitem(ALL, name, [name])
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")
    return list(programs)


def test_a_benchmark_that_fails_costs_no_figure_of_the_others_and_stands_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = f"{WELL.replace('upload', 'download')}; raise SystemExit(3)"
    names = scripts(monkeypatch, tmp_path, first=WELL, broken=broken, last=WELL)

    figures, failed = run(names, brief=False, results=tmp_path / "results")

    assert [figure.benchmark for figure in figures] == ["first", "broken", "last"]
    assert failed == {"broken": "exit code 3"}
    page = (tmp_path / "results" / "figures.md").read_text()
    assert "| broken | did not end well: exit code 3 | | | **failed** | |" in page
    assert "| last | upload / discard | 0.60 (0.50 to 0.70) | at least 0.5 | reached |" in page
    assert "Failed: broken." in page


def test_results_are_there_before_the_last_benchmark_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "results" / "figures.md"
    look = f"from pathlib import Path; Path({str(tmp_path / 'seen')!r}).write_text(Path({str(page)!r}).read_text())"
    names = scripts(monkeypatch, tmp_path, first=WELL, second=look)

    run(names, brief=False, results=page.parent)

    seen = (tmp_path / "seen").read_text()
    assert "| first | upload / discard |" in seen
    assert "not measured yet: second" in seen
    assert "not measured yet" not in page.read_text()


def test_a_benchmark_that_hangs_is_ended_and_cleans_up_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "cleaned"
    hanging = f"import time, pathlib\ntry:\n  time.sleep(600)\nfinally:\n  pathlib.Path({str(left)!r}).touch()\n"
    names = scripts(monkeypatch, tmp_path, hanging=hanging, next_one=WELL)
    monkeypatch.setattr(benchmarks, "MOST_SECONDS", 8)  # beyond what an interpreter needs to start on a busy machine

    figures, failed = run(names, brief=False, results=None)

    assert list(failed) == ["hanging"]
    assert [figure.benchmark for figure in figures] == ["next_one"]
    assert left.exists()


def test_every_benchmark_has_a_brief_form() -> None:
    assert ALL.keys() == BRIEF.keys()


def test_a_benchmark_that_is_none_is_refused_with_the_names_of_those_that_are() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "uplaod"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 2
    assert "no benchmark uplaod; there are: upload, " in ran.stderr
