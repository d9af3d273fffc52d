"""What a filter is for one caller: whose releases, which statuses, which times; and what is as if it were not there."""

from __future__ import annotations

from typing import Any

import pytest

from store.access import Access
from store.database import Database
from store.errors import InvalidField, OrganizationNotFound, ProjectForbidden, QueryInvalid
from store.organizations import delete
from store.organizations.delete import delete_project
from store.organizations.projects import ProjectChanges, update_project
from store.paging import PageRequest
from store.releases.rows import ReleaseStatus
from store.search import related
from store.search import resolve as resolving
from store.search.conditions import condition_of
from store.search.filters import ReleaseFilter, Scope, TimeSpan
from store.search.list import list_releases
from store.search.resolve import resolve
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR
from tests.search.dataset import Dataset, write_dataset
from tests.search.small_set import commit, deploy, release, stay
from tests.search.strategies import DAY, NOW

PROJECTS = ("web", "api", "cli")
BOTH = (ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def written(db: Database, *releases: dict[str, Any], projects: tuple[str, ...] = PROJECTS) -> Dataset:
    """A data set of these releases, numbered, so that later ones are newer."""
    numbered = [each | {"id": number} for number, each in enumerate(releases, start=1)]
    return write_dataset(db, numbered, projects=projects, slug="acme")


def scope_of(db: Database, data: Dataset, access: Access | None = None, **wanted: Any) -> Scope:
    return db.read(
        lambda reader: resolve(reader, access or data.access(), data.slug, ReleaseFilter(**wanted), now_us=NOW)
    )


def found(db: Database, data: Dataset, query: str, access: Access | None = None, **wanted: Any) -> list[str]:
    """The versions that a query finds, the oldest first."""
    said = ReleaseFilter(query=query, **wanted)
    shown = list_releases(db, access or data.access(), data.slug, said, page=PageRequest(1000)).page.items
    return [item.release.version for item in reversed(shown)]


def test_open_ones_are_meant_unless_statuses_or_the_query_say_which(database: Database) -> None:
    data = written(database)
    assert scope_of(database, data).statuses == (1,)
    assert scope_of(database, data, query="ref:main").statuses == (1,)
    assert scope_of(database, data, query="ref:main OR !(a !status:open)").statuses == (1, 2)
    assert scope_of(database, data, query="status:open", statuses=(ReleaseStatus.ARCHIVED,)).statuses == (2,)
    assert scope_of(database, data, statuses=(*BOTH, *BOTH)).statuses == (1, 2)


def test_another_default_status_can_be_meant(database: Database) -> None:
    data = written(database)

    def statuses(query: str) -> tuple[int, ...]:
        archived, wanted = ReleaseStatus.ARCHIVED, ReleaseFilter(query=query)
        return database.read(
            lambda reader: resolve(reader, data.access(), "acme", wanted, now_us=NOW, default_status=archived)
        ).statuses

    assert statuses("") == (2,)
    assert statuses("status:open") == (1, 2)


def test_a_period_ends_now_and_a_span_does_not_end_before_it_begins(database: Database) -> None:
    data = written(database)
    scope = scope_of(database, data, created=TimeSpan(ago_us=DAY), released=TimeSpan(NOW, NOW))
    assert (scope.created, scope.released) == ((NOW - DAY, None), (NOW, NOW))
    backwards = TimeSpan(NOW, NOW - 1)
    for field, wanted in (
        ("created", ReleaseFilter(created=backwards)),
        ("released", ReleaseFilter(released=backwards)),
    ):
        with pytest.raises(InvalidField) as refused:
            database.read(lambda reader, wanted=wanted: resolve(reader, data.access(), "acme", wanted, now_us=NOW))  # type: ignore[misc]
        assert refused.value.metadata["field"] == f"{field}.end_time"


def test_what_cannot_be_read_or_is_not_the_callers_is_refused(database: Database) -> None:
    data = written(database)
    with pytest.raises(QueryInvalid):
        scope_of(database, data, query="foo:bar")
    with pytest.raises(ProjectForbidden):
        scope_of(database, data, data.access("web"), projects=("api",))
    with pytest.raises(OrganizationNotFound):
        database.read(lambda reader: resolve(reader, data.access(), "other", ReleaseFilter(), now_us=NOW))


def test_an_environment_that_there_is_not_finds_nothing(database: Database) -> None:
    data = written(database, release("1.0", deploys=[deploy("production", 1)]))
    assert found(database, data, "", environments=("production", "nowhere")) == ["1.0"]
    assert found(database, data, "", environments=("nowhere",)) == []
    assert found(database, data, "release:latest", environments=("nowhere",)) == []


def test_sessions_bring_a_release_to_an_environment_and_are_no_deploys(database: Database) -> None:
    data = written(
        database,
        release("1.0", stays=[stay("production", adopted=3, unadopted=1)]),
        release("2.0", stays=[stay("")]),
        release("3.0", deploys=[deploy("production", 1)], stays=[stay("production", adopted=2)]),
        release("4.0", deploys=[deploy("staging", 1)], stays=[stay("production", adopted=2, unadopted=1)]),
        release("5.0"),
    )
    there: dict[str, Any] = {"environments": ("production",)}
    assert found(database, data, "", **there) == ["1.0", "3.0", "4.0"]
    assert found(database, data, "environment:production") == ["1.0", "3.0", "4.0"]
    assert found(database, data, "has:environment") == ["1.0", "3.0", "4.0"]
    assert found(database, data, 'environment:""') == ["2.0"]
    assert found(database, data, "", environments=("",)) == ["2.0"]
    for deployed in ("has:deployed.production", "deployed.production:-30d"):
        assert found(database, data, deployed) == ["3.0"]
    for deployed in ("has:deployed", "deployed:-30d"):
        assert found(database, data, deployed) == ["3.0", "4.0"]
    assert found(database, data, "release.stage:adopted", **there) == ["3.0"]
    assert found(database, data, "release.stage:replaced", **there) == ["1.0", "4.0"]
    assert found(database, data, "!release.stage:adopted", **there) == ["1.0", "4.0"]


def test_stages_are_asked_for_in_exactly_one_environment(database: Database) -> None:
    data = written(database, release("1.0", stays=[stay("production", adopted=1)]))
    assert found(database, data, "release.stage:adopted", environments=("production", "production")) == ["1.0"]
    assert found(database, data, "release.stage:adopted", environments=("nowhere",)) == []
    for environments in ((), ("",), ("production", "staging")):
        with pytest.raises(QueryInvalid) as refused:
            found(database, data, 'ref:"release.stage:x" OR release.stage:adopted', environments=environments)
        assert refused.value.position == 26


def test_a_project_is_found_by_the_slugs_that_it_had(database: Database) -> None:
    data = written(database, release("1.0", projects=["web"]), release("2.0", projects=["api"]))
    update_project(database, OPERATOR, "acme", "web", ProjectChanges(slug="site"))
    for query in ("project:web", "project:site", "project:s*e", "project:[site, other]", "!project:api"):
        assert found(database, data, query) == ["1.0"], query
    assert found(database, data, "project:w*") == []
    assert found(database, data, "project:[web, a*]") == ["1.0", "2.0"]


def test_what_is_of_other_projects_is_as_if_it_were_not_there(database: Database) -> None:
    shared = release(
        "1.0",
        projects=["web", "api"],
        deploys=[deploy("production", 1, "api"), deploy("staging", 2, "web")],
        files=[{"name": "api.map", "project": "api"}, {"name": "web.map", "project": "web"}],
    )
    data = written(database, shared, release("2.0", projects=["api"]))
    queries = {
        "": ["1.0"],
        "project:api": [],
        "has:project": ["1.0"],
        "environment:production": [],
        "environment:*": ["1.0"],
        "deployed:-36h": [],
        "deployed:<2026-11-23": ["1.0"],
        "deployed.production:<2026-11-23": [],
        "has:deployed.production": [],
        "file:api.map": [],
        "file:*.map": ["1.0"],
        "release:latest": ["1.0"],
    }
    for query, expected in queries.items():
        assert found(database, data, query, data.access("web")) == expected, query
        assert found(database, data, query, projects=("web",)) == expected, query
    assert found(database, data, "project:api") == ["1.0", "2.0"]
    assert found(database, data, "file:api.map environment:production deployed:-36h") == ["1.0"]


def test_a_deleted_project_is_as_if_it_were_not_there_before_the_drain_comes_by(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)  # the rows are all there
    shared = release(
        "1.0",
        projects=["web", "api"],
        deploys=[deploy("production", 1, "api")],
        files=[{"name": "api.map", "project": "api"}],
    )
    data = written(database, shared, release("2.0", projects=["api"]))
    member = data.access("web", "api")
    delete_project(database, OPERATOR, "acme", "api", force=True)
    for access in (data.access(), member):
        assert found(database, data, "", access) == ["1.0"]
        assert found(database, data, "project:web release:latest", access) == ["1.0"]
        for query in (
            "project:api",
            "project:a*",
            "environment:production",
            "has:deployed",
            "deployed:<-1h",
            "has:file",
        ):
            assert found(database, data, query, access) == [], query
    assert found(database, data, "", data.access("api")) == []


def test_a_reference_counts_while_its_commit_is_in_the_release(database: Database) -> None:
    said = commit("abcdef1", fixes=["WEB-1"])
    data = written(database, release("1.0", commits=[said]), release("2.0"))
    assert found(database, data, "reference:web-1 has:reference") == ["1.0"]
    assert found(database, data, "!reference:web-1") == ["2.0"]


def test_text_longer_than_an_index_takes_is_found_by_all_of_it(database: Database) -> None:
    # 18 characters of 3 bytes or fewer each: 100 of them fold to more than is kept.
    name = "ﷺ" * 100
    data = written(database, release("1.0", files=[{"name": name, "project": None}], owner=name), release("2.0"))
    assert found(database, data, f"file:{name}") == ["1.0"]
    assert found(database, data, f"owner:{name}") == ["1.0"]
    assert found(database, data, f"owner:{name[:-1]}x") == ["1.0"], "the same as far as it is kept"
    assert found(database, data, f"file:{name[:20]}") == []


def test_characters_that_mean_something_in_patterns_stand_for_themselves(database: Database) -> None:
    odd = ("%", "_", "?", "[a]", "[", "]", "^", "'", '"', "x%y", "a_b", "a?b", "-", "{", "$1", "?1", "%s", "%%")
    data = written(database, *(release(f"v{number}", ref=text) for number, text in enumerate(odd)), release("none"))
    for number, text in enumerate(odd):
        said = text.replace('"', '\\"')
        alike = [f"v{index}" for index, other in enumerate(odd) if text in other]
        assert found(database, data, f'ref:"{said}"') == [f"v{number}"], text
        assert found(database, data, f'ref:"*{said}*"') == alike, text
        begins = [f"v{index}" for index, other in enumerate(odd) if other.startswith(text)]
        ends = [f"v{index}" for index, other in enumerate(odd) if other.endswith(text)]
        assert found(database, data, f'ref:"{said}*"') == begins, text
        assert found(database, data, f'ref:"*{said}"') == ends, text


def test_case_counts_in_wildcards_where_the_key_says_so(database: Database) -> None:
    data = written(
        database,
        release("App@1.0", ref="Main", labels={"team": "Web"}, owner="Ann", commits=[commit("ABCDEF12")]),
        release("app@1.1", ref="main", labels={"team": "web"}, owner="ANN", commits=[commit("abcdef12")]),
    )
    for query in ("release:app*", "ref:m*n", "label.team:w*", "commit:abcd*2", "commit:abcd", "release.package:a*p"):
        assert found(database, data, query) == ["app@1.1"], query
    assert found(database, data, "owner:aN*") == ["App@1.0", "app@1.1"]
    assert found(database, data, "APP@") == ["App@1.0", "app@1.1"]


def test_a_hundred_terms_of_many_projects_are_one_statement(database: Database) -> None:
    projects = tuple(f"project-{number:03}" for number in range(700))
    data = written(database, *(release(f"{slug}@1.0", projects=[slug]) for slug in projects), projects=projects)
    wide = data.access(*projects)
    latest = " OR ".join(["(release:latest project:*7)"] * 50)
    assert len(found(database, data, latest, wide)) == 70
    nowhere = " ".join(["!has:deployed"] * 100)
    assert len(found(database, data, nowhere, wide)) == 700
    assert scope_of(database, data, wide, query="release:latest").latest == frozenset(data.ids.values())


def test_the_deepest_and_longest_queries_can_be_asked(database: Database) -> None:
    data = written(database, release("1.0", ref="main"))
    assert found(database, data, "!(" * 10 + "ref:main" + ")" * 10) == ["1.0"]
    assert found(database, data, " ".join(["ref:m*n"] * 100)) == ["1.0"]
    assert found(database, data, " OR ".join([*["ref:x"] * 99, "ref:main"])) == ["1.0"]
    assert found(database, data, f"ref:[{', '.join(['x'] * 99)}, main]") == ["1.0"]


def test_a_beginning_that_many_commits_have_finds_the_same(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("abcd01", "abcd02", "abcd03", "abc001")
    data = written(database, *(release(f"{index}.0", commits=[commit(key)]) for index, key in enumerate(keys)))
    for few in (0, 2, 3, 1000):
        monkeypatch.setattr(resolving, "FEW_COMMITS", few)
        assert scope_of(database, data, query="commit:abcd").rare_prefixes == (
            frozenset({"abcd"}) if few >= 3 else frozenset()
        )
        assert found(database, data, "commit:abcd") == ["0.0", "1.0", "2.0"]
        assert found(database, data, "!commit:[abcd, abc001]") == []


def test_nothing_asked_is_no_condition(database: Database) -> None:
    data = written(database)
    for engine in ("sqlite", "postgresql"):
        assert condition_of(scope_of(database, data), engine) is None
        assert condition_of(scope_of(database, data, query="a"), engine) is not None


def test_ids_are_asked_for_alike_however_many_they_are(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(database, *(release(f"{slug}@1.0", projects=[slug]) for slug in PROJECTS))
    for most in (0, 1, 2, 32):
        monkeypatch.setattr(related, "MOST_LISTED", most)
        assert found(database, data, "release:latest", data.access("web", "api")) == ["web@1.0", "api@1.0"]
        assert found(database, data, "!release:latest") == []
