"""FindMissingChunks over the wire."""

from __future__ import annotations

import pytest
from releaseregistry.v1 import uploads_pb2 as pb

from tests.rpc.fast_door import ORGANIZATION, missing, send_chunks
from tests.rpc.sending import digest_of
from tests.rpc.wire import Served, bearer, raises_reason


def test_those_that_must_be_sent_are_answered_each_once_and_in_order(server: Served) -> None:
    server.make_organization()
    send_chunks(server, [b"b", b"d"])
    assert missing(server, [b"e", b"d", b"c", b"b", b"a", b"c", b"e"]) == [
        digest_of(b"e"),
        digest_of(b"c"),
        digest_of(b"a"),
    ]


def test_ten_thousand_at_once(server: Served) -> None:
    server.make_organization()
    pieces = [b"%d" % number for number in range(10_000)]
    send_chunks(server, pieces[:5000], size=1000)
    assert missing(server, pieces) == [digest_of(piece) for piece in pieces[5000:]]
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        missing(server, [*pieces, b"one more"])
    assert list(refusal.violations) == ["sha256"]


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64])
def test_what_is_no_digest_is_refused(edge: Served, sha256: str) -> None:
    edge.make_organization()
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        request = pb.FindMissingChunksRequest(parent=ORGANIZATION, sha256=["0" * 64, sha256])
        edge.uploads.FindMissingChunks(request, metadata=edge.operator)
    assert list(refusal.violations) == ["sha256[1]"]


def test_who_may_ask(edge: Served) -> None:
    edge.make_organization(projects=["web"])
    edge.make_organization("rival")
    reader = bearer(edge.make_token(ORGANIZATION, "release:read", all_projects=True))
    writer = bearer(edge.make_token(ORGANIZATION, "release:write", projects=["web"]))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        missing(edge, [b"a"], metadata=reader)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND") as rival:
        missing(edge, [b"a"], parent="organizations/rival", metadata=writer)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND") as nobody:
        missing(edge, [b"a"], parent="organizations/nobody", metadata=writer)
    assert rival.message.replace("rival", "nobody") == nobody.message
    assert missing(edge, [b"a"], metadata=writer) == [digest_of(b"a")]
