"""A first start that is killed leaves nothing that the next one stumbles over."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from releaseregistry.v1 import organizations_pb2, tokens_pb2

from tests.server_process import ServerProcess, Stubs

ROUNDS = {"sqlite": 8, "postgresql": 4}
SEED = random.SystemRandom().randrange(2**32)


@pytest.mark.timeout(300)
def test_a_start_after_first_starts_that_were_killed_serves_and_knows_its_operator(
    database_url: str, tmp_path: Path
) -> None:
    """Killed while it makes its folders, its tables, its secrets and its operator's token, several times over."""
    engine = "postgresql" if database_url.startswith("postgresql") else "sqlite"
    home = tmp_path / "home"
    server = ServerProcess(
        tmp_path / "server",
        database=database_url if engine == "postgresql" else None,
        environment={"XDG_DATA_HOME": str(home)},
        defaults=True,
    )
    chance = random.Random(SEED)
    whole_start = 1.5
    for _ in range(ROUNDS[engine]):
        moment = chance.uniform(0.2, 1.0) * whole_start
        server.launch()
        time.sleep(moment)
        server.kill()

    began = time.monotonic()
    with server, server.channel() as channel:
        print(f"killed {ROUNDS[engine]} times (seed {SEED}), then served after {time.monotonic() - began:.1f} s")
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
    assert sorted(path.name for path in token.parent.iterdir() if path.name.startswith("operator-token")) == [
        "operator-token"
    ]
