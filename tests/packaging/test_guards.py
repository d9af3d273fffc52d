"""The guards of `make lint` hold: each refuses what it is there to refuse, tried on a copy of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
RELEASES = "protos/releaseregistry/v1/releases.proto"

# What each contract of imports forbids, by its name: a module, and what may not stand in it.
FORBIDDEN = {
    "The store knows no gRPC, no protos, no server": ("store/clock.py", "import grpc"),
    "The client knows the contract only": ("relctl/names.py", "import store.clock"),
    "The server does not know its client": ("server/edge/idle.py", "import relctl.names"),
    "The server asks the store, never its tables or drivers": ("server/telemetry/logs.py", "import peewee"),
    "server.app composes; nothing but the program imports it": ("server/names.py", "import server.app"),
}


def run(folder: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(TOOLS / tool), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """A copy of the contract."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("*.py", "*.pyi", "__pycache__"))
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{old} stands {text.count(old)} times in {file.name}"
    file.write_text(text.replace(old, new))


def test_the_contract_as_it_is_breaks_nothing_and_is_commented(contract: Path) -> None:
    breaking = run(contract, "buf", "breaking", "--against", str(ROOT / "protos" / "frozen.binpb"))
    assert (breaking.returncode, breaking.stdout) == (0, "")
    lint = run(contract, "buf", "lint")
    assert (lint.returncode, lint.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("string ref = 6 ", "string ref = 60 ", 'field "6"'),
        ("string ref = 6 ", "bytes ref = 6 ", '"ref"'),
        ("string ref = 6 ", "string branch = 6 ", '"branch"'),
        ("RELEASE_STATUS_ARCHIVED = 2;", "RELEASE_STATUS_ARCHIVED = 3;", '"2"'),
    ],
    ids=["renumbered", "of another type", "renamed", "a renumbered value"],
)
def test_a_changed_field_or_value_breaks_the_contract(contract: Path, old: str, new: str, told: str) -> None:
    change(contract / RELEASES, old, new)
    frozen = contract / "before.binpb"
    assert run(ROOT, "buf", "build", "--exclude-source-info", "-o", str(frozen)).returncode == 0
    breaking = run(contract, "buf", "breaking", "--against", str(frozen))
    assert breaking.returncode != 0
    assert told in breaking.stdout


@pytest.mark.parametrize(
    ("comment", "told"),
    [
        ("  // A branch, a tag, or any text of at most 200 characters.\n", 'Field "ref"'),
        ("  // In use.\n", 'Enum value "RELEASE_STATUS_OPEN"'),
    ],
)
def test_a_field_or_value_without_a_comment_is_refused(contract: Path, comment: str, told: str) -> None:
    change(contract / RELEASES, comment, "")
    lint = run(contract, "buf", "lint")
    assert lint.returncode != 0
    assert told in lint.stdout


def test_every_contract_of_imports_refuses_what_it_forbids(tmp_path: Path) -> None:
    for package in ("server", "store", "relctl"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [contract["name"] for contract in contracts] == list(FORBIDDEN)

    whole = run(tmp_path, "lint-imports", "--no-cache")
    assert whole.returncode == 0, whole.stdout
    assert [name for name in FORBIDDEN if f"{name} KEPT" not in whole.stdout] == []

    for module, statement in FORBIDDEN.values():
        with (tmp_path / module).open("a") as file:
            file.write(f"\n{statement}\n")
    broken = run(tmp_path, "lint-imports", "--no-cache")
    assert broken.returncode != 0
    assert [name for name in FORBIDDEN if f"{name} BROKEN" not in broken.stdout] == [], broken.stdout


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("pickle.loads(data)", "S301"),
        ("eval(data)", "S307"),
        ("exec(data)", "S102"),
        ("yaml.load(data)", "S506"),
        ("marshal.loads(data)", "S302"),
        ("subprocess.run(data, shell=True)", "S602"),
        ("reader.execute(\"SELECT * FROM release WHERE version = '%s'\" % data)", "S608"),
    ],
)
def test_what_would_let_data_run_as_a_program_is_refused(line: str, rule: str) -> None:
    program = f"import marshal, pickle, subprocess, yaml\n\n\ndef read(data, reader):\n    {line}\n"
    # As a file of the store is linted: its name decides what is forgiven there.
    command = [str(TOOLS / "ruff"), "check", "--output-format", "concise", "--stdin-filename", "store/read.py", "-"]
    done = subprocess.run(command, cwd=ROOT, input=program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f" {rule} " in done.stdout
