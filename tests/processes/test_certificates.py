"""A certificate that is replaced is replaced in every process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import trustme

from tests.processes.conftest import end_workers
from tests.processes.serving import lines, wait_for
from tests.rpc.certificates import of_loopback
from tests.rpc.test_certificate_reload import fingerprint, presented
from tests.server_process import ServerProcess


def test_a_hangup_replaces_the_certificate_of_all_workers(postgres_url: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, key = of_loopback(authority).write(tmp_path, "server")
    settings = {
        "RELEASES_WORKERS": "2",
        "RELEASES_TLS_CERTIFICATE": str(certificate),
        "RELEASES_TLS_KEY": str(key),
    }
    process = ServerProcess(tmp_path / "server", database=postgres_url, environment=settings)
    process.launch()
    try:
        wait_for(process, message="all workers serve")
        before = {presented(process.address) for _ in range(20)}
        other, _ = of_loopback(authority).write(tmp_path, "server")
        os.kill(process.pid, signal.SIGHUP)
        wait_for(process, message="the certificate was read", count=2)
        read = lines(process, message="the certificate was read")
        assert len({line["worker"] for line in read}) == 2
        after = {presented(process.address) for _ in range(20)}
        assert after == {fingerprint(other.read_text())}
        assert len(before) == 1
        assert after.isdisjoint(before)
        assert process.stop() == 0
    finally:
        process.kill()
        end_workers(process)
