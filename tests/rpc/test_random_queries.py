"""Whatever is sent as a query is answered, or refused with a place in it: never INTERNAL, and nothing else.

`make drill-search` sends more of them (SEARCH_WIRE_STRINGS, SEARCH_SEED), and tells which took the most time.
"""

from __future__ import annotations

import os
import random
import time

import grpc
import pytest
from releaseregistry.v1 import releases_pb2

from tests.rpc.wire import Served, refusal_of
from tests.search.dataset import write_dataset
from tests.search.page import rows
from tests.search.test_random_strings import KINDS

STRINGS = int(os.environ.get("SEARCH_WIRE_STRINGS", "400"))
SEED = int(os.environ.get("SEARCH_SEED", "0"))

REASONS = {"QUERY_INVALID", "INVALID_FIELD"}
"""A control character is refused before anything is read as a query."""


@pytest.fixture
def acme(server: Served) -> Served:
    write_dataset(server.database, rows(), projects=("web", "api", "tools"), slug="acme")
    return server


def sent(text: str) -> bool:
    """Whether a text can be sent at all: a lone surrogate has no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_every_random_string_is_answered_or_refused_with_a_place_in_it(acme: Served) -> None:
    answered = refused = 0
    slowest, slowest_text = 0, ""
    for number in range(STRINGS):
        text = KINDS[number % len(KINDS)](random.Random(SEED + number))
        if not sent(text):
            continue
        request = releases_pb2.ListReleasesRequest(parent="organizations/acme", query=text, count_total=True)
        begun = time.perf_counter_ns()
        try:
            acme.releases.ListReleases(request, metadata=acme.operator)
            answered += 1
        except grpc.RpcError as error:
            refused += 1
            refusal = refusal_of(error)
            assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, text
            assert refusal.reason in REASONS, text
            if refusal.reason == "QUERY_INVALID":
                assert 1 <= int(refusal.metadata["position"]) <= len(text) + 1, text
                assert refusal.metadata["found"], text
                assert refusal.metadata["expected"], text
        taken = time.perf_counter_ns() - begun
        if taken > slowest:
            slowest, slowest_text = taken, text
    print(
        f"{answered} answered, {refused} refused (seed {SEED}); slowest {slowest / 1e6:.1f} ms: {slowest_text[:80]!r}"
    )
    # Strings that are all refused, or all answered, would show little.
    assert min(answered, refused) > STRINGS // 50
