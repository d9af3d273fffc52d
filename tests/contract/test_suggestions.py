"""Suggestions: the values that begin as a text does, of releases that the caller may see and of no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from store.access import Access
from store.commits.drafts import CommitDraft
from store.commits.models import CommitAuthor, ReleaseAuthor
from store.database import Database, QueryEvent, Statement, Transaction, holes_for, new_id
from store.deploys.create import DeployDraft, create_deploy
from store.errors import InvalidField, OrganizationNotFound, ProjectForbidden
from store.organizations import delete
from store.organizations.delete import delete_project
from store.paging import PageRequest
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseStatus
from store.search.filters import ReleaseFilter
from store.search.language import Comparison, Key, Operator, Text, format_query
from store.search.list import list_releases
from store.search.suggestions import held_values, suggest
from store.search.suggestions.suggest import SUGGESTED, suggest_values
from store.text import folded
from tests.contract.acme import Acme

_ADD_AUTHOR = Statement(CommitAuthor.insert(holes_for(*CommitAuthor._meta.sorted_fields)))
_ADD_TO_RELEASE = Statement(ReleaseAuthor.insert(holes_for(*ReleaseAuthor._meta.sorted_fields)))

KEYS = ("release", "release.package", "release.build", "environment", "author", "label", "label.team")


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "web", "api")


def made(acme: Acme, name: str, *projects: str, **fields: Any) -> None:
    """A release that has a value of its own of every key; each begins with its name."""
    author = CommitDraft("c0ffee", "shop", author_name=f"{name} person", author_email=f"{name}@example.com")
    version = f"{name}@1.0+{name}"
    fields = {"commits": (author,), "labels": {f"{name} label": "x", "team": f"{name} team"}, **fields}
    acme.release(version, *projects, **fields)
    create_deploy(acme.db, acme.everybody, acme.slug, version, DeployDraft((f"{name} stage",)))


def values_of(name: str) -> dict[str, list[str]]:
    """What is suggested of such a release, by key; without the label `team`, which all have."""
    return {
        "release": [f"{name}@1.0+{name}"],
        "release.package": [name],
        "release.build": [name],
        "environment": [f"{name} stage"],
        "author": [f"{name} person", f"{name}@example.com"],
        "label": [f"{name} label"],
        "label.team": [f"{name} team"],
    }


def suggested(
    acme: Acme, key: str, prefix: str = "", *, access: Access | None = None, size: int = 20, **chosen: Any
) -> list[str]:
    """What is suggested, which is all there is."""
    found = suggest_values(acme.db, access or acme.everybody, acme.slug, key, prefix, size=size, **chosen)
    assert not found.incomplete
    return list(found.values)


def of_each_key(acme: Acme, prefix: str, **asked: Any) -> dict[str, list[str]]:
    return {key: suggested(acme, key, prefix, **asked) for key in KEYS}


def test_every_key_suggests_what_releases_have(acme: Acme) -> None:
    made(acme, "shop", "web")
    made(acme, "cart", "api")
    for name in ("shop", "cart"):
        assert of_each_key(acme, name[:2]) == values_of(name)
    assert suggested(acme, "label") == ["cart label", "shop label", "team"]
    assert suggested(acme, "environment") == ["cart stage", "shop stage"]
    assert of_each_key(acme, "nothing") == {key: [] for key in KEYS}


def test_what_is_suggested_is_found_by_a_search_for_it(acme: Acme) -> None:
    labels = {"team": 'a * (b) "c" \\', "built on": "<=1"}
    author = CommitDraft("c1", "shop", author_name="Ann * Ünal, [x]", author_email="ANN@example.com")
    acme.release("shop (2)@1.0-rc*+4.5", "web", commits=(author,))
    acme.release("shop (2)@1.0+4.5", "web", commits=(author,), labels=labels, status=ReleaseStatus.ARCHIVED)
    create_deploy(acme.db, acme.everybody, "acme", "shop (2)@1.0+4.5", DeployDraft(("Staging (EU), *",)))
    searches = 0
    for key, name in (
        *((key, "") for key in SUGGESTED if key is not Key.LABEL),
        *((Key.LABEL, name) for name in labels),
    ):
        for value in suggested(acme, f"{key}.{name}" if name else str(key)):
            text = folded(value) if key is Key.AUTHOR else value
            query = format_query(Comparison(key, Operator.EQUAL, Text(text), name))
            wanted = ReleaseFilter(query, statuses=(ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED))
            assert list_releases(acme.db, acme.everybody, "acme", wanted, page=PageRequest(10)).page.items, query
            searches += 1
    assert searches == 9


@pytest.mark.parametrize("at_once", [1, 2000])
def test_only_what_releases_of_the_chosen_projects_have_is_suggested(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(held_values, "MOST_RELEASES", at_once)
    made(acme, "shop", "web")
    made(acme, "cart", "api")
    nothing: dict[str, list[str]] = {key: [] for key in KEYS}
    for asked in ({"access": acme.member_of("web")}, {"projects": ("web",)}):
        assert of_each_key(acme, "shop", **asked) == values_of("shop")
        assert of_each_key(acme, "cart", **asked) == nothing
    assert of_each_key(acme, "shop", access=acme.member_of()) == nothing
    assert of_each_key(acme, "shop", access=acme.member_of("api"), every_project=True) == nothing


def test_open_membership_widens_what_all_projects_are(database: Database) -> None:
    acme = Acme(database, "web", "api", open_membership=True)
    made(acme, "shop", "web")
    member = acme.member_of("api")
    assert of_each_key(acme, "shop", access=member) == {key: [] for key in KEYS}
    for chosen in ({"every_project": True}, {"projects": ("web",)}):
        assert of_each_key(acme, "shop", access=member, **chosen) == values_of("shop")


def test_archived_releases_count(acme: Acme) -> None:
    made(acme, "shop", "web", status=ReleaseStatus.ARCHIVED)
    for access in (acme.everybody, acme.member_of("web")):
        assert of_each_key(acme, "shop", access=access) == values_of("shop")


@pytest.mark.parametrize("drained", [False, True])
def test_what_only_deleted_releases_have_is_told_to_nobody(acme: Acme, *, drained: bool) -> None:
    made(acme, "shop", "web", "api")
    made(acme, "cart", "web")
    delete_release(acme.db, acme.everybody, "acme", "cart@1.0+cart")
    if drained:
        drain_deleted_releases(acme.db)
    for access in (acme.everybody, acme.member_of("web")):
        assert of_each_key(acme, "cart", access=access) == {key: [] for key in KEYS}
        assert of_each_key(acme, "shop", access=access) == values_of("shop")


def test_what_only_a_deleted_project_had_is_told_to_nobody(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)  # the rows are all there
    member = acme.member_of("web", "api")
    made(acme, "cart", "api")
    made(acme, "shop", "web", "api")
    delete_project(acme.db, acme.everybody, "acme", "api", force=True)
    for access in (acme.everybody, member):
        assert of_each_key(acme, "cart", access=access) == {key: [] for key in KEYS}
        assert of_each_key(acme, "shop", access=access) == values_of("shop")


def test_a_deploy_of_another_project_tells_nothing_of_this_one(acme: Acme) -> None:
    acme.release("1.0", "web", "api")
    create_deploy(acme.db, acme.everybody, "acme", "1.0", DeployDraft(("prod",), projects=("api",)))
    assert suggested(acme, "environment", access=acme.member_of("web")) == []
    assert suggested(acme, "environment", access=acme.member_of("web", "api")) == ["prod"]


def test_wildcard_characters_are_characters(acme: Acme) -> None:
    for value in ("a%b", "a_b", "a*b", "a[b", "axb", "a\\b", "ab", "A%b"):
        acme.release(f"v {len(value)}{value.encode().hex()}", "web", labels={"odd": value})
    for prefix in ("a%", "a_", "a*", "a[", "a\\", "A"):
        expected = [value for value in ("A%b", "a%b", "a*b", "a[b", "a\\b", "a_b") if value.startswith(prefix)]
        for access in (acme.everybody, acme.member_of("web")):
            assert suggested(acme, "label.odd", prefix, access=access) == expected


def test_values_are_sorted_by_code_point(acme: Acme) -> None:
    values = ["Z", "a", "a b", "a-b", "ab", "ä", "ｚ", "😀"]
    for number, value in enumerate(values):
        acme.release(f"v{number}", "web", labels={"odd": value})
    for access in (acme.everybody, acme.member_of("web")):
        assert suggested(acme, "label.odd", access=access) == values
        assert suggested(acme, "label.odd", "😀", access=access) == ["😀"]


def test_authors_begin_so_in_whatever_case_and_are_told_as_they_are_kept(acme: Acme) -> None:
    commits = [
        CommitDraft("c1", "shop", author_name="Straßer Ünal", author_email="first@example.com"),
        CommitDraft("c2", "shop", author_name="STRASSER ÜNAL", author_email="second@example.com"),
        CommitDraft("c3", "shop", author_email="Strasse@example.com"),
        CommitDraft("c4", "shop", author_name="Bo", author_email="bo@example.com"),
    ]
    acme.release("1.0", "web", commits=commits[1:])
    acme.release("2.0", "api", commits=commits[:1])
    for prefix in ("straß", "STRASS"):
        assert suggested(acme, "author", prefix, access=acme.member_of("web")) == [
            "STRASSER ÜNAL",
            "strasse@example.com",
        ]
        assert suggested(acme, "author", prefix, access=acme.member_of("api")) == ["Straßer Ünal"]
        # One of the spellings is enough: a search for it finds both.
        assert len(suggested(acme, "author", prefix)) == 2
    assert suggested(acme, "author", "strassER ünal x") == []


def test_more_than_asked_for_is_said(acme: Acme) -> None:
    for number in range(4):
        acme.release(f"app@{number}.0+b{number}", "web", labels={"nr": str(number)})
    for access in (acme.everybody, acme.member_of("web")):
        for key, expected in {
            "release": ["app@0.0+b0", "app@1.0+b1", "app@2.0+b2"],
            "release.build": ["b0", "b1", "b2"],
            "label.nr": ["0", "1", "2"],
        }.items():
            found = suggest_values(acme.db, access, "acme", key, "", size=3)
            assert (list(found.values), found.incomplete) == (expected, True)
            assert len(suggested(acme, key, access=access, size=4)) == 4


@pytest.mark.parametrize("key", KEYS)
def test_a_long_way_of_unseen_values_is_walked_to_its_bound(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(suggest, "MOST_LOOKED_AT", 4)
    for name in ("a1", "a2", "a3", "a4", "a5", "a6"):
        made(acme, name, "web")
        acme.db.write(_unattached(acme, f"{name}@1.0+{name}"))
    made(acme, "a7", "web")
    found = suggest_values(acme.db, acme.everybody, "acme", key, "a", size=1)
    assert (found.values, found.incomplete) == ((), True)
    assert suggested(acme, key, "a7") == values_of("a7")[key]


def _unattached(acme: Acme, version: str) -> Callable[[Transaction], int]:
    """Takes the release out of its projects, as deleting it does."""
    release = Release.select(Release.id).where(Release.organization_id == acme.id, Release.version == version)
    return lambda tx: tx.execute(ReleaseProject.delete().where(ReleaseProject.release_id.in_(release)))


def test_one_value_among_a_hundred_thousand_unseen_ones_is_found_without_looking_at_them(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = CommitDraft("c1", "shop", author_email="zoe@example.com")
    acme.release("shown", "web", commits=(shown,))
    hidden = acme.release("hidden", "api", commits=(CommitDraft("c2", "shop", author_email="a@example.com"),))
    _add_authors(acme, hidden.details.release.id, 100_000)
    member = acme.member_of("web")
    statements: list[QueryEvent] = []
    acme.db.hooks.append(statements.append)

    assert suggested(acme, "author", access=member) == ["zoe@example.com"]
    assert suggested(acme, "author", "z", access=member) == ["zoe@example.com"]
    assert suggested(acme, "author", "a", access=member) == []
    assert sum(event.rows for event in statements) < 30

    # Where the projects hold too many releases to read them all, the way through the values ends at its bound.
    monkeypatch.setattr(held_values, "MOST_RELEASES", 0)
    acme.db.write(_unattached(acme, "hidden"))
    for access in (member, acme.everybody):
        statements.clear()
        found = suggest_values(acme.db, access, "acme", "author", "a", size=20)
        assert (found.values, found.incomplete) == ((), True)
        assert sum(event.rows for event in statements) < suggest.MOST_LOOKED_AT + 30
        assert "zoe@example.com" in suggest_values(acme.db, access, "acme", "author", "z", size=20).values


def _add_authors(acme: Acme, release_id: bytes, many: int) -> None:
    authors = [(new_id(), f"a{number}@example.com") for number in range(many)]
    rows = [
        {
            "id": author_id,
            "organization_id": acme.id,
            "email": email,
            "display_name": None,
            "folded_email": email,
            "folded_name": "",
        }
        for author_id, email in authors
    ]
    acme.db.write(lambda tx: tx.run_many(_ADD_AUTHOR, rows), long=True)
    links = [{"release_id": release_id, "email": email, "author_id": author_id} for author_id, email in authors]
    acme.db.write(lambda tx: tx.run_many(_ADD_TO_RELEASE, links), long=True)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "label.NAME"),
        ("label.", "label.NAME"),
        ("package", "did you mean release.package?"),
        ("lable", "did you mean label?"),
        ("ref", "release, release.package, release.build, environment, author, label and label.NAME"),
        ("release.version", "has no suggestions"),
        ("x" * 80, "`" + "x" * 40 + "…`"),
    ],
)
def test_a_key_without_suggestions_is_refused_with_those_that_have(sqlite: Database, key: str, told: str) -> None:
    acme = Acme(sqlite, "web")
    with pytest.raises(InvalidField) as refused:
        suggested(acme, key)
    assert refused.value.metadata == {"field": "key"}
    assert told in str(refused.value)


def test_what_may_not_be_named_is_refused_as_in_lists(acme: Acme) -> None:
    other = Acme(acme.db, "web", slug="other")
    for chosen in (("nowhere",), ("api",)):
        with pytest.raises(ProjectForbidden):
            suggested(acme, "release", access=acme.member_of("web"), projects=chosen)
    with pytest.raises(OrganizationNotFound):
        suggest_values(acme.db, other.everybody, "acme", "release", "", size=1)
