"""DeleteOrganization: gone at once for everybody, its rows bit by bit, its slugs never."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peewee import Model

from store import Store
from store.access.credentials import authenticate
from store.access.tokens import CreatedToken, TokenDraft, create_token, whoami
from store.blobs.blobs import open_blobs
from store.commits.drafts import CommitDraft
from store.database import Database, Terms, new_id
from store.deploys.create import DeployDraft, create_deploy
from store.errors import CredentialsInvalid, HasChildren, OrganizationExists, OrganizationNotFound
from store.health.discovery import discover
from store.health.items import SessionCounts, SessionUpdate
from store.health.thresholds import ThresholdDraft, ThresholdMetric, ThresholdTrigger, create_threshold
from store.health.upkeep import keep_up
from store.health.windows import DAY_US
from store.organizations import delete, drain
from store.organizations.avatars import start_avatar
from store.organizations.delete import delete_organization, delete_project
from store.organizations.drain import SETTLED_US, drain_deleted_organizations
from store.organizations.models import Organization
from store.organizations.organizations import (
    OrganizationChanges,
    OrganizationDraft,
    create_organization,
    get_organization,
    list_organizations,
    update_organization,
)
from store.paging import PageRequest, open_page_tokens
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.releases.read import get_release
from store.schema import MODELS
from store.uploads.models import Upload, UploadChunk
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, at_once
from tests.contract.telling import Telling, counts, update
from tests.pictures import picture

PAGE = PageRequest(100)
OUTLIVE = {"Organization", "OrganizationSlug", "AnsweredRequest", "InstallationSecret", "JobLease"}
"""What is kept of the installation itself."""


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


@pytest.fixture
def settled(clock: ManualClock) -> Callable[[], None]:
    def later() -> None:
        clock.advance(seconds=SETTLED_US / 1_000_000)

    return later


def remove(acme: Acme, *, force: bool = False, rehearse: bool = False) -> None:
    terms: Terms[None, None] = Terms(validate_only=rehearse)
    delete_organization(acme.db, OPERATOR, acme.slug, force=force, terms=terms)


def rows(acme: Acme, model: type[Model]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = acme.db.read(lambda reader: reader.fetch(model.select().dicts()))
    return found


def left(acme: Acme) -> dict[str, int]:
    """How many rows each table holds, but for those of the installation."""
    return {model.__name__: len(rows(acme, model)) for model in MODELS if model.__name__ not in OUTLIVE}


def fill(acme: Acme) -> CreatedToken:
    """Something in every table that an organization's own operations write, blobs aside."""
    commits = tuple(
        CommitDraft(f"id-{index}", f"repo-{index % 3}", author_email=f"{index}@example.com", message=f"Fix WEB-{index}")
        for index in range(7)
    )
    for version in ("1", "2"):
        acme.release(version, "web", "api", commits=commits, labels={"team": "web", "risk": "low"})
        create_deploy(acme.db, OPERATOR, acme.slug, version, DeployDraft(("staging", "production")))
    upload_id = new_id()
    acme.db.write(lambda tx: tx.execute(Upload.insert(_upload(acme, upload_id))))
    acme.db.write(
        lambda tx: tx.execute(
            UploadChunk.insert(
                {
                    "organization_id": acme.id,
                    "upload_id": upload_id,
                    "start_offset": 0,
                    "chunk_sha256": bytes(32),
                    "size_bytes": 1,
                }
            )
        )
    )
    web = Telling(acme)
    told: list[SessionUpdate | SessionCounts]
    told = [update(1, start_time=START_US - 5 * DAY_US), update(2, version="new"), counts(1, exited_count=3)]
    web.tell(*told, slug=acme.slug)
    draft = ThresholdDraft(ThresholdMetric.CRASH_FREE_SESSION_RATE, ThresholdTrigger.UNDER, 99_000, 3600)
    create_threshold(acme.db, OPERATOR, acme.slug, "web", draft)
    discover(acme.db, [acme.projects["web"]])
    keep_up(acme.db, web.limits)
    acme.add_project("old")
    delete_project(acme.db, OPERATOR, acme.slug, "old")
    made: CreatedToken = create_token(
        acme.db, OPERATOR, acme.slug, TokenDraft(("org:admin", "release:read"), display_name="ci", projects=("web",))
    )
    return made


def _upload(acme: Acme, upload_id: bytes) -> dict[str, Any]:
    values: dict[str, Any] = {"organization_id": acme.id, "id": upload_id, "header_sha256": bytes(32), "header": {}}
    numbers = dict.fromkeys(("fence", "committed_bytes", "create_time", "expire_time"), 0)
    given = {**values, **numbers, "release_id": new_id(), "state": "open", "file_id": None, "created": False}
    defaults: dict[str, Any] = {name: 0 for name in Upload._meta.fields if name not in given}
    return {**given, **defaults}


def test_an_organization_without_children_is_gone_at_once(database: Database) -> None:
    acme = Acme(database)
    remove(acme)
    with pytest.raises(OrganizationNotFound):
        get_organization(database, OPERATOR, "acme")
    with pytest.raises(OrganizationNotFound):
        remove(acme)
    with pytest.raises(OrganizationNotFound):
        update_organization(database, OPERATOR, "acme", OrganizationChanges(display_name="new"))
    assert list_organizations(database, OPERATOR, PAGE).items == ()


def test_with_children_it_is_deleted_by_force_only(acme: Acme) -> None:
    with pytest.raises(HasChildren) as refused:
        remove(acme)
    assert refused.value.metadata == {"projects": "2", "releases": "0"}
    for version in ("1", "2", "3"):
        acme.release(version, "web")
    with pytest.raises(HasChildren) as refused:
        remove(acme)
    assert refused.value.metadata == {"projects": "2", "releases": "3"}
    remove(acme, force=True)
    for call in (
        lambda: get_release(acme.db, OPERATOR, "acme", "1"),
        lambda: acme.listed(OPERATOR),
        lambda: acme.release("4", "web"),
        lambda: acme.add_project("newest"),
        lambda: create_token(acme.db, OPERATOR, "acme", TokenDraft(("org:read",))),
    ):
        with pytest.raises(OrganizationNotFound):
            call()


def test_its_slugs_are_never_given_to_another_even_when_nothing_else_is_left(
    acme: Acme, settled: Callable[[], None]
) -> None:
    update_organization(acme.db, OPERATOR, "acme", OrganizationChanges(slug="acme-corp"))
    acme.slug = "acme-corp"
    remove(acme, force=True)
    settled()
    assert drain_deleted_organizations(acme.db) == 1
    assert rows(acme, Organization) == []
    for slug in ("acme", "acme-corp"):
        with pytest.raises(OrganizationExists):
            create_organization(acme.db, OrganizationDraft(slug))


def test_its_tokens_end_with_it(acme: Acme, clock: ManualClock) -> None:
    made = fill(acme)
    now = clock.now_us()
    access = acme.db.read(lambda reader: authenticate(reader, made.secret, now))
    assert whoami(acme.db, access).organization == "acme"
    remove(acme, force=True)
    with pytest.raises(CredentialsInvalid):
        acme.db.read(lambda reader: authenticate(reader, made.secret, now))


def test_the_drain_removes_every_row_of_it_and_no_row_of_another(
    acme: Acme, settled: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Acme(acme.db, "api", "web", slug="other")
    fill(other)
    kept = {model: [row for row in rows(acme, model) if not of(acme, row)] for model in MODELS}
    fill(acme)
    assert {name for name, count in left(acme).items() if not count} <= {
        "Pack",
        "Chunk",
        "Content",
        "ContentChunk",
        "ReleaseFile",
        "DrainingRelease",
        "OrganizationUsage",
        "CommitFile",
    }
    monkeypatch.setattr(drain, "MOST_ROWS", 4)
    monkeypatch.setattr(drain, "MOST_RELEASES", 1)
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    remove(acme, force=True)
    settled()
    assert drain_deleted_organizations(acme.db) == 1
    assert drain_deleted_organizations(acme.db) == 0

    after = {model: rows(acme, model) for model in MODELS}
    assert [row for found in after.values() for row in found if of(acme, row)] == [
        {"slug": "acme", "organization_id": acme.id}
    ]
    assert {model: [row for row in found if not of(acme, row)] for model, found in after.items()} == kept


def of(acme: Acme, row: dict[str, Any]) -> bool:
    """Whether the row says that it is the organization's."""
    return acme.id in (row.get("organization_id"), row.get("id"))


def test_the_call_itself_leaves_nothing_of_a_small_organization_but_the_mark(
    acme: Acme, settled: Callable[[], None]
) -> None:
    fill(acme)
    remove(acme, force=True)
    assert sum(left(acme).values()) == 0
    assert len(rows(acme, Organization)) == 1
    settled()
    assert drain_deleted_organizations(acme.db) == 1
    assert rows(acme, Organization) == []


def test_the_drain_stops_when_it_is_told_and_goes_on_later(
    acme: Acme, settled: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    monkeypatch.setattr(drain, "MOST_ROWS", 3)
    fill(acme)
    remove(acme, force=True)
    settled()
    for steps in range(1, 40):
        asked = iter([False] * steps)
        if drain_deleted_organizations(acme.db, stopped=lambda asked=asked: next(asked, True)):  # type: ignore[misc]
            break
    assert steps > 2
    assert sum(left(acme).values()) == 0


@pytest.mark.parametrize("attempt", range(5))
def test_a_project_created_at_the_same_time_is_a_child_or_finds_no_organization(
    database: Database, attempt: int
) -> None:
    acme = Acme(database, slug=f"acme-{attempt}")

    def either(index: int) -> None:
        if index:
            acme.add_project("web")
        else:
            remove(acme)

    deleted, created = at_once(2, either)
    assert (type(deleted), type(created)) in (
        (HasChildren, type(None)),
        (type(None), OrganizationNotFound),
    )


def test_a_rehearsal_deletes_nothing(acme: Acme) -> None:
    before = left(acme)
    with pytest.raises(HasChildren):
        remove(acme, rehearse=True)
    remove(acme, rehearse=True, force=True)
    assert get_organization(acme.db, OPERATOR, "acme").slug == "acme"
    assert left(acme) == before


def test_its_picture_is_no_longer_referred_to(acme: Acme, tmp_path: Path) -> None:
    blobs = open_blobs(acme.db, tmp_path / "blobs")
    try:
        data = picture()
        with start_avatar(Store(acme.db, blobs, open_page_tokens(acme.db)), OPERATOR, "acme") as upload:
            upload.write(data)
            upload.finish(size_bytes=len(data), sha256=hashlib.sha256(data).digest())
        remove(acme, force=True)
        assert [row["avatar_content_id"] for row in rows(acme, Organization)] == [None]
    finally:
        blobs.close()


def test_releases_that_were_deleted_before_go_with_it(acme: Acme, settled: Callable[[], None]) -> None:
    acme.release("1", "web")
    delete_release(acme.db, OPERATOR, "acme", "1")
    remove(acme, force=True)
    settled()
    assert drain_deleted_organizations(acme.db) == 1
    assert drain_deleted_releases(acme.db) == 0
    assert sum(left(acme).values()) == 0
