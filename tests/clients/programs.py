"""The programs of examples/go, examples/java and examples/node, built as their READMEs say, outside the sources.

Each has its folder below .build/clients, beside a copy of the protos and the caches of its tools; it is built anew when
its sources, its lock file or the protos changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.readme import ROOT

BUILT = ROOT / ".build" / "clients"
BUILD_SECONDS = 600
JOURNEY = Path(__file__).parent / "node" / "journey.mjs"
# Where `make go` puts a Go, for a machine whose own is too old.
GO = ROOT / ".build" / "go" / "bin"
# What is generated, in the sources of somebody who followed a README.
GENERATED = {"gen", "target", "node_modules"}


@dataclass(frozen=True, slots=True)
class Language:
    """How a program is built and started; `tools` are what it takes, from which version, and how each says its."""

    name: str
    tools: Sequence[tuple[str, tuple[int, ...], Sequence[str]]]
    build: Sequence[Sequence[str]]
    start: Sequence[str]
    environment: Mapping[str, str]

    @property
    def sources(self) -> Path:
        """The example."""
        return ROOT / "examples" / self.name

    @property
    def folder(self) -> Path:
        """Where it is built."""
        return BUILT / "examples" / self.name


LANGUAGES = {
    "go": Language(
        "go",
        tools=(("go", (1, 26), ("go", "version")),),
        build=(("go", "generate", "./..."), ("go", "build", "-o", "registry-client", ".")),
        start=("./registry-client",),
        environment={
            "GOMODCACHE": str(BUILT / "go-modules"),
            "GOCACHE": str(BUILT / "go-build"),
            "GOFLAGS": "-modcacherw -buildvcs=false",  # make clean must be able to remove what it fetched
        },
    ),
    "java": Language(
        "java",
        tools=(("javac", (17,), ("javac", "-version")), ("mvn", (3, 8), ("mvn", "--version"))),
        build=(("mvn", "-q", "-B", "-ntp", f"-Dmaven.repo.local={BUILT / 'maven'}", "package"),),
        start=("java", "-jar", "target/registry-client.jar"),
        environment={},
    ),
    "node": Language(
        "node",
        tools=(("node", (18,), ("node", "--version")), ("npm", (8,), ("npm", "--version"))),
        build=(("npm", "ci"),),
        start=("node", "release.mjs"),
        environment={"npm_config_cache": str(BUILT / "npm")},
    ),
}


def built(language: Language) -> Path:
    """The folder of the program, ready to start. Skips where a tool is missing, which CI must not do."""
    if (missing := _missing(language)) is not None:
        # A machine that is to prove everything must not pass by lacking a tool.
        assert os.environ.get("CI") != "true", f"{missing}, and CI runs every client"
        pytest.skip(f"{missing}: the client in examples/{language.name} was not run")
    BUILT.mkdir(parents=True, exist_ok=True)
    with _alone(BUILT / f"{language.name}.lock"):
        stamp, wanted = language.folder / ".built", _fingerprint(language)
        if not stamp.exists() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            _lay_out(language)
            for command in language.build:
                run(language, command, seconds=BUILD_SECONDS)
            stamp.write_text(wanted)
    return language.folder


def run(language: Language, command: Sequence[str], *, seconds: float, **environment: str) -> str:
    """What a command prints that has to succeed, in the program's folder."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "RELEASES_"))}
    done = subprocess.run(
        command,
        cwd=language.folder,
        env={
            **settings,
            **language.environment,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), _path()]),  # buf is a wheel
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def _path() -> str:
    return os.pathsep.join([str(GO), os.environ["PATH"]])


def _missing(language: Language) -> str | None:
    for tool, lowest, how in language.tools:
        if shutil.which(tool, path=_path()) is None:
            return f"{tool} is not installed"
        environment = {**os.environ, "PATH": _path()}
        done = subprocess.run(how, env=environment, capture_output=True, text=True, timeout=60, check=False)
        found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
        if found is None or tuple(int(part) for part in found[0].split(".")) < lowest:
            return f"{tool} {'.'.join(map(str, lowest))} is needed, this is {found[0] if found else 'unknown'}"
    return None


def _inputs(language: Language) -> Iterator[tuple[Path, Path]]:
    """What the program is built of, and where it lies below BUILT: as in the sources, for it names the protos so."""
    for source in sorted(language.sources.rglob("*")):
        inside = source.relative_to(language.sources)
        if source.is_file() and not GENERATED & set(inside.parts):
            yield source, Path("examples", language.name, inside)
    if language.name == "node":
        yield JOURNEY, Path("examples", "node", JOURNEY.name)
    for suffix in ("proto", "json"):
        for source in sorted((ROOT / "protos").rglob(f"*.{suffix}")):
            yield source, Path(source.relative_to(ROOT))


def _fingerprint(language: Language) -> str:
    digest = hashlib.sha256(repr((language.build, [str(inside) for _, inside in _inputs(language)])).encode())
    for source, _ in _inputs(language):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def _lay_out(language: Language) -> None:
    shutil.rmtree(language.folder, ignore_errors=True)
    for source, inside in _inputs(language):
        target = BUILT / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        # In one step: a build of another language may be reading the protos.
        part = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copyfile(source, part)
        part.replace(target)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else builds this program meanwhile."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
