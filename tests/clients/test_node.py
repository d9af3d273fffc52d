"""The whole journey with the Node client of examples/node, which is made of the protos alone."""

from __future__ import annotations

import re

import pytest

from tests.clients.programs import BUILD_SECONDS, JOURNEY, LANGUAGES, built, run
from tests.server_process import ServerProcess

NODE = LANGUAGES["node"]


@pytest.mark.timeout(BUILD_SECONDS + 120)
def test_a_node_client_makes_the_whole_journey(server_process: ServerProcess) -> None:
    built(NODE)
    steps = re.findall(r"^  '(.+)': async", JOURNEY.read_text(encoding="utf-8"), re.MULTILINE)

    lines = run(
        NODE,
        ["node", JOURNEY.name, server_process.address],
        seconds=100,
        REGISTRY_TOKEN=server_process.token,
    ).splitlines()

    assert lines == [f"ok: {step}" for step in steps]
