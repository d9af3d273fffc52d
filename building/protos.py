"""Python stubs of the contract, generated next to the protos and never committed.

Run as a program (``make protos``) it generates them when they are missing or their protos have changed. Loaded by
hatchling it is the build hook of the client's distribution (``relctl/pyproject.toml``), so a wheel or an editable
install never lacks its stubs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shlex
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STAMP = ROOT / ".build" / "protos.stamp"
PACKAGE = "releaseregistry"

# What one proto becomes: messages, their types, stubs and servicers, and their types.
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
GENERATORS = ("grpcio-tools", "mypy-protobuf")


class GenerationFailed(Exception):
    """protoc refused the protos; the text is what protoc said."""


class ClientBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # the builder's configuration is of no interest here
    """Puts the two packages of the client's distribution into its wheel: relctl, and the stubs beside their protos."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring the stubs up to date and name the wheel's files; the build fails when protoc refuses the protos."""
        generate()
        if version == "editable":
            return  # its paths lead here; copies would come first on the path, and stay when a proto changes
        # Named here and not in pyproject.toml: there a folder comes whole, with caches and the pyproject itself.
        for parent, package in ((ROOT, "relctl"), (PROTOS, PACKAGE)):
            for path in sorted((parent / package).rglob("*")):
                if path.suffix in {".py", ".pyi", ".proto", ".typed", ".json"}:
                    build_data["force_include"][str(path)] = str(path.relative_to(parent))


def generate() -> bool:
    """Bring the stubs up to date with the protos; True when they were generated anew.

    Every stub is replaced in one step once all of them exist, so a process that imports them meanwhile never meets half
    a file. Stubs of protos that are gone are removed. Raises GenerationFailed and changes nothing when protoc refuses.
    """
    sources = sorted((PROTOS / PACKAGE).rglob("*.proto"))
    if not sources:
        raise GenerationFailed(f"no .proto file below {PROTOS / PACKAGE}")
    expected = [stub for source in sources for stub in _stubs_of(source)]
    digest = _digest(sources)
    if STAMP.exists() and STAMP.read_text() == digest and all(stub.exists() for stub in expected):
        return False

    STAMP.parent.mkdir(exist_ok=True)
    # Below the root, because a rename is one step only within a file system.
    with tempfile.TemporaryDirectory(dir=STAMP.parent) as scratch:
        output = Path(scratch)
        _run_protoc(sources, output)
        for stub in expected:
            (output / stub.relative_to(PROTOS)).replace(stub)
    for stale in set(_existing_stubs()) - set(expected):
        stale.unlink()
    STAMP.write_text(digest)
    return True


def _stubs_of(source: Path) -> list[Path]:
    return [source.with_name(source.stem + suffix) for suffix in SUFFIXES]


def _existing_stubs() -> list[Path]:
    return [path for suffix in SUFFIXES for path in (PROTOS / PACKAGE).rglob(f"*{suffix}")]


def _digest(sources: list[Path]) -> str:
    """Digest of all that the stubs depend on; contents, not times, because a checkout sets times as it likes."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in GENERATORS:
        digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    for source in sources:
        digest.update(f"{source.relative_to(PROTOS)}\n".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _run_protoc(sources: list[Path], output: Path) -> None:
    plugin = output / "protoc-gen-mypy_grpc"
    # Our own launcher, because the installed script is found through PATH, which may lead into another environment.
    python = shlex.quote(sys.executable)
    plugin.write_text(f'#!/bin/sh\nexec {python} -c "from mypy_protobuf.main import grpc; grpc()"\n')
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={PROTOS}",
        f"--plugin=protoc-gen-mypy_grpc={plugin}",
        f"--python_out={output}",
        f"--pyi_out={output}",
        f"--grpc_python_out={output}",
        f"--mypy_grpc_out=quiet:{output}",
        *(str(source.relative_to(PROTOS)) for source in sources),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROTOS)
    if finished.returncode != 0:
        raise GenerationFailed(finished.stderr.strip() or f"protoc ended with {finished.returncode}")


def main() -> None:
    """Generate the stubs and say so in one line; with ``--quiet`` say nothing when there is nothing to do."""
    try:
        generated = generate()
    except GenerationFailed as failure:
        sys.exit(f"protos: {failure}")
    if generated:
        print("protos: stubs generated")
    elif "--quiet" not in sys.argv[1:]:
        print("protos: stubs are up to date")


if __name__ == "__main__":
    main()
