"""A few releases to try queries on; times are told in days before NOW."""

from __future__ import annotations

from typing import Any

from store.search.language import parse_query
from tests.search.evaluator import Release, World
from tests.search.strategies import DAY, NOW


def release(version: str, **fields: Any) -> Release:
    """A release of the project web, created ten days ago, with nothing else to tell of it but what is said."""
    plain: Release = {
        "id": 0,
        "version": version,
        "status": "open",
        "created": NOW - 10 * DAY,
        "released": None,
        "ref": "",
        "owner": "",
        "labels": {},
        "projects": ["web"],
        "commits": [],
        "heads": [],
        "deploys": [],
        "files": [],
        "stays": [],
    }
    assert fields.keys() <= plain.keys()
    return plain | fields


def deploy(environment: str, days_ago: float, *projects: str) -> dict[str, Any]:
    return {
        "environment": environment,
        "finished": NOW - round(days_ago * DAY),
        "projects": list(projects) or ["web"],
    }


def stay(environment: str, project: str = "web", **days_ago: float) -> dict[str, Any]:
    """Where it had sessions; when it was `adopted` there, and `unadopted`, is told in days before NOW."""
    times = {name: NOW - round(days * DAY) for name, days in days_ago.items()}
    plain: dict[str, Any] = {"environment": environment, "project": project, "adopted": None, "unadopted": None}
    assert times.keys() <= plain.keys()
    return plain | times


def commit(key: str, **fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"repository": "shop", "id": key, "name": None, "email": None, "fixes": []}
    assert fields.keys() <= plain.keys()
    return plain | fields


def found(query: str, *releases: Release, **scope: Any) -> list[str]:
    """The versions of the releases that a query selects; a text stands for a plain release of that version."""
    numbered = [each | {"id": number} for number, each in enumerate(releases, start=1)]
    return [each["version"] for each in World(numbered, NOW, **scope).selected(parse_query(query))]


def versions(query: str, *texts: str) -> list[str]:
    """Those of some plain releases that a query selects."""
    return found(query, *map(release, texts))
