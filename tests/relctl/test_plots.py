"""Plots as they look in a terminal."""

from __future__ import annotations

import pytest

from relctl.cli.plots import HEIGHT, Line, bars, lines, sparkline

DAYS = [f"11-{day:02}" for day in range(10, 24)]


@pytest.fixture(autouse=True)
def _eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relctl.cli.plots._encoding", lambda: "ascii")


@pytest.fixture
def utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relctl.cli.plots._encoding", lambda: "utf-8")


def columns_of(drawn: list[str], mark: str) -> set[int]:
    return {place for line in drawn[1:-2] for place, letter in enumerate(line) if letter == mark}


def test_bars_say_what_they_are_and_how_high(utf_8: None) -> None:
    drawn = bars("web: sessions a day", DAYS, [0, 3, 10, 30, 80, 1200, 190, 170, 60, 20, 5, 0, 0, 1])
    assert drawn == [
        "web: sessions a day",
        "     ┌──────────────────────────────────────────────────────────────────────┐",
        "2,000┤                                                                      │",
        "     │                                                                      │",
        "     │                         █████                                        │",
        "1,000┤                         █████                                        │",
        "     │                         █████                                        │",
        "     │                         ███████████████                              │",
        "    0┤     ██████████████████████████████████████████████████          █████│",
        "     └───────┬──────────────┬──────────────┬──────────────┬──────────────┬──┘",
        "           11-11          11-14          11-17          11-20         11-23",
    ]


def test_the_lowest_number_is_seen_and_nothing_is_not(utf_8: None) -> None:
    drawn = bars("", ["a", "b", "c"], [1, 0, 1_000_000])
    (left, right) = [drawn[HEIGHT - 2].index("█"), drawn[HEIGHT - 2].rindex("█")]
    assert left < 20 < 60 < right
    assert " " * 15 in drawn[HEIGHT - 2][left:right], "b is empty"


@pytest.mark.parametrize("columns", [20, 40, 57, 80, 110, 300])
@pytest.mark.parametrize("count", [1, 7, 14, 24, 30, 48, 90, 1000])
def test_plots_keep_to_the_width_of_the_terminal(
    utf_8: None, monkeypatch: pytest.MonkeyPatch, columns: int, count: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    labels = [f"11-{place % 28:02} 00:00" for place in range(count)]
    width = min(max(columns, 40), 110)
    drawn = bars("", labels, [7 * place for place in range(count)])
    assert len(drawn) == HEIGHT + 1
    assert max(map(len, drawn)) <= width
    drawn = lines("", labels, [Line("sessions", [99.5] * count), Line("users", [None] * count)])
    assert len(drawn) == HEIGHT + 1
    assert max(map(len, drawn)) <= width
    assert columns_of(drawn, "*") != set()


def test_a_line_has_gaps_where_nothing_was_told(utf_8: None) -> None:
    drawn = lines("web: crash-free", DAYS, [Line("sessions", [99.0] * 3 + [None] * 8 + [99.0] * 3)])
    marked = columns_of(drawn, "*")
    inside = max(marked) - min(marked)
    middle = {place for place in marked if 0.25 < (place - min(marked)) / inside < 0.75}
    assert middle == set()
    assert len(marked) > 14, "neighbours are joined"


def test_a_single_value_is_a_mark(utf_8: None) -> None:
    drawn = lines("", ["now"], [Line("sessions", [97.5])])
    assert len(columns_of(drawn, "*")) == 1


def test_two_lines_are_told_apart(utf_8: None) -> None:
    drawn = lines("web: crash-free", DAYS, [Line("sessions", [99.0] * 14), Line("users", [97.0] * 14)])
    assert drawn[0] == "web: crash-free: * sessions, o users"
    assert columns_of(drawn, "*")
    assert columns_of(drawn, "o")


@pytest.mark.parametrize(
    ("lowest", "bottom"), [(100.0, "99.9 %"), (99.5, "99 %"), (98.2, "98 %"), (91, "90 %"), (60, "50 %"), (3, "0 %")]
)
def test_an_axis_of_shares_begins_just_below_the_lowest(utf_8: None, lowest: float, bottom: str) -> None:
    drawn = lines("", DAYS[:2], [Line("sessions", [lowest, 100.0])])
    assert [line.split("┤")[0].strip() for line in drawn if "┤" in line] == [
        "100 %",
        f"{(float(bottom.split(maxsplit=1)[0]) + 100) / 2:g} %",
        bottom,
    ]


def test_adoption_is_plotted_from_nothing_to_all(utf_8: None) -> None:
    drawn = lines("", DAYS[:2], [Line("sessions", [99.0, 100.0])], floor=0)
    assert [line.split("┤")[0].strip() for line in drawn if "┤" in line] == ["100 %", "50 %", "0 %"]


def test_no_shares_are_no_plot(utf_8: None) -> None:
    assert lines("web: crash-free", DAYS, [Line("sessions", [None] * 14)]) == []


def test_a_terminal_that_only_has_ascii_gets_ascii(ascii_only: None) -> None:
    drawn = "\n".join(
        [
            *bars("", DAYS, [place * 100 for place in range(14)]),
            *lines("", DAYS, [Line("sessions", [98.0] * 14), Line("users", [99.0] * 14)]),
            sparkline([0, 1, 2, 3]),
        ]
    )
    assert drawn.isascii()
    assert "#" in drawn
    assert "+---" in drawn


def test_nothing_of_a_plot_steers_the_terminal(utf_8: None) -> None:
    assert "\x1b" not in "".join(bars("", DAYS, list(range(14))))


def test_a_sparkline_shows_what_is_not_nothing(utf_8: None) -> None:
    assert sparkline([0, 1, 2, 100, 0]) == "▁▂▂█▁"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
