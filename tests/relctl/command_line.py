"""The command line in the process of the test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from relctl.cli import run
from tests.rpc.wire import OPERATOR_TOKEN, Served


@dataclass(frozen=True)
class Ran:
    """What a run ended with."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of JSON on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


class Relctl:
    """Called with arguments it runs, and answers what came of it."""

    def __init__(self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._monkeypatch = monkeypatch

    def at(self, server: Served, token: str = OPERATOR_TOKEN) -> Relctl:
        """Use this server from now on, with this token."""
        self._monkeypatch.setenv("RELCTL_SERVER", server.address)
        self._monkeypatch.setenv("RELCTL_TOKEN", token)
        return self

    def __call__(self, *arguments: object) -> Ran:
        self._capture.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = self._capture.readouterr()
        return Ran(code, captured.out, captured.err)

    def ok(self, *arguments: object) -> Ran:
        """Run what must succeed."""
        ran = self(*arguments)
        assert ran.code == 0, ran.err
        return ran

    def json(self, *arguments: object) -> list[dict[str, Any]]:
        """Run what must succeed with --json; answers the objects."""
        return self.ok(*arguments, "--json").objects

    def fails(self, code: int, reason: str, *arguments: object) -> str:
        """Run what must fail; answers its one line of explanation."""
        ran = self(*arguments)
        assert (ran.code, ran.out) == (code, ""), ran
        (line,) = ran.err.splitlines()
        assert line.startswith(f"relctl: {reason}: "), line
        return line


def listed(ctl: Relctl, *flags: object) -> list[str]:
    """The versions that a list of releases shows."""
    return ctl.ok("release", "list", "--versions", *flags).out.splitlines()


def rows(text: str) -> dict[str, str]:
    """The lines of a table of two columns."""
    parts = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {title.strip(): value.strip() for title, value in parts}
