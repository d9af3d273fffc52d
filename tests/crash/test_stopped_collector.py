"""A collector that stands still for longer than its lease, while another takes over: when it goes on, it changes
nothing more (behaviour.md, Collection)."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.crash.client import Client, bytes_of, reason_of
from tests.crash.dying import DyingServer, wait_until_stopped
from tests.crash.home import Home, insist
from tests.crash.scenes import Collected
from tests.postgres_server import PostgresServer

POINTS = (
    "collect.contents_found",
    "collect.chunks_found",
    "collect.pack_marked",
    "collect.pack_removed",
    "rewrite.announced",
    "rewrite.synced",
)
"""Behind each of them something is removed or switched that was found before."""


@pytest.mark.timeout(300)
def test_a_collector_that_slept_past_its_lease_changes_nothing(tmp_path: Path, postgres_server: PostgresServer) -> None:
    with postgres_server.fresh_database() as url, Home(DyingServer(tmp_path, database=url)) as home:
        sleeper = DyingServer(tmp_path, database=url)  # on the same database and packs
        with sleeper, sleeper.channel() as far, home.server.channel() as near, ThreadPoolExecutor(1) as thread:
            asleep, awake = Client(sleeper, far), Client(home.server, near)
            home.world.client = awake
            for point in POINTS:
                scene = Collected(home.world, (point, 1))
                scene.prepare()
                sleeper.stop_at(point)
                sleeping = thread.submit(asleep.collect)
                wait_until_stopped(sleeper)
                try:
                    insist(awake.collect)  # once the lease is over
                    # What was removed just now comes again, and what moved is read where it is.
                    again = bytes_of(300 * 1024, f"{scene.name} orphan")
                    home.world.upload(f"{scene.name} again", again)
                    time.sleep(0.01)  # longer than the grace time: only the reference keeps it
                finally:
                    os.kill(sleeper.pid, signal.SIGCONT)
                with pytest.raises(grpc.RpcError) as late:
                    sleeping.result(60)
                assert reason_of(late.value) == "COLLECTOR_BUSY"
                home.world.look({})
                scene.done()
                home.world.forget(f"{scene.name} again")
                home.collect_all()
