"""The latest release of each project: by version or by time, as the newest ones of the project say."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

import pytest

from store.access.projects import EVERY_PROJECT, ProjectSet
from store.database import Database
from store.organizations.lookup import find_organization
from store.search import latest
from store.search.latest import latest_releases
from tests.contract.callers import OPERATOR
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import MINUTE, Release, World
from tests.search.small_set import deploy, release
from tests.search.strategies import NOW


def patterns() -> Iterator[tuple[bool, ...]]:
    """Which of a project's releases are semantic, the newest first: all up to four, and some of up to twelve."""
    for size in range(5):
        yield from product((False, True), repeat=size)
    chance = random.Random(5)
    for size in (9, 10, 11, 12):
        for share in (0.1, 0.3, 0.3, 0.6):
            yield tuple(chance.random() < share for _ in range(size))


PATTERNS = list(patterns())
PROJECTS = tuple(f"project-{number:02}" for number in range(len(PATTERNS)))


def releases() -> Iterator[Release]:
    """Releases of the projects, with an archived one above all others, and one in five deployed."""
    chance = random.Random(7)
    number = 0
    for slug, pattern in zip(PROJECTS, PATTERNS, strict=True):
        for place, semantic in enumerate((True, *pattern)):
            number += 1
            created = NOW - place * MINUTE
            version = f"{chance.randrange(9)}.{chance.randrange(9)}" if place else "99.0"
            yield release(
                f"{slug}@{version}+{number}" if semantic else f"{slug} {number}",
                id=number,
                status="open" if place else "archived",
                projects=[slug],
                created=created,
                released=chance.choice((None, created - 5 * MINUTE, created + 5 * MINUTE)),
                deploys=[deploy("production", 1, slug)] if chance.random() < 0.2 else [],
            )


def found(db: Database, data: Dataset, projects: ProjectSet, *environments: bytes) -> frozenset[bytes]:
    said = frozenset(environments) or None
    return db.read(
        lambda reader: latest_releases(reader, find_organization(reader, OPERATOR, data.slug), projects, said)
    )


def told(data: Dataset, world: World, *slugs: str) -> set[bytes]:
    return {data.id_of(each) for slug in slugs for each in [world.latest(slug)] if each is not None}


@pytest.mark.parametrize("few", [0, latest.FEW_DEPLOYED])
def test_each_project_has_the_latest_release_that_its_newest_ones_say(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(latest, "FEW_DEPLOYED", few)
    data = write_dataset(database, releases(), projects=PROJECTS)
    world = World(data.releases, NOW)
    expected = told(data, world, *PROJECTS)
    assert len(expected) == len(PROJECTS) - 1, "all but the project without an open release"
    assert found(database, data, EVERY_PROJECT) == expected
    for slug in PROJECTS:
        one = ProjectSet(everything=False, ids=frozenset({data.projects[slug]}))
        assert found(database, data, one) == told(data, world, slug), slug
    production = data.environments["production"]
    deployed = told(data, World(data.releases, NOW, environments=frozenset({"production"})), *PROJECTS)
    assert 0 < len(deployed) < len(expected)
    assert found(database, data, EVERY_PROJECT, production) == deployed
    assert found(database, data, EVERY_PROJECT, b"\x00" * 16) == frozenset()


@pytest.mark.parametrize("few", [0, latest.FEW_DEPLOYED])
def test_the_latest_of_a_project_in_an_environment_was_deployed_from_that_project(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(latest, "FEW_DEPLOYED", few)
    older = release("app@1.0", id=1, projects=["web", "api"], deploys=[deploy("production", 2, "web", "api")])
    newer = release("app@2.0", id=2, projects=["web", "api"], deploys=[deploy("production", 1, "api")])
    data = write_dataset(database, [older, newer], projects=("web", "api"))
    production = data.environments["production"]
    for slug, expected in (("web", older), ("api", newer)):
        one = ProjectSet(everything=False, ids=frozenset({data.projects[slug]}))
        assert found(database, data, one, production) == {data.id_of(expected)}
