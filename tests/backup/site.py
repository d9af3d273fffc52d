"""A server that is backed up and restored, and what is put into it and must be there again."""

from __future__ import annotations

import io
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from server.__main__ import main
from server.telemetry.audit import start_audit
from tests.backup.installation import Installation
from tests.crash.client import Client, bytes_of, new_id
from tests.server_process import SERVER, ServerProcess


class Done(NamedTuple):
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


class Site:
    """A server in a process of its own on an installation, and the operator's commands beside it."""

    def __init__(self, installation: Installation, *, programs: Path | None = None) -> None:
        url = installation.database_url
        self.server = ServerProcess(
            installation.folder,
            database=url if url.startswith("postgresql") else None,
            environment={f"RELEASES_{name.upper()}": value for name, value in installation.settings.items()},
        )
        self._programs = programs

    def run(self, *words: str, **more: str) -> Done:
        """A command with the settings of the server, in this process: a start of the program takes a second."""
        out, err = io.StringIO(), io.StringIO()
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            with (
                patch.dict(os.environ, self.environment(**more), clear=True),
                redirect_stdout(out),
                redirect_stderr(err),
            ):
                main(words)
        except SystemExit as ended:
            return Done(int(ended.code or 0), out.getvalue(), err.getvalue())
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            logging.captureWarnings(capture=False)
            start_audit(None)
        raise AssertionError("the program exits")

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The same in a process of its own."""
        return subprocess.run(
            [str(SERVER), *words], env=self.environment(), capture_output=True, text=True, timeout=90, check=False
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a command. Without `programs` it finds none of PostgreSQL's."""
        path = str(self._programs) if self._programs is not None else "/nowhere"
        return {**self.server.environment, "PATH": path, **more}

    @contextmanager
    def client(self) -> Iterator[Client]:
        with self.server.channel() as channel:
            yield Client(self.server, channel)


FIRST = "app@1.0.0"

FILES = {"small.txt": 5_000, "middle.bin": 300_000, "large.bin": 3_000_000}


def fill(site: Site, release: str = FIRST) -> dict[str, bytes]:
    """A release with files, the first one with its organization; what is in the files by their names."""
    contents = {}
    with site.client() as client:
        if release == FIRST:
            client.make_organization("acme", "web")
        made = client.make_release("organizations/acme", release, "web")
        for name, size in FILES.items():
            content = bytes_of(size, f"{release} {name}")
            contents[client.upload(made, name, content, upload_id=new_id())] = content
    return contents


def assert_there(site: Site, contents: Mapping[str, bytes]) -> None:
    with site.client() as client:
        assert {name: client.download(name) for name in contents} == contents


def assert_sound(done: Done) -> None:
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.splitlines()[-1].endswith("; 0 findings, 0 mended")
