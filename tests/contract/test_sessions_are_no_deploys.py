"""A release that only sessions tell of in an environment: it was never deployed there, and is found there."""

from __future__ import annotations

import pytest

from store.access.projects import EVERY_PROJECT
from store.commits.drafts import CommitDraft
from store.commits.set import set_commits
from store.database import Database
from store.deploys.create import DeployDraft, create_deploy
from store.deploys.current import get_current_release, running_deploys
from store.deploys.environments import list_environments
from store.deploys.list import DeployFilter, list_deploys
from store.deploys.models import ReleaseEnvironment
from store.organizations import delete
from store.organizations.delete import delete_project
from store.organizations.drain import SETTLED_US, drain_deleted_projects
from store.paging import PageRequest
from store.releases.read import get_previous_release, get_release
from store.search.filters import ReleaseFilter
from store.search.list import list_releases
from store.search.orders import Order, ReleaseSort
from store.search.suggestions.suggest import suggest_values
from tests.clocks import ManualClock
from tests.contract.adopting import ADOPTED, Days

FIRST = PageRequest(100)


@pytest.fixture
def days(database: Database, clock: ManualClock) -> Days:
    """1.0.0 was deployed to production, and has no sessions; 2.0.0 has sessions there, and was never deployed."""
    days = Days(database, clock, "web", "api")
    days.release("1.0.0", "web", "api")
    deploy(days, "1.0.0", "production")
    clock.advance(seconds=60)
    days.sessions("2.0.0", 100)
    days.sessions("2.0.0", 100, "only sessions")
    days.run()
    assert days.stage("2.0.0") is ADOPTED
    return days


def deploy(days: Days, version: str, *environments: str, finish_time: int | None = None) -> None:
    create_deploy(days.db, days.everybody, "acme", version, DeployDraft(environments, finish_time=finish_time))


def found(days: Days, query: str = "", **wanted: object) -> list[str]:
    listed = list_releases(
        days.db,
        days.everybody,
        "acme",
        ReleaseFilter(query=query, **wanted),  # type: ignore[arg-type]
        page=FIRST,
        order=Order(ReleaseSort.NAME, descending=False),
    )
    return [details.release.version for details in listed.page.items]


def running(days: Days, environment: str) -> str | None:
    current = get_current_release(days.db, days.everybody, "acme", "web", environment, FIRST)
    assert current.history.items == ()
    return None if current.release is None else current.release.release.version


def test_it_counts_no_deploys_and_none_is_listed(days: Days) -> None:
    details = get_release(days.db, days.everybody, "acme", "2.0.0")
    assert (details.release.deploy_count, details.last_deploy) == (0, None)
    assert [(row.slug, row.deploy_count, row.last_deploy_time) for row in details.in_projects] == [("web", 0, None)]
    for version in (None, "2.0.0"):
        for latest_only in (False, True):
            sought = DeployFilter(latest_only=latest_only)
            page = list_deploys(days.db, days.everybody, "acme", version, FIRST, sought=sought).page
            assert [row.version for row in page.items] == ([] if version else ["1.0.0"])
    only_there = DeployFilter(environments=frozenset({"only sessions"}), projects=frozenset({"web"}))
    assert list_deploys(days.db, days.everybody, "acme", None, FIRST, sought=only_there).page.items == ()


def test_what_runs_there_is_what_was_deployed(days: Days) -> None:
    assert running(days, "production") == "1.0.0"
    assert running(days, "only sessions") is None
    ids = {version: get_release(days.db, days.everybody, "acme", version).release.id for version in ("1.0.0", "2.0.0")}
    told = days.db.read(lambda reader: running_deploys(reader, list(ids.values()), EVERY_PROJECT, most=100))
    assert [(row.environment, row.project_slug) for row in told[ids["1.0.0"]]] == [
        ("production", "api"),
        ("production", "web"),
    ]
    assert told[ids["2.0.0"]] == ()


def test_what_ran_before_it_is_what_runs_there_now(days: Days) -> None:
    for version in ("1.0.0", "2.0.0"):
        set_commits(days.db, days.everybody, "acme", version, [CommitDraft("c0ffee", "shop")])
    before = get_previous_release(days.db, days.everybody, "acme", "2.0.0", environment="production")
    assert before is not None
    assert before.release.version == "1.0.0"
    assert get_previous_release(days.db, days.everybody, "acme", "2.0.0", environment="only sessions") is None
    assert get_previous_release(days.db, days.everybody, "acme", "1.0.0", environment="production") is None


@pytest.mark.parametrize(
    "query",
    [
        "has:deployed",
        "has:deployed.production",
        "deployed:>=2000-01-01",
        "deployed.production:>=2000-01-01",
        'has:deployed."only sessions"',
    ],
)
def test_no_query_about_deploys_finds_it(days: Days, query: str) -> None:
    assert found(days, query) == ([] if "only" in query else ["1.0.0"])
    assert found(days, f"!{query}") == (["1.0.0", "2.0.0"] if "only" in query else ["2.0.0"])


def test_queries_and_filters_about_environments_find_it(days: Days) -> None:
    assert found(days, "environment:production") == ["1.0.0", "2.0.0"]
    assert found(days, environments=("production",)) == ["1.0.0", "2.0.0"]
    assert found(days, 'environment:"only sessions"') == ["2.0.0"]
    assert found(days, environments=("only sessions",)) == ["2.0.0"]
    assert found(days, "!has:environment") == []
    assert found(days, "release:latest", environments=("production",), projects=("web",)) == ["2.0.0"]
    assert found(days, "release:latest", environments=("production",), projects=("api",)) == ["1.0.0"]


@pytest.mark.parametrize("projects", [(), ("web",)])
def test_its_environment_is_suggested_and_listed_and_the_one_without_a_name_is_not(
    days: Days, projects: tuple[str, ...]
) -> None:
    days.sessions("2.0.0", 5, "")
    days.link()
    assert found(days, environments=("",)) == ["2.0.0"]
    for prefix, expected in (("", ["only sessions", "production"]), ("o", ["only sessions"])):
        told = suggest_values(days.db, days.everybody, "acme", "environment", prefix, projects=projects, size=10)
        assert list(told.values) == expected
    listed = list_environments(days.db, days.everybody, "acme", FIRST, projects=projects)[1].items
    assert [(row.display_name, row.project_slugs) for row in listed] == [
        ("only sessions", ("web",)),
        ("production", ("api", "web")),
    ]


def test_its_first_deploy_is_its_newest_there_and_leaves_its_stage_as_it_is(days: Days) -> None:
    stages = days.stages("2.0.0")
    deploy(days, "2.0.0", "production", finish_time=1_000_000)  # long before 1.0.0 was deployed
    details = get_release(days.db, days.everybody, "acme", "2.0.0")
    assert [(row.deploy_count, row.last_deploy_time) for row in details.in_projects] == [(1, 1_000_000)]
    assert found(days, "deployed.production:<2000-01-01") == ["2.0.0"]
    assert running(days, "only sessions") is None

    late = days.clock.now_us()
    deploy(days, "2.0.0", "production", finish_time=late)
    deploy(days, "2.0.0", "production", finish_time=late - 1)
    details = get_release(days.db, days.everybody, "acme", "2.0.0")
    assert [(row.deploy_count, row.last_deploy_time) for row in details.in_projects] == [(3, late)]
    assert days.stages("2.0.0") == stages


def test_a_deleted_project_takes_its_stages_along(
    days: Days, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)  # left to the drain
    days.release("2.0.0", "api")
    days.sessions("2.0.0", 100, project="api")
    days.run()
    delete_project(days.db, days.everybody, "acme", "web", force=True)
    assert days.stages("2.0.0", "api").keys() == {"production"}
    clock.advance(seconds=SETTLED_US / 1_000_000 + 1)
    drain_deleted_projects(days.db)
    left = ReleaseEnvironment.select().where(ReleaseEnvironment.project_id == days.projects["web"])
    assert days.db.read(lambda reader: reader.fetch(left)) == []
    assert days.stages("2.0.0", "api").keys() == {"production"}
