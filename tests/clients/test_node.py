"""The whole journey with a Node client made of the protos alone (tests/clients/node)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import google.rpc
import pytest

from tests.clients.readme import ROOT
from tests.server_process import ServerProcess

CLIENT = Path(__file__).parent / "node"
INSTALL_SECONDS = 240


@pytest.fixture(scope="session")
def client() -> Path:
    """The client with its packages as package-lock.json pins them, installed once a lock file, outside the sources."""
    if shutil.which("npm") is None:
        # A machine that is to prove everything must not pass by lacking a tool.
        assert os.environ.get("CI") != "true", "npm is missing, and CI runs every client"
        pytest.skip("npm is not installed: the Node client was not run")
    lock = hashlib.sha256((CLIENT / "package-lock.json").read_bytes()).hexdigest()[:16]
    installed = ROOT / ".build" / "clients" / f"node-{lock}"
    installed.mkdir(parents=True, exist_ok=True)
    for source in CLIENT.iterdir():
        if source.is_file():
            shutil.copyfile(source, installed / source.name)
    ready = installed / ".ready"
    if not ready.exists():
        done = subprocess.run(
            ["npm", "ci"], cwd=installed, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
        )
        assert done.returncode == 0, done.stdout + done.stderr
        ready.touch()
    return installed


@pytest.mark.timeout(INSTALL_SECONDS + 120)
def test_a_node_client_makes_the_whole_journey(client: Path, server_process: ServerProcess) -> None:
    steps = re.findall(r"^  '(.+)': async", (client / "journey.mjs").read_text(encoding="utf-8"), re.MULTILINE)

    done = subprocess.run(
        ["node", "journey.mjs", server_process.address, str(ROOT / "protos"), googleapis()],
        cwd=client,
        env={"PATH": os.environ["PATH"], "REGISTRY_TOKEN": server_process.token},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"ok: {step}" for step in steps]


def googleapis() -> str:
    """The folder that google/rpc/*.proto lie in: Google's own, of the package that the server is built with."""
    folders = [Path(folder).parents[1] for folder in google.rpc.__path__]
    (found,) = [folder for folder in folders if (folder / "google/rpc/error_details.proto").exists()]
    return str(found)
