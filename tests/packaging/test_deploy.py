"""What deploy/ says can be done: the image's steps run here without Docker, the unit is one that systemd takes."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.server_process import ServerProcess

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "release-registry.service"
LOCKED = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ]+) ", re.MULTILINE)


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile: the word, and what follows on the same or continued lines."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()]


def sources() -> list[tuple[list[str], str]]:
    """What is copied from the repository, and where to."""
    copies = [shlex.split(rest) for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    return [(words[:-1], words[-1]) for words in copies]


def is_sent(path: str) -> bool:
    """Whether .dockerignore leaves the path in what Docker is sent: the last pattern that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.lstrip("!")
        fits = any(fnmatch.fnmatch(part, pattern) for part in (path, *map(str, Path(path).parents)))
        if line and not line.startswith("#") and fits:
            sent = line.startswith("!")
    return sent


def test_whatever_the_image_copies_is_there_and_is_sent() -> None:
    named = [source for words, _ in sources() for source in words]
    assert len(named) > 5
    for source in named:
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    for path in (".git", ".venv", "tests", "README.md", "docs", "data"):
        assert not is_sent(path), path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the steps of the image left what they leave in / there."""
    root = tmp_path_factory.mktemp("image")
    context = root / "src"
    context.mkdir()
    for words, target in sources():
        (context / target).mkdir(parents=True, exist_ok=True) if target.endswith("/") else None
        for source in words:
            if (ROOT / source).is_dir():
                left_out = shutil.ignore_patterns("*_pb2*", "__pycache__", "*.egg-info")
                shutil.copytree(ROOT / source, context / target, ignore=left_out)
            else:
                shutil.copy(ROOT / source, context / target)
    subprocess.run([sys.executable, "-m", "venv", str(root / "app")], check=True)
    # In place of the steps that install the locked packages: this environment has them already.
    (link,) = (root / "app" / "lib").glob("python3*/site-packages")
    (link / "locked.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (root / "build").symlink_to(sys.prefix)
    (step,) = (rest for word, rest in instructions() if word == "RUN" and "pip wheel" in rest)
    commands = re.sub(r"(?<![\w.])/(app|build|wheels)\b", rf"{root}/\1", step)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELEASES_")}
    done = subprocess.run(
        commands, shell=True, cwd=context, env=kept, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "release-server, version" in done.stdout
    return root


def test_the_steps_of_the_image_build_and_install_the_server(built: Path) -> None:
    where = subprocess.run(
        [str(built / "app" / "bin" / "python"), "-c", "import server.app; print(server.app.__file__)"],
        cwd=built,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(built / "app")


def test_what_the_image_starts_serves_and_its_health_check_tells_so_until_it_stops(built: Path, tmp_path: Path) -> None:
    told = dict(instructions())
    (program,), start = json.loads(told["ENTRYPOINT"]), json.loads(told["CMD"])
    assert start == ["serve"]
    check = json.loads(told["HEALTHCHECK"].partition(" CMD ")[2])
    folder = str(built / "app" / "bin")
    environment = dict(each.split("=", 1) for each in shlex.split(told["ENV"]))
    assert environment["PATH"] == "/app/bin:$PATH"
    environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    # A port and a folder of the test's own; beyond loopback it serves plain text only when it is told to.
    server = ServerProcess(tmp_path, environment=environment, defaults=True, program=[f"{folder}/{program}"])
    host, port = environment["RELEASES_LISTEN"].rpartition(":")[0], server.address.rpartition(":")[2]
    server.environment |= {"RELEASES_LISTEN": f"{host}:{port}", "RELEASES_ALLOW_PLAIN_TEXT": "yes"}
    server.environment["RELEASES_DATA"] = str(tmp_path / environment["RELEASES_DATA"].lstrip("/"))

    def health() -> tuple[str, int]:
        done = subprocess.run(
            [shutil.which(check[0], path=folder) or check[0], *check[1:]],
            env=server.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip(), done.returncode

    with server:
        assert health() == ("SERVING", 0), server.output()
        assert server.stop() == 0, server.output()
        said, code = health()
        assert "does not answer" in said
        assert code == 1


def test_the_image_runs_as_nobody_special_and_is_asked_for_its_health() -> None:
    last = instructions()[[word for word, _ in instructions()].index("FROM", 1) :]
    told = dict(last)
    assert told["USER"] == "10001:10001"
    assert told["HEALTHCHECK"].endswith('CMD ["release-server", "health"]')
    assert told["STOPSIGNAL"] == "SIGTERM"
    assert "RELEASES_DATA=/data" in told["ENV"]
    assert told["VOLUME"] == "/data"


@pytest.mark.parametrize("part", ["runtime", "build"])
def test_the_images_locks_are_parts_of_the_one_lock(part: str) -> None:
    whole = dict(LOCKED.findall((ROOT / "requirements.lock").read_text()))
    locked = dict(LOCKED.findall((DEPLOY / f"{part}.lock").read_text()))
    assert len(locked) > 10
    assert {name: version for name, version in locked.items() if whole.get(name) != version} == {}
    needed = {"grpcio", "apsw", "psycopg", "cryptography"} if part == "runtime" else {"hatchling", "grpcio-tools"}
    assert needed - set(locked) == set()
    assert "pytest" not in locked


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    for key in ("ExecStart=/opt/release-registry/venv/bin/release-server serve", "KillMode=mixed", "User="):
        assert key in text
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # a machine without systemd: .ci/run sees to it that CI's has it
        assert os.environ.get("CI") != "true"
        return
    # It looks for the program, which only lies here.
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/release-registry/venv/bin/release-server", f"{sys.prefix}/bin/release-server"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=gently"))
    wrong = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert "kill mode" in wrong.stderr


def test_the_example_of_an_environment_names_settings_that_exist() -> None:
    from server.settings import TABLE

    known = {setting.variable for setting in TABLE}
    named = re.findall(
        r"^#?(RELEASES_[A-Z0-9_]+)=", (DEPLOY / "systemd" / "environment.example").read_text(), re.MULTILINE
    )
    assert len(named) > 5
    assert set(named) - known == set()
