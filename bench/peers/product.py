"""The product with its default settings: SQLite and local packs in a folder."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from releaseregistry.v1 import organizations_pb2, organizations_pb2_grpc, releases_pb2

import store.blobs.source
from bench.peers.processes import Orders, Peer, obey
from server.app import open_server
from server.memory import keep_freed_blocks
from server.settings import read_settings

TOKEN: Final = "operator-of-the-benchmarks"
METADATA: Final = (("authorization", f"Bearer {TOKEN}"),)
ORGANIZATION: Final = "organizations/bench"
RELEASE: Final = f"{ORGANIZATION}/releases/app@1.0.0"

Preparation = Callable[[], Orders]


def product(folder: Path, *, preparation: Preparation | None = None) -> Peer:
    """A server with an organization, a project and a release of it. It can be told to read `verified` (as it does) and
    `unverified`, and what `preparation`, called before it starts, answers."""
    peer = Peer(_serve, str(folder), preparation)
    organizations = organizations_pb2_grpc.OrganizationServiceStub(peer.channel)
    organizations.CreateOrganization(
        organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="bench")),
        metadata=METADATA,
    )
    organizations.CreateProject(
        organizations_pb2.CreateProjectRequest(parent=ORGANIZATION, project=organizations_pb2.Project(slug="web")),
        metadata=METADATA,
    )
    release = releases_pb2.Release(version="app@1.0.0", projects=[f"{ORGANIZATION}/projects/web"])
    peer.files.CreateRelease(releases_pb2.CreateReleaseRequest(parent=ORGANIZATION, release=release), metadata=METADATA)
    return peer


def stored_bytes(folder: Path) -> int:
    """What lies in the packs of the product that runs in the folder."""
    return sum(path.stat().st_size for path in (folder / "blobs" / "packs").rglob("*") if path.is_file())


def _serve(pipe: Connection, folder: str, preparation: Preparation | None) -> None:
    keep_freed_blocks()  # as the program does
    orders = preparation() if preparation else {}
    environment = {"RELEASES_LISTEN": "127.0.0.1:0", "RELEASES_DATA": folder, "RELEASES_BOOTSTRAP_TOKEN": TOKEN}
    server = open_server(read_settings((), environment))
    server.start()
    pipe.send(server.port)
    obey(pipe, {"verified": _verified, "unverified": _unverified, **orders})
    server.close()


_SOURCE: Final[Any] = store.blobs.source
_CHECK: Final = _SOURCE.check_stored


def _verified() -> None:
    _SOURCE.check_stored = _CHECK


def _unverified() -> None:
    _SOURCE.check_stored = lambda _stored, _row: None
