"""What relctl tells of itself."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from tests.relctl.command_line import Relctl


@pytest.mark.parametrize("words", [(), ("release",), ("release", "create")])
def test_help_has_a_short_flag_everywhere(relctl: Relctl, words: tuple[str, ...]) -> None:
    assert relctl.ok(*words, "-h").out == relctl.ok(*words, "--help").out


def test_the_version_is_told(relctl: Relctl) -> None:
    assert relctl.ok("--version").out == f"relctl, version {version('release-registry-client')}\n"


def test_an_answer_of_no_has_a_documented_exit_code(relctl: Relctl) -> None:
    assert "1 refused by the server, or by you when asked" in relctl.ok("--help").out
