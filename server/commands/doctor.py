"""`release-server doctor`: says what is wrong, and what to do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Final

from server.commands.health import status_of
from server.doctor.encryption import look_at_encryption
from server.doctor.findings import PROBLEM, WARNING, Finding, ok, problem
from server.doctor.machine import look_at_data, look_at_descriptors, look_at_port
from server.doctor.storage import look_at_storage
from server.settings import Settings, SettingWrong, own_flags, parse_flags, settings_from
from server.telemetry.logs import start_logging

SICK: Final = 1
"""The exit code when there is a problem; warnings are none."""

_ANSWER_SECONDS: Final = 5.0


def doctor(flags: Sequence[str]) -> tuple[list[str], int]:
    """Look at everything: a line each finding, and the exit code, 1 when one of them is a problem.

    Raises SettingWrong for flags that there are not only: a wrong setting is a finding.
    """
    own = own_flags()
    own.add_argument("--json", action="store_true", help="Tell it to programs: level, topic and text of each finding.")
    named = parse_flags(flags, program="release-server doctor", own=own)
    start_logging("error")
    findings = list(_look(named))
    code = SICK if any(finding.level == PROBLEM for finding in findings) else 0
    if named.json:
        return [json.dumps([finding._asdict() for finding in findings])], code
    counts = {level: sum(finding.level == level for finding in findings) for level in (PROBLEM, WARNING)}
    told = ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items())
    return [*map(str, findings), told], code


def _look(flags: argparse.Namespace) -> Iterator[Finding]:
    try:
        settings = settings_from(flags)
    except SettingWrong as error:
        yield problem("settings", str(error).rstrip("."))
        return
    yield ok("settings", "can be used together")
    yield from _look_at(settings)


def _look_at(settings: Settings) -> Iterator[Finding]:
    yield from look_at_data(settings)
    yield from look_at_descriptors()
    yield from look_at_encryption(settings)
    yield from look_at_port(settings, lambda: status_of(settings, seconds=_ANSWER_SECONDS))
    yield from look_at_storage(settings)
