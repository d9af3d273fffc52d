"""CreateRepository, GetRepository, ListRepositories, UpdateRepository."""

from __future__ import annotations

import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import organizations_pb2 as pb

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

ACME = "organizations/acme"


def create(
    server: Served, repository: pb.Repository, *, request_id: str = "", validate_only: bool = False
) -> pb.Repository:
    request = pb.CreateRepositoryRequest(
        parent=ACME, repository=repository, request_id=request_id, validate_only=validate_only
    )
    return server.organizations.CreateRepository(request, metadata=server.operator).repository


def get(server: Served, name: str, metadata: Metadata | None = None) -> pb.Repository:
    request = pb.GetRepositoryRequest(name=name)
    return server.organizations.GetRepository(request, metadata=metadata or server.operator).repository


def update(server: Served, repository: pb.Repository, *paths: str) -> pb.Repository:
    request = pb.UpdateRepositoryRequest(repository=repository, update_mask=FieldMask(paths=paths))
    return server.organizations.UpdateRepository(request, metadata=server.operator).repository


def listed(server: Served, *, page_size: int = 0, page_token: str = "") -> pb.ListRepositoriesResponse:
    request = pb.ListRepositoriesRequest(parent=ACME, page_size=page_size, page_token=page_token)
    return server.organizations.ListRepositories(request, metadata=server.operator)


def test_a_created_repository_is_answered_in_full_and_found_again(server: Served) -> None:
    server.make_organization()
    asked = pb.Repository(display_name="acme/web", url="https://example.org/a", provider="github", external_id="7")
    made = create(server, asked)
    assert made.name == f"{ACME}/repositories/{uuid.UUID(made.uid)}"
    assert (made.display_name, made.url, made.provider, made.external_id, made.state) == (
        "acme/web",
        "https://example.org/a",
        "github",
        "7",
        pb.REPOSITORY_STATE_ACTIVE,
    )
    assert made.create_time.ToMicroseconds() == made.update_time.ToMicroseconds() == server.clock.now_us()
    assert get(server, made.name) == made
    assert get(server, made.name.upper().replace("ORGANIZATIONS/ACME/REPOSITORIES", f"{ACME}/repositories")) == made


def test_a_taken_name_and_a_taken_external_id_are_told(server: Served) -> None:
    server.make_organization()
    create(server, pb.Repository(display_name="acme/web", provider="github", external_id="7"))
    with raises_reason("REPOSITORY_EXISTS", "ALREADY_EXISTS") as refusal:
        create(server, pb.Repository(display_name="acme/web"))
    assert refusal.metadata == {"display_name": "acme/web"}
    with raises_reason("REPOSITORY_EXISTS", "ALREADY_EXISTS") as refusal:
        create(server, pb.Repository(display_name="acme/api", provider="github", external_id="7"))
    assert refusal.metadata == {"display_name": "acme/api", "external_id": "7"}


@pytest.mark.parametrize(
    ("repository", "field"),
    [
        (pb.Repository(), "repository.display_name"),
        (pb.Repository(display_name="x" * 201), "repository.display_name"),
        (pb.Repository(display_name="a\nb"), "repository.display_name"),
        (pb.Repository(display_name="a", url="ftp://example.org"), "repository.url"),
        (pb.Repository(display_name="a", provider="x" * 65), "repository.provider"),
        (pb.Repository(display_name="a", external_id="x\0"), "repository.external_id"),
        (pb.Repository(display_name="a", state=77), "repository.state"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_field_is_named(edge: Served, repository: pb.Repository, field: str) -> None:
    edge.make_organization()
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(edge, repository)
    assert list(refusal.violations) == [field]


def test_a_repeated_request_id_gets_the_first_answer_again(server: Served) -> None:
    server.make_organization()
    request_id = str(uuid.uuid4())
    first = create(server, pb.Repository(display_name="acme/web"), request_id=request_id)
    assert create(server, pb.Repository(display_name="acme/web"), request_id=request_id) == first
    assert len(listed(server).repositories) == 1


def test_a_rehearsal_creates_nothing(server: Served) -> None:
    server.make_organization()
    create(server, pb.Repository(display_name="acme/web"), validate_only=True)
    assert list(listed(server).repositories) == []


def test_a_repository_of_another_organization_is_told_like_one_that_is_not_there(server: Served) -> None:
    server.make_organization()
    theirs = create(server, pb.Repository(display_name="acme/web"))
    mine = server.make_organization("mine")
    secret = bearer(server.make_token(mine, "org:read"))
    told = []
    for uid in (theirs.uid, str(uuid.uuid4())):
        name = f"{mine}/repositories/{uid}"
        with raises_reason("REPOSITORY_NOT_FOUND", "NOT_FOUND") as refusal:
            get(server, name, secret)
        assert refusal.metadata == {"name": name}
        told.append(refusal.message.replace(uid, "*"))
    assert told[0] == told[1]
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        get(server, theirs.name, secret)


def test_an_id_that_is_no_uuid_is_no_name(edge: Served) -> None:
    edge.make_organization()
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        get(edge, f"{ACME}/repositories/web")


def test_a_repository_is_disabled_and_comes_back_when_its_name_is_free(server: Served) -> None:
    server.make_organization()
    old = create(server, pb.Repository(display_name="acme/web"))
    disabled = update(server, pb.Repository(name=old.name, state=pb.REPOSITORY_STATE_DISABLED))
    assert disabled.state == pb.REPOSITORY_STATE_DISABLED
    new = create(server, pb.Repository(display_name="acme/web"))
    with raises_reason("REPOSITORY_EXISTS", "ALREADY_EXISTS"):
        update(server, pb.Repository(name=old.name, state=pb.REPOSITORY_STATE_ACTIVE))
    update(server, pb.Repository(name=new.name, display_name="acme/new"))
    assert update(server, pb.Repository(name=old.name), "state").state == pb.REPOSITORY_STATE_ACTIVE


def test_masks_say_what_changes(server: Served) -> None:
    server.make_organization()
    made = create(server, pb.Repository(display_name="acme/web", url="https://example.org/a", provider="github"))
    changed = update(server, pb.Repository(name=made.name, provider="gitlab"), "url")
    assert (changed.url, changed.provider) == ("", "github")
    changed = update(server, pb.Repository(name=made.name, display_name="acme/x"), "*")
    assert (changed.display_name, changed.provider) == ("acme/x", "")
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        update(server, pb.Repository(name=made.name), "display_name")
    assert list(refusal.violations) == ["repository.display_name"]
    with raises_reason("INVALID_MASK", "INVALID_ARGUMENT"):
        update(server, made, "urls")


def test_repositories_are_listed_by_display_name_in_pages_both_ways(server: Served) -> None:
    server.make_organization()
    for name in ("c", "a", "b", "B", "ä"):
        create(server, pb.Repository(display_name=name))

    def names(page: pb.ListRepositoriesResponse) -> list[str]:
        return [repository.display_name for repository in page.repositories]

    first = listed(server, page_size=3)
    second = listed(server, page_size=3, page_token=first.next_page_token)
    assert (names(first), names(second)) == (["B", "a", "b"], ["c", "ä"])
    assert names(listed(server, page_size=3, page_token=second.previous_page_token)) == ["B", "a", "b"]
