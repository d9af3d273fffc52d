"""Everything that the client does ends right over a network that cuts its connections, and over one that is slow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from releaseregistry.v1.commits_pb2 import Commit

from relctl import connect
from relctl.client import Client
from relctl.deploys import DeployDraft
from relctl.files import FileDraft
from relctl.releases import ReleaseDraft
from tests.relctl.bad_network import bad_network
from tests.relctl.uploading import MIB, content_of, noise, written
from tests.rpc.wire import OPERATOR_TOKEN, Served

SEED = random.SystemRandom().randrange(2**32)
ROUNDS = 3
COMMITS = [Commit(id=f"{number:040x}", message="x" * 100) for number in range(500)]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits less between two tries, and the seed is told."""
    monkeypatch.setattr("relctl.connection.FIRST_PAUSE_SECONDS", 0.05)
    print(f"seed {SEED}")


def work(client: Client, folder: Path, name: str) -> None:
    """One of everything: each has its effect, once."""
    client.releases.create("acme", ReleaseDraft(version=name, projects=["web"]))
    release = client.releases.set_commits("acme", name, COMMITS)
    assert release.commit_count == len(COMMITS)
    assert [each.id for each in client.releases.list_commits("acme", name)] == [each.id for each in COMMITS]
    client.deploys.create("acme", name, DeployDraft(environments=["production"]))
    assert len(list(client.deploys.list("acme", version=name))) == 1
    streamed = noise(3 * MIB, seed=1)
    path = written(folder, "streamed.bin", streamed).path
    file = client.files.upload("acme", name, path, FileDraft(file_name="streamed.bin")).file
    client.files.download(file, folder / "streamed")
    assert (folder / "streamed").read_bytes() == streamed
    chunked = noise(6 * MIB, seed=2)
    (uploaded,) = client.uploads.upload("acme", name, [written(folder, "chunked.bin", chunked)])
    assert content_of(client, uploaded, folder) == chunked
    assert [each.file_name for each in client.files.list("acme", name)] == ["chunked.bin", "streamed.bin"]


def cuts_of(chance: random.Random) -> Sequence[int]:
    """After how many bytes connections are cut: behind a few of a call's, and in the midst of a file's."""
    return [chance.choice((2_000, 60_000, 700_000, 4 * MIB)) + chance.randrange(1_000) for _ in range(3)]


def test_what_connections_that_are_cut_interrupt_is_done_in_the_end_and_once(acme: Served, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for number in range(ROUNDS):
        with (
            bad_network(acme.address, cuts_of(chance)) as network,
            connect(network.address, token=OPERATOR_TOKEN) as client,
        ):
            work(client, tmp_path, f"cut@1.0.{number}")
            assert network.was_cut


def test_a_late_network_changes_nothing(acme: Served, tmp_path: Path) -> None:
    with (
        bad_network(acme.address, delay_seconds=0.02) as network,
        connect(network.address, token=OPERATOR_TOKEN) as client,
    ):
        work(client, tmp_path, "late@1.0.0")
