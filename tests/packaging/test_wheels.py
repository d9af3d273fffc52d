"""Both distributions, built and installed as a user gets them: nothing of this checkout or its environment helps."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.server_process import own_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0

# Building, two environments and an install from the package index: minutes on a slow line.
pytestmark = pytest.mark.timeout(600)


class InstalledWheels:
    """An environment that holds nothing but some wheels of ours and what they depend on."""

    def __init__(self, folder: Path, wheels: list[Path]) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        constraints = folder / "constraints.txt"
        # The versions we test with, without their hashes: pip would demand one of our own wheels too.
        lock = (ROOT / "requirements.lock").read_text()
        constraints.write_text("\n".join(re.findall(r"^[a-z0-9].*?(?= \\$)", lock, re.MULTILINE)))
        self.run("python", "-m", "pip", "install", "--quiet", "-c", str(constraints), *(str(wheel) for wheel in wheels))

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RELEASES_"))}

    def program(self, name: str) -> str:
        return str(self.folder / "venv" / "bin" / name)

    def run(self, program: str, *arguments: str) -> str:
        finished = subprocess.run(
            [self.program(program), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, f"{program} {arguments}: {finished.stdout}{finished.stderr}"
        return finished.stdout

    def modules(self, *names: str) -> set[str]:
        """The names among these that can be imported."""
        source = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n)))"
        return set(self.run("python", "-c", source, *names).split())


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(folder), ".", "./relctl"], cwd=ROOT, check=True)
    return {wheel.name.split("-")[0]: wheel for wheel in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def client(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> InstalledWheels:
    return InstalledWheels(tmp_path_factory.mktemp("client"), [wheels["release_registry_client"]])


@pytest.fixture(scope="module")
def server(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> InstalledWheels:
    return InstalledWheels(tmp_path_factory.mktemp("server"), list(wheels.values()))


def test_each_package_is_in_one_wheel_only(wheels: dict[str, Path]) -> None:
    packages = {
        name: {path.split("/")[0] for path in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in path}
        for name, wheel in wheels.items()
    }
    assert packages == {
        "release_registry": {"server", "store"},
        "release_registry_client": {"relctl", "releaseregistry"},
    }


def test_the_client_wheel_carries_every_proto_with_its_stubs_and_no_build_file(wheels: dict[str, Path]) -> None:
    inside = set(zipfile.ZipFile(wheels["release_registry_client"]).namelist())
    protos = {str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos").rglob("*.proto")}
    assert protos
    for proto in protos:
        stem = proto.removesuffix(".proto")
        assert {f"{stem}_pb2.py", f"{stem}_pb2.pyi", f"{stem}_pb2_grpc.py", f"{stem}_pb2_grpc.pyi", proto} <= inside
    assert "releaseregistry/py.typed" in inside
    assert not [name for name in inside if name.endswith((".toml", ".pyc"))]


def test_the_two_distributions_have_one_version(wheels: dict[str, Path]) -> None:
    server = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((ROOT / "relctl" / "pyproject.toml").read_text())["project"]
    assert server["version"] == client["version"]
    assert f"release-registry-client=={client['version']}" in server["dependencies"]


def test_the_client_installs_without_the_server_and_its_dependencies(client: InstalledWheels) -> None:
    wanted = {"relctl", "releaseregistry.v1", "releaseregistry.v1.release_service_pb2_grpc"}
    unwanted = {"server", "store", "peewee", "apsw", "psycopg", "grpc_health", "grpc_reflection", "grpc_tools"}
    assert client.modules(*wanted, *unwanted) == wanted


def test_every_stub_imports_from_the_client_wheel(client: InstalledWheels) -> None:
    stubs = [
        ".".join(path.relative_to(ROOT / "protos").with_suffix("").parts) + suffix
        for path in (ROOT / "protos").rglob("*.proto")
        for suffix in ("_pb2", "_pb2_grpc")
    ]
    source = "import importlib, sys; [*map(importlib.import_module, sys.argv[1:])]"
    client.run("python", "-W", "error", "-c", source, *stubs)


def test_relctl_starts_from_the_client_wheel(client: InstalledWheels) -> None:
    assert "release" in client.run("relctl", "--help")


def test_the_server_starts_from_the_wheels_and_reports_itself_serving(server: InstalledWheels, tmp_path: Path) -> None:
    assert "serve" in server.run("release-server", "--help")
    address = f"127.0.0.1:{own_port()}"
    settings = {"RELEASES_LISTEN": address, "RELEASES_DATA": str(tmp_path / "data")}
    process = subprocess.Popen(
        [server.program("release-server"), "serve"],
        cwd=tmp_path,
        env=server.environment | settings,
        stdout=(output := (tmp_path / "output.txt").open("w")),
        stderr=subprocess.STDOUT,
    )
    try:
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=START_SECONDS, wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=START_SECONDS) == 0
    except (grpc.RpcError, subprocess.TimeoutExpired) as failure:
        pytest.fail(f"{failure}\n{(tmp_path / 'output.txt').read_text()}")
    finally:
        process.kill()
        process.wait()
        output.close()
