"""`relctl token rotate`."""

from __future__ import annotations

import pytest

from tests.relctl.command_line import Relctl
from tests.rpc.wire import Served


def test_the_calling_token_is_rotated_as_self_and_its_secret_goes_on_for_an_hour(
    acme: Served, ctl: Relctl, relctl: Relctl
) -> None:
    (made,) = ctl.json("token", "create", "ci", "--scope", "release:write", "--project", "web")
    (answer,) = relctl.at(acme, made["secret"]).json("token", "rotate", "self")
    assert answer["token"]["uid"] == made["token"]["uid"]
    for secret in (made["secret"], answer["secret"]):
        relctl.at(acme, secret).ok("whoami")
    acme.clock.advance(seconds=3600)
    relctl.at(acme, made["secret"]).fails(4, "CREDENTIALS_INVALID", "whoami")
    relctl.at(acme, answer["secret"]).ok("whoami")


def test_another_token_is_rotated_by_its_uid_and_without_overlap_at_once(
    acme: Served, ctl: Relctl, relctl: Relctl
) -> None:
    (made,) = ctl.json("token", "create", "ci", "--scope", "release:write", "--project", "web")
    lines = ctl.ok("token", "rotate", made["token"]["uid"], "--overlap", "0").out.splitlines()
    assert lines[0] == "token ci rotated; its secret is shown this once:"
    relctl.at(acme, lines[1]).ok("whoami")
    relctl.at(acme, made["secret"]).fails(4, "CREDENTIALS_INVALID", "whoami")


def test_an_operator_rotates_its_own_and_other_operators_tokens(edge: Served, relctl: Relctl) -> None:
    ctl = relctl.at(edge)
    (made,) = ctl.json("token", "create", "x", "--scope", "org:read", "--installation")
    (answer,) = ctl.json("token", "rotate", made["token"]["uid"], "--installation", "--overlap", "30m")
    assert answer["token"]["old_secret_expire_time"]
    (own,) = ctl.json("token", "rotate", "self", "--overlap", "7d")
    relctl.at(edge, own["secret"]).ok("whoami")


@pytest.mark.parametrize("overlap", ["1w", "-1h", "1.5h", "h", "3600", ""])
def test_an_overlap_that_is_none_is_wrong_usage(ctl: Relctl, overlap: str) -> None:
    ctl.fails(2, "USAGE", "token", "rotate", "self", f"--overlap={overlap}")


def test_an_overlap_of_more_than_7_days_is_the_servers_to_refuse(ctl: Relctl) -> None:
    ctl.fails(1, "INVALID_FIELD", "token", "rotate", "self", "--overlap", "8d")
