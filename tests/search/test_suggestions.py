"""Suggestions of random releases, against plain Python: what the evaluator of the language takes for their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import Database
from store.search.language import Key
from store.search.suggestions import held_values
from store.search.suggestions.suggest import SUGGESTED, suggest_values
from store.text import folded
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import Release, World
from tests.search.strategies import LABELS, NOW, PROJECTS, release_lists

QUERIES = [*((key, "") for key in SUGGESTED), *((Key.LABEL, name) for name in LABELS)]
PREFIXES = st.sampled_from(("", "a", "A", "app", "S", "straß", "s", "1", "ANN", "pro", "%", "*", "\U0010ffff"))


def expected(data: Dataset, key: Key, label: str, prefix: str, projects: Sequence[str]) -> set[str]:
    """Every value that begins so, of releases of the projects; of authors, without case."""
    world = World(data.releases, NOW, projects=frozenset(projects) or None)
    begin = folded(prefix) if key is Key.AUTHOR else prefix
    values = set()
    for release in data.releases:
        if projects and not set(projects) & set(release["projects"]):
            continue
        for value in _values(world, key, label, release):
            place = folded(value) if key is Key.AUTHOR else value
            if place.startswith(begin):
                values.add(place)
    return values


def _values(world: World, key: Key, label: str, release: Release) -> Iterator[str]:
    if key is Key.LABEL and not label:
        yield from release["labels"]
    else:
        yield from (value for value in world.values(key, label, release) if value)


@pytest.mark.parametrize("at_once", [0, 2000])
def test_suggestions_are_the_values_of_what_the_caller_sees(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(held_values, "MOST_RELEASES", at_once)

    @given(release_lists(), st.sampled_from(QUERIES), PREFIXES, st.sets(st.sampled_from(PROJECTS)))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def check(releases: list[Release], asked: tuple[Key, str], prefix: str, projects: set[str]) -> None:
        key, label = asked
        data = write_dataset(database, releases)
        found = suggest_values(
            database,
            data.access(*sorted(projects)),
            data.slug,
            f"{key}.{label}" if label else str(key),
            prefix,
            size=100,
        )
        assert list(found.values) == sorted(found.values)
        told = [folded(value) if key is Key.AUTHOR else value for value in found.values]
        wanted = expected(data, key, label, prefix, sorted(projects))
        assert (set(told), len(told)) == (wanted, len(wanted))
        # Who may see all, and who may see little, is told that this is all.
        walked = key in (Key.RELEASE, Key.ENVIRONMENT)
        assert found.incomplete == bool(not at_once and projects and not walked and _seen(data, projects))

    check()


def _seen(data: Dataset, projects: set[str]) -> bool:
    return any(projects & set(release["projects"]) for release in data.releases)
