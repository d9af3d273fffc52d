"""Real git repositories for tests, with the commits that a history can hold."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Repository:
    """A git repository in a folder of its own, untouched by the settings of whoever runs the tests."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._seconds = 1_600_000_000

    @classmethod
    def new(cls, folder: Path) -> Repository:
        repository = cls(folder)
        repository.git("init", "--quiet", "--initial-branch=main")
        return repository

    def git(self, *arguments: str | bytes, data: bytes | None = None, **environment: str) -> bytes:
        finished = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            input=data,
            capture_output=True,
            check=False,
            env={**os.environ, **self._environment(), **environment},
        )
        assert finished.returncode == 0, finished.stderr.decode(errors="replace")
        return finished.stdout

    def text(self, *arguments: str) -> str:
        return self.git(*arguments).decode().strip()

    def write(self, path: str | bytes, content: str = "content") -> None:
        target = self.folder / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def commit(self, message: str | bytes = "change", *options: str, **environment: str) -> str:
        """Commit everything there is, a minute after the one before; answers the commit's id."""
        self._seconds += 60
        self.git("add", "--all")
        data = message if isinstance(message, bytes) else message.encode()
        self.git(
            "commit",
            "--quiet",
            "--allow-empty",
            "--allow-empty-message",
            "--cleanup=verbatim",
            "--file=-",
            *options,
            data=data,
            **environment,
        )
        return self.text("rev-parse", "HEAD")

    def _environment(self) -> dict[str, str]:
        return {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada Lovelace",
            "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_COMMITTER_NAME": "Committer",
            "GIT_COMMITTER_EMAIL": "committer@example.com",
            "GIT_AUTHOR_DATE": f"{self._seconds - 1000} +0200",
            "GIT_COMMITTER_DATE": f"{self._seconds} +0000",
        }
