"""CreateRelease: one row a version, whatever is sent how often (behaviour.md, Creating a release)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from store.commits.drafts import CommitDraft
from store.commits.set import set_commits
from store.database import Database, Terms, first_id_at
from store.errors import (
    CommitsBusy,
    InvalidArgument,
    InvalidField,
    OrganizationNotFound,
    ProjectForbidden,
    ReleaseNotFound,
)
from store.organizations.projects import ProjectChanges, update_project
from store.releases.create import CreatedRelease, CreateOutcome, ReleaseDraft, create_release
from store.releases.models import Release
from store.releases.read import get_release
from store.releases.rows import ReleaseStatus
from store.releases.version import NO_BUILD_KEY, NO_SEMVER_KEY, parse_version
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, held_at


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "cli", "web")


def test_a_new_release_holds_what_was_sent(acme: Acme) -> None:
    created = acme.release(
        "app@1.2.3",
        "web",
        "api",
        ref="main",
        url="https://example.com/1",
        owner="someone",
        release_time=START_US - 5,
        user_agent="ci/1",
    )

    release = created.details.release
    assert created.outcome is CreateOutcome.CREATED
    assert [project.slug for project in release.projects] == ["api", "web"]
    assert (release.ref, release.url, release.owner) == ("main", "https://example.com/1", "someone")
    assert (release.release_time, release.create_time, release.update_time) == (START_US - 5, START_US, START_US)
    assert (release.status, release.user_agent, release.commit_count) == (ReleaseStatus.OPEN, "ci/1", 0)
    assert get_release(acme.db, acme.everybody, "acme", "app@1.2.3") == created.details


def test_the_columns_of_the_version_are_filled(acme: Acme) -> None:
    acme.release("app@1.2.3.4-rc.1+55", "web")
    acme.release("no Version at all", "web")

    rows = acme.db.read(lambda reader: reader.fetch(Release.select().order_by(Release.version)))
    semver, other = rows
    assert (semver.package, semver.build_code, semver.build_key) == ("app", "55", 55)
    assert (other.package, other.build_code, other.build_key) == (None, None, NO_BUILD_KEY)
    assert (semver.version_key, other.version_key) == (parse_version(semver.version).sort_key, NO_SEMVER_KEY)
    assert (semver.folded_version, other.folded_version) == ("app@1.2.3.4-rc.1+55", "no version at all")


def test_rows_in_projects_carry_what_lists_sort_by(acme: Acme) -> None:
    created = acme.release("app@1.0.0+7", "web", "api", release_time=START_US - 1)

    rows = acme.rows_in_projects(created.details.release.id)
    assert {row.project_id for row in rows} == {acme.projects["web"], acme.projects["api"]}
    for row in rows:
        assert (row.status, row.sort_time, row.version) == (ReleaseStatus.OPEN, START_US - 1, "app@1.0.0+7")
        assert (row.version_key, row.build_key) == (parse_version("app@1.0.0+7").sort_key, 7)
        assert (row.commit_count, row.deploy_count) == (0, 0)


def test_releases_are_told_apart_by_their_time_first(acme: Acme, clock: ManualClock) -> None:
    clock.advance(seconds=1)
    later = acme.release("later", "web").details.release
    clock.jump(seconds=-1)
    earlier = acme.release("earlier", "web").details.release

    assert first_id_at(START_US) <= earlier.id < first_id_at(START_US + 1)
    assert first_id_at(START_US + 1_000_000) <= later.id < first_id_at(START_US + 1_000_001)


def test_a_second_create_of_the_same_version_is_unchanged(acme: Acme) -> None:
    first = acme.release("1.0.0", "web")
    second = acme.release("1.0.0", "web")

    assert second.outcome is CreateOutcome.UNCHANGED
    assert second.details == first.details


def test_an_existing_release_keeps_what_callers_wrote(acme: Acme, clock: ManualClock) -> None:
    acme.release("1.0.0", "web", ref="main", url="https://a", owner="a", release_time=1, user_agent="first")
    clock.advance(seconds=1)
    again = acme.release("1.0.0", "web", "api", ref="x", url="https://b", owner="b", release_time=2, user_agent="x")

    release = again.details.release
    assert again.outcome is CreateOutcome.EXTENDED
    assert (release.ref, release.url, release.owner) == ("main", "https://a", "a")
    assert (release.release_time, release.user_agent, release.create_time) == (1, "first", START_US)


def test_attaching_a_project_extends_the_release(acme: Acme, clock: ManualClock) -> None:
    first = acme.release("1.0.0", "web").details.release
    clock.advance(seconds=1)
    second = acme.release("1.0.0", "web", "api")

    release = second.details.release
    assert second.outcome is CreateOutcome.EXTENDED
    assert [project.slug for project in release.projects] == ["api", "web"]
    assert release.etag != first.etag
    assert release.update_time == START_US + 1_000_000
    assert len(acme.rows_in_projects(release.id)) == 2
    assert get_release(acme.db, acme.everybody, "acme", "1.0.0") == second.details


def test_an_existing_release_is_archived_and_opened_again_without_naming_projects(acme: Acme) -> None:
    created = acme.release("1.0.0", "web", "api").details.release

    archived = acme.release("1.0.0", status=ReleaseStatus.ARCHIVED)
    assert (archived.outcome, archived.details.release.status) == (CreateOutcome.UNCHANGED, ReleaseStatus.ARCHIVED)
    assert {row.status for row in acme.rows_in_projects(created.id)} == {ReleaseStatus.ARCHIVED}
    assert archived.details.release.etag != created.etag

    left_alone = acme.release("1.0.0", "web")
    assert left_alone.details.release.status == ReleaseStatus.ARCHIVED

    opened = acme.release("1.0.0", status=ReleaseStatus.OPEN)
    assert opened.details.release.status == ReleaseStatus.OPEN
    assert {row.status for row in acme.rows_in_projects(created.id)} == {ReleaseStatus.OPEN}


def test_a_project_attached_to_an_archived_release_lists_it_as_archived(acme: Acme) -> None:
    acme.release("1.0.0", "web", status=ReleaseStatus.ARCHIVED)
    created = acme.release("1.0.0", "api").details.release

    assert {row.status for row in acme.rows_in_projects(created.id)} == {ReleaseStatus.ARCHIVED}


def test_a_new_release_needs_a_project(acme: Acme) -> None:
    with pytest.raises(InvalidField) as raised:
        acme.release("1.0.0")
    assert raised.value.metadata == {"field": "release.projects"}


def test_a_version_that_is_none_is_refused(acme: Acme) -> None:
    with pytest.raises(InvalidArgument):
        acme.release("latest", "web")


def test_more_than_a_hundred_projects_are_refused(acme: Acme) -> None:
    many = [f"project-{index}" for index in range(98)]
    for slug in many:
        acme.add_project(slug)
    acme.release("1.0.0", *many, "web", "api")

    with pytest.raises(InvalidField):
        acme.release("1.0.0", "cli")
    with pytest.raises(InvalidField):
        acme.release("2.0.0", *many, "web", "api", "cli")


@pytest.mark.parametrize("project", ["nowhere", "api"])
def test_projects_that_are_missing_or_not_the_callers_are_refused_alike(acme: Acme, project: str) -> None:
    caller = acme.member_of("web")
    with pytest.raises(ProjectForbidden) as raised:
        acme.release("1.0.0", "web", project, access=caller)

    assert raised.value.metadata == {"projects": project}
    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, OPERATOR, "acme", "1.0.0")


def test_open_membership_does_not_let_create_in_other_projects(database: Database) -> None:
    acme = Acme(database, "web", "api", open_membership=True)
    with pytest.raises(ProjectForbidden):
        acme.release("1.0.0", "api", access=acme.member_of("web"))


def test_an_existing_release_is_extended_only_by_who_may_access_all_its_projects(acme: Acme) -> None:
    acme.release("1.0.0", "api", "cli")
    with pytest.raises(ProjectForbidden) as raised:
        acme.release("1.0.0", "web", access=acme.member_of("web", "api"))

    assert raised.value.metadata == {"projects": "api, cli"}
    assert len(get_release(acme.db, OPERATOR, "acme", "1.0.0").release.projects) == 2


def test_open_membership_lets_extend_a_release_of_other_projects(database: Database) -> None:
    acme = Acme(database, "web", "api", open_membership=True)
    acme.release("1.0.0", "api")
    assert acme.release("1.0.0", "web", access=acme.member_of("web")).outcome is CreateOutcome.EXTENDED


def test_another_organization_looks_as_if_it_were_not_there(acme: Acme, database: Database) -> None:
    other = Acme(database, "web", slug="other")
    with pytest.raises(OrganizationNotFound):
        create_release(database, other.everybody, "acme", ReleaseDraft("1.0.0", projects=("web",)))
    assert other.release("1.0.0", "web").outcome is CreateOutcome.CREATED
    assert acme.release("1.0.0", "web").outcome is CreateOutcome.CREATED


def test_each_project_of_a_new_release_gets_its_activities(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api", release_time=START_US - 9)

    for project in ("web", "api"):
        assert acme.activities(project) == [
            ("release_created", "1.0.0", START_US),
            ("release_finalized", "1.0.0", START_US - 9),
        ]


def test_only_newly_attached_projects_get_activities(acme: Acme) -> None:
    acme.release("1.0.0", "web", release_time=7)
    acme.release("1.0.0", "web", "api")

    assert len(acme.activities("web")) == 2
    assert acme.activities("api") == [("release_created", "1.0.0", START_US), ("release_finalized", "1.0.0", 7)]


def test_archiving_and_opening_again_are_told_to_each_project(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    acme.release("1.0.0", status=ReleaseStatus.ARCHIVED)
    acme.release("1.0.0", status=ReleaseStatus.ARCHIVED)
    acme.release("1.0.0", status=ReleaseStatus.OPEN)

    kinds = ["release_created", "release_archived", "release_reopened"]
    assert [kind for kind, _, _ in acme.activities("web")] == kinds
    assert [kind for kind, _, _ in acme.activities("api")] == kinds


def test_an_activity_keeps_64_characters_of_the_version(acme: Acme) -> None:
    acme.release("v" * 200, "web")
    assert acme.activities("web") == [("release_created", "v" * 64, START_US)]


def test_commits_are_set_with_the_release(acme: Acme) -> None:
    commits = (CommitDraft("a", "repo", commit_time=1), CommitDraft("b", "repo", commit_time=2))
    created = acme.release("1.0.0", "web", commits=commits)

    contents = created.details.contents
    assert contents is not None
    assert contents.last_commit is not None
    assert (created.details.release.commit_count, contents.last_commit.key) == (2, "b")
    assert [row.commit_count for row in acme.rows_in_projects(created.details.release.id)] == [2]
    assert "commits_set" in [kind for kind, _, _ in acme.activities("web")]


def test_a_create_with_commits_that_waits_as_long_as_it_may_is_told_that_they_are_busy(acme: Acme) -> None:
    acme.release("1.0.0", "web")
    with ThreadPoolExecutor(1) as pool, held_at(acme.db, 'INSERT INTO "release_commit"') as held:
        first = pool.submit(acme.release, "1.0.0", commits=(CommitDraft("a", "shared"),))
        assert held.wait(60)
        for version in ("1.0.0", "2.0.0"):  # the same release, and one whose repository is the same
            draft = ReleaseDraft(version, projects=("web",), commits=(CommitDraft("b", "shared"),))
            with pytest.raises(CommitsBusy) as busy:
                create_release(acme.db, acme.everybody, "acme", draft, wait_seconds=0.05)
            assert busy.value.metadata == {"name": f"organizations/acme/releases/{version}"}
        with pytest.raises(CommitsBusy):
            set_commits(acme.db, acme.everybody, "acme", "1.0.0", [CommitDraft("b")], wait_seconds=0.05)
    first.result(60)
    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, acme.everybody, "acme", "2.0.0")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # an SQLite database has one process
def test_a_create_whose_repository_another_process_holds_is_told_that_it_is_busy(acme: Acme, database_url: str) -> None:
    acme.release("1.0.0", "web", commits=(CommitDraft("a", "shared"),))
    draft = ReleaseDraft("2.0.0", projects=("web",), commits=(CommitDraft("b", "shared"),))
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1 FROM repository FOR UPDATE")
        with pytest.raises(CommitsBusy):
            create_release(acme.db, acme.everybody, "acme", draft, wait_seconds=1.0)
        other.rollback()
    created: CreatedRelease = create_release(acme.db, acme.everybody, "acme", draft)
    assert created.outcome is CreateOutcome.CREATED


def test_no_commits_leave_those_of_the_release_alone(acme: Acme) -> None:
    acme.release("1.0.0", "web", commits=(CommitDraft("a", "repo"),))
    again = acme.release("1.0.0", "web", "api")

    assert again.details.release.commit_count == 1
    assert [row.commit_count for row in acme.rows_in_projects(again.details.release.id)] == [1, 1]
    assert again.details.contents is not None
    assert again.details.contents.last_commit is not None


def test_a_rehearsal_changes_nothing(acme: Acme) -> None:
    draft = ReleaseDraft("1.0.0", projects=("web",), commits=(CommitDraft("a", "repo"),))
    terms: Terms[CreatedRelease, CreatedRelease] = Terms(validate_only=True)
    rehearsed = create_release(acme.db, acme.everybody, "acme", draft, terms)

    assert rehearsed.outcome is CreateOutcome.CREATED
    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, acme.everybody, "acme", "1.0.0")
    assert acme.activities() == []


def test_fifty_creates_at_once_make_one_release(acme: Acme) -> None:
    def create(number: int) -> CreatedRelease:
        return acme.release("app@1.0.0", ("web", "api", "cli")[number % 3], ref=f"ref-{number}")

    with ThreadPoolExecutor(16) as threads:
        created = list(threads.map(create, range(50)))

    outcomes = Counter(each.outcome for each in created)
    assert outcomes == {CreateOutcome.CREATED: 1, CreateOutcome.EXTENDED: 2, CreateOutcome.UNCHANGED: 47}
    assert len({each.details.release.id for each in created}) == 1
    assert len({each.details.release.ref for each in created}) == 1
    final = get_release(acme.db, acme.everybody, "acme", "app@1.0.0").release
    assert [project.slug for project in final.projects] == ["api", "cli", "web"]
    rows = acme.db.read(lambda reader: reader.fetch(Release.select()))
    assert [row.project_count for row in rows] == [3]
    assert [kind for kind, _, _ in acme.activities()] == ["release_created"] * 3


def test_a_user_agent_is_cut_at_256_characters(acme: Acme) -> None:
    created = acme.release("1.0.0", "web", user_agent="x" * 300)
    assert created.details.release.user_agent == "x" * 256


def test_a_project_named_by_its_slug_and_its_former_slug_is_attached_once(acme: Acme) -> None:
    update_project(acme.db, OPERATOR, "acme", "web", ProjectChanges(slug="site"))
    created = acme.release("1.0.0", "web", "site")
    assert [project.slug for project in created.details.release.projects] == ["site"]
