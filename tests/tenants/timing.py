"""A drill: whether the time of an answer tells what another organization has.

`python -m tests.tenants.timing` asks each question thousands of times, in random order about what another organization
has and about what nobody has, and compares both times by Welch's t. Exits with 1 where it is 4.5 or more. It is no
test: on a busy machine it may err, and is then run again.
"""

from __future__ import annotations

import argparse
import gc
import logging
import math
import random
import statistics
import sys
import time
import uuid
from collections.abc import Callable

from google.protobuf.message import Message
from releaseregistry.v1 import files_pb2, organizations_pb2, releases_pb2, tokens_pb2
from releaseregistry.v1 import uploads_pb2 as pb

from tests.clocks import ManualClock
from tests.conftest import opened
from tests.rpc.fast_door import plain
from tests.rpc.sending import data, digest_of
from tests.rpc.wire import bearer
from tests.tenants.doors import Door
from tests.tenants.tenants import OPERATOR
from tests.tenants.test_tenants import in_memory, straight

LIMIT = 4.5
KEPT = 0.9
"""Of each kind the slowest tenth is left out: the machine's, not the answer's."""
THINGS = 100

Question = Callable[[bytes], Message]


def welch(one: list[int], other: list[int]) -> float:
    """Welch's t of two samples."""
    means = statistics.fmean(one) - statistics.fmean(other)
    return means / math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))


def settled(door: Door, slug: str) -> tuple[str, str]:
    """The names of an organization and its release."""
    organization = f"organizations/{slug}"
    made = organizations_pb2.Organization(slug=slug)
    door.call("CreateOrganization", [organizations_pb2.CreateOrganizationRequest(organization=made)], OPERATOR)
    project = organizations_pb2.Project(slug="web")
    door.call("CreateProject", [organizations_pb2.CreateProjectRequest(parent=organization, project=project)], OPERATOR)
    release = releases_pb2.Release(version="app@1.0.0", projects=[f"{organization}/projects/web"])
    request = releases_pb2.CreateReleaseRequest(parent=organization, release=release)
    (answer,) = door.call("CreateRelease", [request], OPERATOR).read("CreateRelease")
    return organization, answer.release.name


def upload(door: Door, release: str, content: bytes) -> None:
    header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=release, file_name=digest_of(content))
    finish = files_pb2.UploadFinish(size_bytes=len(content), sha256=digest_of(content))
    requests = [files_pb2.UploadReleaseFileRequest(header=header), data(content, 0)]
    answer = door.call("UploadReleaseFile", [*requests, files_pb2.UploadReleaseFileRequest(finish=finish)], OPERATOR)
    assert answer.code == "OK", answer


def compare(door: Door, *, rounds: int, seed: int) -> dict[str, float]:
    """Welch's t by question."""
    chance = random.Random(seed)
    organization, release = settled(door, "asks")
    neighbour, other_release = settled(door, "neighbour")
    there = [chance.randbytes(3000) for _ in range(THINGS)]
    nowhere = [chance.randbytes(3000) for _ in range(THINGS)]
    for content in there:
        upload(door, other_release, content)
    chunks = [plain(content) for content in there]
    request = pb.UploadChunksRequest(parent=neighbour, chunks=chunks, finish=True, chunk_count=len(chunks))
    assert door.call("UploadChunks", [request], OPERATOR).code == "OK"
    for content in (chance.randbytes(3000) for _ in range(THINGS)):  # it has things itself, too
        upload(door, release, content)
    token = tokens_pb2.Token(display_name="asks", scopes=["release:write"], all_projects=True)
    made = tokens_pb2.CreateTokenRequest(parent=organization, token=token, request_id=str(uuid.uuid4()))
    (created,) = door.call("CreateToken", [made], OPERATOR).read("CreateToken")
    metadata = bearer(created.secret)
    questions: dict[str, Question] = {
        "FindMissingChunks": lambda content: pb.FindMissingChunksRequest(
            parent=organization, sha256=[digest_of(content)]
        ),
        "CreateReleaseFile": lambda content: files_pb2.CreateReleaseFileRequest(
            parent=release, file=files_pb2.ReleaseFile(file_name="new", sha256=digest_of(content))
        ),
        "ListReleaseFiles": lambda content: files_pb2.ListReleaseFilesRequest(
            parent=release, sha256=[digest_of(content)]
        ),
        "GetRelease": lambda content: releases_pb2.GetReleaseRequest(
            name=other_release
            if content in has
            else f"organizations/nobodyxx/releases/{chance.randrange(10, 99)}@1.0.0"
        ),
    }
    has = frozenset(there)
    found = {}
    gc.disable()
    for method, question in questions.items():
        taken: dict[bool, list[int]] = {True: [], False: []}
        for number in range(2 * rounds + 200):
            is_there = chance.random() < 0.5
            asked = [question(chance.choice(there if is_there else nowhere))]
            begin = time.perf_counter_ns()
            door.call(method, asked, metadata)
            if number >= 200:
                taken[is_there].append(time.perf_counter_ns() - begin)
        kept = {key: sorted(times)[: int(len(times) * KEPT)] for key, times in taken.items()}
        found[method] = welch(kept[True], kept[False])
    gc.enable()
    return found


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="Compare the times of answers about what others have, and nobody has.")
    parser.add_argument("--rounds", type=int, default=5000, help="So many answers of each kind a question.")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    clock = ManualClock()
    with in_memory() as folder, opened(f"sqlite://{folder}/registry.db", clock) as database:
        database.migrate()
        with straight(database, clock, folder) as world:
            found = compare(world.door, rounds=arguments.rounds, seed=arguments.seed)
    for method, t in found.items():
        print(f"{method}: t = {t:+.2f}")
    return 0 if all(abs(t) < LIMIT for t in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
