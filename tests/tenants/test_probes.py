"""Random probes: a caller of one organization names another's things, and learns nothing from any method.

Each probe is sent twice, naming something that another organization has, and naming the like of it that nobody has.
Both must be answered with the same bytes, but for the name itself, and nothing of the other organization may change.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from releaseregistry.v1 import (
    annotations_pb2,
    tokens_pb2,
)

from store.access.scopes import SCOPES
from store.database import Database
from store.organizations.models import OrganizationSlug
from store.schema import MODELS
from tests.clocks import START_US, ManualClock
from tests.conftest import opened
from tests.rpc.wire import Metadata, bearer
from tests.tenants.doors import METHODS, Answer, Door
from tests.tenants.tenants import OPERATOR
from tests.tenants.test_tenants import in_memory, straight
from tests.tenants.things import Things, settle

PROBES: Final = int(os.environ.get("TENANT_PROBES", "5000"))
"""A drill sets it to 100000."""

FIRST: Final = int(os.environ.get("TENANT_SEED", "0"))

CONTENT: Final = random.Random(7).randbytes(20_000)
CHUNK: Final = b"a chunk that only the other organization has"
SECRETS: Final = ("other-slug", "other-web", "other@1.0.0", "other.js", "other-repo")


ASKED_AT_HOME: Final = {
    "AssembleUpload",
    "BatchGetReleases",
    "BulkUpdateReleases",
    "CreateRelease",
    "CreateReleaseFile",
    "FindMissingChunks",
    "GetAdoption",
    "GetReleaseHealth",
    "GetThresholdStatus",
    "ListReleaseFiles",
    "ListReleases",
    "RecordSessions",
    "StartUpload",
    "StreamSessions",
    "SuggestValues",
    "UploadReleaseFile",
}
"""Methods that take digests, projects or ids of uploads within an organization: also the prober's own is asked."""


NOUNS: Final = {
    "ReleaseFile": "file",
    "ReleaseFiles": "release",
    "ReleaseHealth": "release",
    "Adoption": "release",
    "Release": "release",
    "Commits": "release",
    "Threshold": "threshold",
    "Project": "project",
    "Repository": "repository",
    "Token": "token",
    "Upload": "upload",
}
PROJECTS_CHILDREN: Final = ("CreateThresholdRequest", "ListThresholdsRequest")
RELEASES_CHILDREN: Final = (
    "CreateReleaseFileRequest",
    "ListReleaseFilesRequest",
    "ListCommitsRequest",
    "UploadHeader",
)


class Filler:
    """Fills requests with names of things, the same places with the same kinds for the same seed."""

    def __init__(self, seed: int, foreign: Things, own: Things) -> None:
        self._seed, self._foreign, self._own = seed, foreign, own
        # One of its own for each of a pair: at home the first may succeed, and is not to be taken for its repetition.
        self.request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {foreign.organization}"))

    def told(self, door: Door, method: str, metadata: Metadata) -> tuple[str, str, bytes, tuple[bytes, ...]]:
        """What the method answers, without what it was sent."""
        return told(door.call(method, self.requests(method), metadata), self._foreign, self.request_id)

    def requests(self, method: str) -> list[Message]:
        """What is sent to the method."""
        chance = random.Random(f"{self._seed} {method}")
        found = METHODS[method]
        self._at_home = method in ASKED_AT_HOME and chance.random() < 0.5
        requests = [found.request_type()]
        self._fill(requests[0], chance, method)
        if found.client_streams:
            requests.append(found.request_type())
            self._fill(requests[1], chance, method)
        return requests

    def _fill(self, message: Any, chance: random.Random, path: str, depth: int = 0) -> None:
        descriptor: Descriptor = message.DESCRIPTOR
        for oneof in descriptor.oneofs:
            if len(oneof.fields) > 1:
                self._set(message, chance.choice(list(oneof.fields)), chance, depth)
        for field in descriptor.fields:
            if field.containing_oneof is None or len(field.containing_oneof.fields) == 1:
                rules: Any = annotations_pb2.rules
                required = field.GetOptions().Extensions[rules].required
                if required or chance.random() < (0.7 if depth == 0 else 0.4):
                    self._set(message, field, chance, depth)

    def _set(self, message: Any, field: FieldDescriptor, chance: random.Random, depth: int) -> None:
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry or depth > 2:
                return
            target = getattr(message, field.name)
            if field.message_type.name == "Timestamp":
                target.FromMicroseconds(START_US)
            elif field.message_type.name == "Duration":
                target.FromSeconds(3600)
            if field.message_type.full_name.startswith("google.protobuf."):
                return
            self._fill(target.add() if field.is_repeated else target, chance, field.name, depth + 1)
            if not field.is_repeated:
                target.SetInParent()
            return
        value = self._value(field, chance, self._noun(message, field))
        if value is None:
            return
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)

    def _noun(self, message: Message, field: FieldDescriptor) -> str:
        """The kind of thing that the field names, if it is a name."""
        if field.name == "parent":
            if message.DESCRIPTOR.name in PROJECTS_CHILDREN:
                return "project"
            return "release" if message.DESCRIPTOR.name in RELEASES_CHILDREN else "organization"
        words = message.DESCRIPTOR.name.removesuffix("Request")
        return next((noun for ending, noun in NOUNS.items() if words.endswith(ending)), "organization")

    def _value(self, field: FieldDescriptor, chance: random.Random, noun: str) -> Any:
        if field.type == FieldDescriptor.TYPE_BOOL:
            return field.name != "validate_only" and chance.random() < 0.5
        if field.type == FieldDescriptor.TYPE_BYTES:
            return b"x"
        if field.type == FieldDescriptor.TYPE_ENUM:
            return chance.randrange(2)
        if field.type != FieldDescriptor.TYPE_STRING:
            return chance.choice((0, 1, len(CONTENT)))
        names = self._foreign.names
        home = (self._own if self._at_home else self._foreign).names
        kinds = {
            "request_id": lambda: self.request_id,
            "session_id": lambda: str(uuid.UUID(bytes=chance.randbytes(16))),
            "counts_id": lambda: str(uuid.UUID(bytes=chance.randbytes(16))),
            "upload_id": lambda: names["upload_id"],
            "sha256": lambda: names[chance.choice(("content", "chunk"))],
            "missing_sha256": lambda: names["content"],
            "page_token": lambda: None,
            "etag": lambda: None,
            "slug": lambda: f"new-{chance.randrange(10**9)}",
            "version": lambda: names["version"],
            "names": lambda: names["release"],
            "projects": lambda: names["project"],
            "project": lambda: names["project"],
            "parent": lambda: home[noun if chance.random() < 0.9 else "file"],
            "scopes": lambda: "release:read",
            "url": lambda: None,
        }
        if field.name in kinds:
            make: Callable[[], Any] = kinds[field.name]
            return make()
        if field.name == "name":
            return home[noun] if self._at_home else names[noun if chance.random() < 0.9 else "project"]
        return names["text"]


def told(answer: Answer, things: Things, *others: str) -> tuple[str, str, bytes, tuple[bytes, ...]]:
    """The answer, without what its caller sent itself: names of things, and others."""
    names = (*things.names.values(), *others)
    words = sorted({word for name in names for word in name.split("/") if len(word) > 4}, key=len)

    def hidden(text: bytes) -> bytes:
        for word in reversed(words):
            text = text.replace(word.encode(), b"#" * len(word))
        return text

    return (
        answer.code,
        hidden(answer.message.encode()).decode(),
        hidden(answer.details),
        tuple(map(hidden, answer.responses)),
    )


def state_of(database: Database, organization_id: bytes) -> dict[str, int]:
    """How many rows there are of the organization, and a sum over their contents, by table."""

    def read(reader: Any) -> dict[str, int]:
        found = {}
        for model in MODELS:
            fields = model._meta.fields
            if "organization_id" in fields:
                rows = reader.fetch(model.select().where(fields["organization_id"] == organization_id).tuples())
                found[model._meta.table_name] = hash(tuple(sorted(map(repr, rows))))
        return found

    return database.read(read)


@pytest.fixture(scope="module")
def prober() -> Iterator[tuple[Database, Door, Things, Things, list[Metadata]]]:
    clock = ManualClock()
    with in_memory() as folder, opened(f"sqlite://{folder}/registry.db", clock) as database:
        database.migrate()
        with straight(database, clock, folder) as world:
            other = settle(world.door, *SECRETS, content=CONTENT, chunk=CHUNK)
            own = settle(
                world.door,
                "our-slug",
                "our-web",
                "our@1.0.0",
                "our.js",
                "our-repo",
                content=b"ours",
                chunk=b"our chunk",
            )
            every = sorted(SCOPES - {"installation:admin"})
            tokens = []
            for scopes in (
                every,
                every,
                every,
                every,
                ["release:write"],
                ["release:read", "org:read"],
                ["org:admin", "project:write"],
            ):
                token = tokens_pb2.Token(display_name="prober", scopes=scopes, all_projects=True)
                request = tokens_pb2.CreateTokenRequest(
                    parent=own.organization, token=token, request_id=str(uuid.uuid4())
                )
                (made,) = world.door.call("CreateToken", [request], OPERATOR).read("CreateToken")
                tokens.append(bearer(made.secret, x_request_id="the-same"))
            yield database, world.door, other, own, tokens


def organization_id(database: Database, slug: str) -> bytes:
    rows = database.read(lambda reader: reader.fetch(OrganizationSlug.select().where(OrganizationSlug.slug == slug)))
    found: bytes = rows[0].organization_id
    return found


@pytest.mark.timeout(120 + PROBES // 50)
def test_no_probe_of_anothers_things_is_told_from_one_of_nothing(
    prober: tuple[Database, Door, Things, Things, list[Metadata]],
) -> None:
    database, door, other, own, tokens = prober
    before = state_of(database, organization_id(database, "other-slug"))
    assert before, "nothing is looked at"
    codes: dict[str, int] = {}
    # Without the operator's, who may name everything.
    methods = sorted(set(METHODS) - {"CollectGarbage", "CheckStorage", "RunAdoption", "DownloadDatabase"})
    absent = other.absent(random.Random(1))
    for seed in range(FIRST, FIRST + PROBES):
        chance = random.Random(seed)
        method = chance.choice(methods)
        metadata = chance.choice(tokens)
        answers = [Filler(seed, things, own).told(door, method, metadata) for things in (other, absent)]
        assert answers[0] == answers[1], f"seed {seed}: {method}"
        codes[answers[0][0]] = codes.get(answers[0][0], 0) + 1
        assert answers[0][0] != "INTERNAL", f"seed {seed}: {method}"

    assert state_of(database, organization_id(database, "other-slug")) == before
    assert codes["NOT_FOUND"] > PROBES // 4, codes
