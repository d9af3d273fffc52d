"""A first start that is killed leaves nothing that the next one stumbles over."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from releaseregistry.v1 import organizations_pb2, tokens_pb2

from tests.postgres_server import PostgresServer
from tests.server_process import ServerProcess, Stubs

ROUNDS = 6
SEED = random.SystemRandom().randrange(2**32)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_start_after_a_killed_first_start_serves_and_knows_its_one_operator(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Killed while it makes its folders, its tables, its secrets or its operator's token; each time from nothing."""
    chance = random.Random(SEED)
    print(f"{engine}, {ROUNDS} first starts killed, seed {SEED}")
    seconds = 0.0
    for number in range(ROUNDS + 1):
        home = tmp_path / str(number)
        server = ServerProcess(home, environment={"XDG_DATA_HOME": str(home)}, defaults=True)
        if engine == "sqlite":
            seconds = killed_then_started(server, home, after=chance.uniform(0.2, 1.0) * seconds)
        else:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            with postgres.fresh_database() as url:
                server = ServerProcess(home, database=url, environment={"XDG_DATA_HOME": str(home)}, defaults=True)
                seconds = killed_then_started(server, home, after=chance.uniform(0.2, 1.0) * seconds)


def killed_then_started(server: ServerProcess, home: Path, *, after: float) -> float:
    """How long a start takes, after one that was killed `after` so many seconds (0: none was)."""
    if after:
        server.launch()
        time.sleep(after)
        server.kill()
    began = time.monotonic()
    with server, server.channel() as channel:
        seconds = time.monotonic() - began
        token = home / "release-registry" / "operator-token"
        server.token = token.read_text().strip()
        assert token.stat().st_mode & 0o077 == 0
        stubs = Stubs(channel)
        answer = stubs.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=server.metadata)
        assert "installation:admin" in answer.token.scopes
        listed = stubs.tokens.ListTokens(tokens_pb2.ListTokensRequest(), metadata=server.metadata)
        assert [each.uid for each in listed.tokens] == [answer.token.uid], "one operator, not one a start"
        stubs.organizations.CreateOrganization(
            organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme")),
            metadata=server.metadata,
        )
        assert [path.name for path in token.parent.glob("operator-token*")] == ["operator-token"]
    return seconds
