"""What two servers have to agree on without talking to one another. Each of these raises BrokenPromise, or measures."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from itertools import cycle, repeat

import grpc
from releaseregistry.v1 import (
    admin_pb2,
    deploy_service_pb2,
    deploy_service_pb2_grpc,
    releases_pb2,
    tokens_pb2,
)

from tests.crash.workload import ORGANIZATION, BrokenPromise, reason_of
from tests.server_process import Stubs
from tests.two_servers.callers import Way
from tests.two_servers.pair import Upload

SECONDS = 60.0
REVOKED_SECONDS = 12.0  # "within some ten seconds", whether a stream is sending or not
LEASE_SECONDS = 120.0  # store.leases.HOLD_US: a holder that was killed cannot give its lease back


def one_effect(ways: tuple[Way, Way], release: str) -> int:
    """A deploy told to both servers under one request_id, then to the first again: how many deploys that made."""
    environment, request_id = f"env-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    request = deploy_service_pb2.CreateDeployRequest(parent=release, environments=[environment], request_id=request_id)
    answers = set()
    for way in (*ways, ways[0]):
        with way.channel() as channel:
            deploys = deploy_service_pb2_grpc.DeployServiceStub(channel)
            answer = deploys.CreateDeploy(request, metadata=way.metadata, timeout=SECONDS)
            answers.add(answer.SerializeToString(deterministic=True))
            listed = deploys.ListDeploys(
                deploy_service_pb2.ListDeploysRequest(parent=release, environments=[environment]),
                metadata=way.metadata,
                timeout=SECONDS,
            )
    if len(answers) != 1:
        raise BrokenPromise("a repeated call got another answer from the other server")
    return len(listed.deploys)


def missed_by_pages(ways: tuple[Way, Way]) -> int:
    """A list read by turns, each page from the other server: how many releases are missing or told twice."""
    versions = _listed(cycle(ways), page_size=7)
    wanted = _listed(repeat(ways[0]), page_size=1000)
    return len(set(wanted) ^ set(versions)) + len(versions) - len(set(versions))


def _listed(ways: Iterable[Way], *, page_size: int) -> list[str]:
    """The versions of all releases, each page asked for on the next way."""
    versions: list[str] = []
    token = ""
    for way in ways:
        with way.channel() as channel:
            page = Stubs(channel).releases.ListReleases(
                releases_pb2.ListReleasesRequest(parent=ORGANIZATION, page_size=page_size, page_token=token),
                metadata=way.metadata,
                timeout=SECONDS,
            )
        versions += [release.version for release in page.releases]
        token = page.next_page_token
        if not token:
            break
    return versions


def accepted_after_revocation(ways: tuple[Way, Way]) -> int:
    """A token that both servers know is revoked on one: how many of a hundred calls the other then takes."""
    revoking, other = ways
    with revoking.channel() as here, other.channel() as there:
        made = _short_lived_token(revoking, here)
        metadata = (("authorization", f"Bearer {made.secret}"),)
        for channel in (here, there):
            Stubs(channel).tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=metadata, timeout=SECONDS)
        _revoke(made, revoking, here)
        accepted = 0
        for _ in range(100):
            try:
                Stubs(there).tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=metadata, timeout=SECONDS)
            except grpc.RpcError as error:
                if reason_of(error) != "CREDENTIALS_INVALID":
                    raise
            else:
                accepted += 1
    return accepted


def seconds_until_a_revoked_stream_ends(ways: tuple[Way, Way], upload: Upload, *, stop: int) -> float:
    """A token is revoked on one server while the other has a stream of it that says nothing: how long that goes on."""
    revoking, other = ways
    with revoking.channel() as here, other.channel() as there:
        made = _short_lived_token(revoking, here)
        call = upload.begin(Way(other.name, other.address, made.secret), there, stop=stop)
        try:
            upload.wait_until_committed(revoking, here, 1)
            _revoke(made, revoking, here)
            begun = time.monotonic()
            try:
                call.result(timeout=SECONDS)
            except grpc.FutureTimeoutError:
                raise BrokenPromise("a stream goes on although its token is revoked") from None
            except grpc.RpcError as error:
                if reason_of(error) != "CREDENTIALS_INVALID":
                    raise BrokenPromise(f"a stream of a revoked token ended with {reason_of(error)}") from error
            else:
                raise BrokenPromise("a stream of a revoked token ended well")
            return time.monotonic() - begun
        finally:
            upload.go_on()


def _short_lived_token(way: Way, channel: grpc.Channel) -> tokens_pb2.CreateTokenResponse:
    made: tokens_pb2.CreateTokenResponse = Stubs(channel).tokens.CreateToken(
        tokens_pb2.CreateTokenRequest(
            parent=ORGANIZATION,
            token=tokens_pb2.Token(display_name="short-lived", scopes=["release:write"], all_projects=True),
            request_id=str(uuid.uuid4()),
        ),
        metadata=way.metadata,
        timeout=SECONDS,
    )
    return made


def _revoke(made: tokens_pb2.CreateTokenResponse, way: Way, channel: grpc.Channel) -> None:
    Stubs(channel).tokens.RevokeToken(
        tokens_pb2.RevokeTokenRequest(name=made.token.name), metadata=way.metadata, timeout=SECONDS
    )


class Collecting:
    """Collects on a server, again and again, until the server is gone: so it dies with the lease in its hands."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self) -> None:
        with self._way.channel() as channel:
            while True:
                try:
                    Stubs(channel).admin.CollectGarbage(
                        admin_pb2.CollectGarbageRequest(), metadata=self._way.metadata, timeout=SECONDS
                    )
                except grpc.RpcError as error:
                    if reason_of(error) is None:
                        return
                    time.sleep(0.05)

    def wait(self) -> None:
        """Return when the server is gone."""
        self._thread.join(SECONDS)


def seconds_until_it_collects_and_adopts(way: Way) -> float:
    """How long a server has to wait for what another one held when it was killed."""
    begun = time.monotonic()
    with way.channel() as channel:
        admin = Stubs(channel).admin
        calls: tuple[Callable[[], object], ...] = (
            lambda: admin.CollectGarbage(admin_pb2.CollectGarbageRequest(), metadata=way.metadata, timeout=SECONDS),
            lambda: admin.RunAdoption(admin_pb2.RunAdoptionRequest(), metadata=way.metadata, timeout=SECONDS),
        )
        for call in calls:
            while True:
                try:
                    call()
                    break
                except grpc.RpcError as error:
                    if reason_of(error) not in ("COLLECTOR_BUSY", "ADOPTION_BUSY"):
                        raise
                    if time.monotonic() - begun > 2 * LEASE_SECONDS:
                        raise BrokenPromise("the lease of a server that is dead does not end") from error
                    time.sleep(0.5)
    return time.monotonic() - begun
