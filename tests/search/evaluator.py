"""The search language in plain Python: which of some releases, each a dict, a query selects.

Slow and simple: what the databases answer is held against it. A release is

    {"id": 1, "version": "app@1.2.3+45", "status": "open", "created": 0, "released": None, "ref": "", "owner": "",
     "labels": {"team": "payments"}, "projects": ["web"],
     "commits": [{"repository": "shop", "id": "abcdef", "name": "Ann", "email": "ann@example.com", "fixes": ["WEB-1"]}],
     "heads": ["shop"], "deploys": [{"environment": "production", "finished": 0, "projects": ["web"]}],
     "files": [{"name": "app.js", "project": None}],
     "stays": [{"environment": "", "project": "web", "adopted": None, "unadopted": None}]}

with times in microseconds; heads are repositories of which only a ref tells, and stays are where it had sessions, once
for each environment (empty for sessions without one) and project, with when it was adopted there, and not any more. An
author's name is the one that goes with the e-mail now, whatever the commit said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from store.releases.version import MAX_NUMBER, follows_semver, parse_version
from store.search.language import (
    KEYS,
    Ago,
    And,
    Comparison,
    Expression,
    Flag,
    FreeText,
    Has,
    In,
    Key,
    Kind,
    Latest,
    Moment,
    Not,
    Number,
    Operator,
    Or,
    Prefix,
    Text,
    Value,
    VersionPoint,
    VersionPrefix,
    Wildcard,
    Word,
    keys_of,
)
from store.text import folded, folded_key

Release: TypeAlias = dict[str, Any]
Span: TypeAlias = tuple[int | None, int | None]

MINUTE = 60_000_000


@dataclass(frozen=True)
class World:
    """All releases of an organization, and what a list of them is asked for beside the query.

    `projects` are those selected (None: all), `environments` those of the list's filter (none: no filter); `created`
    and `released` are from the first time to before the second, None where open.
    """

    releases: Sequence[Release]
    now: int
    projects: frozenset[str] | None = None
    environments: frozenset[str] = frozenset()
    created: Span = (None, None)
    released: Span = (None, None)

    def listed(self, expression: Expression | None, statuses: Iterable[str] = ()) -> list[Release]:
        """The releases that a list shows, newest first. Without statuses, open ones, unless the query says which."""
        said = set(statuses) or (
            {"open", "archived"} if expression is not None and Key.STATUS in keys_of(expression) else {"open"}
        )
        found = [
            each
            for each in self.selected(expression)
            if self._any_selected(each["projects"])
            and each["status"] in said
            and (not self.environments or bool(self._there(each)))
            and _within(each["created"], self.created)
            and _within(each["released"], self.released)
        ]
        return sorted(found, key=_age, reverse=True)

    def selected(self, expression: Expression | None) -> list[Release]:
        """The releases that the query selects, in their own order."""
        return [each for each in self.releases if expression is None or self.holds(expression, each)]

    def holds(self, expression: Expression, release: Release) -> bool:
        match expression:
            case And(conditions):
                return all(self.holds(each, release) for each in conditions)
            case Or(conditions):
                return any(self.holds(each, release) for each in conditions)
            case Not(condition):
                return not self.holds(condition, release)
            case FreeText():
                return any(_contains(value, folded(release["version"])) for value in expression.texts)
            case Has(key, name):
                return any(_there(key, each) for each in self.values(key, name, release))
            case In(key, values, name):
                return any(self._compares(key, name, Operator.EQUAL, value, release) for value in values)
            case Comparison(key, operator, value, name):
                return self._compares(key, name, operator, value, release)

    def values(self, key: Key, name: str, release: Release) -> Iterable[Any]:  # noqa: C901 - a case for each key
        """All values of a key that a release has."""
        version = parse_version(release["version"])
        deploys = [each for each in release["deploys"] if self._any_selected(each["projects"])]
        commits = release["commits"]
        match key:
            case Key.RELEASE:
                return [release["version"]]
            case Key.VERSION:
                return [version] if version.is_semver else []
            case Key.PACKAGE:
                return [] if version.package is None else [version.package]
            case Key.BUILD:
                return [] if version.build_code is None else [version.build_code]
            case Key.CREATED:
                return [release["created"]]
            case Key.RELEASED:
                return [] if release["released"] is None else [release["released"]]
            case Key.FINALIZED:
                return [release["released"] is not None]
            case Key.STATUS | Key.REF | Key.OWNER:
                return [release[str(key)]]
            case Key.PROJECT:
                return [slug for slug in release["projects"] if self._any_selected([slug])]
            case Key.ENVIRONMENT:
                return [environment for environment, slug in places_of(release) if self._any_selected([slug])]
            case Key.STAGE:
                return self._there(release).values()
            case Key.DEPLOYED:
                return [deploy["finished"] for deploy in deploys if name in ("", deploy["environment"])]
            case Key.LABEL:
                labels: dict[str, str] = release["labels"]
                # That there is a label is all that is asked of its value.
                return [True] * len(labels) if not name else [labels[name]] if name in labels else []
            case Key.AUTHOR:
                return [text for commit in commits for text in (commit["name"], commit["email"]) if text]
            case Key.COMMIT:
                return [commit["id"] for commit in commits]
            case Key.REPOSITORY:
                return [*(commit["repository"] for commit in commits), *release["heads"]]
            case Key.REFERENCE:
                return [reference for commit in commits for reference in commit["fixes"]]
            case Key.FILE:
                files = release["files"]
                return [each["name"] for each in files if not each["project"] or self._any_selected([each["project"]])]
            case Key.COMMITS:
                return [len({(commit["repository"], commit["id"]) for commit in commits})]
            case Key.DEPLOYS:
                return [len(release["deploys"])]

    def _any_selected(self, slugs: Iterable[str]) -> bool:
        return self.projects is None or any(slug in self.projects for slug in slugs)

    def _there(self, release: Release) -> dict[tuple[str, str], str]:
        """Its stages in the environments of the list, by environment and project."""
        return {
            (environment, slug): stage
            for (environment, slug), stage in places_of(release).items()
            if environment in self.environments and self._any_selected([slug])
        }

    def _compares(self, key: Key, name: str, operator: Operator, value: Value, release: Release) -> bool:
        if isinstance(value, Latest):
            return any(release is self.latest(slug) for slug in self.values(Key.PROJECT, "", release))
        return any(self._is(operator, value, each, fold=KEYS[key].folded) for each in self.values(key, name, release))

    def _is(self, operator: Operator, value: Value, found: Any, *, fold: bool) -> bool:
        match value:
            case Text() | Wildcard() | Prefix():
                return _matches(_as_kept(value), folded_key(found)) if fold else _matches(value, found)
            case Flag(wanted) | Word(wanted):
                return bool(found == wanted)
            case Number(number):
                # A build code is compared as a number where it is one.
                text = str(found)
                return text.isdecimal() and int(text) <= MAX_NUMBER and _ordered(operator, int(text), number, number)
            case Ago(minutes):
                return _ordered(operator, found, self.now - minutes * MINUTE, self.now - minutes * MINUTE)
            case Moment():
                return _ordered(operator, found, value.first, value.beyond - 1)
            case VersionPrefix(package, numbers):
                have = (found.major, found.minor, found.patch, found.revision)
                return _of_package(package, found.package) and have[: len(numbers)] == numbers
            case VersionPoint(package, text):
                wanted_key = order_key(text)
                return _of_package(package, found.package) and _ordered(
                    operator, order_key(found.text), wanted_key, wanted_key
                )
            case Latest():
                raise AssertionError("is not a value of one release")

    def latest(self, slug: str) -> Release | None:
        """The newest open release of a project, among those in one of the list's environments."""
        of_project = [each for each in self.releases if slug in each["projects"] and each["status"] == "open"]
        newest_first = sorted(of_project, key=_age, reverse=True)
        semver = follows_semver([parse_version(each["version"]).is_semver for each in newest_first])
        there = [
            each
            for each in of_project
            if not self.environments
            or any(slug == project and environment in self.environments for environment, project in places_of(each))
        ]

        def newness(each: Release) -> tuple[Any, ...]:
            version = parse_version(each["version"])
            if semver:
                build = version.build_number
                return version.is_semver, order_key(each["version"]), -1 if build is None else build, _age(each)
            return (each["created"] if each["released"] is None else each["released"], _age(each))

        return max(there, key=newness, default=None)


def places_of(release: Release) -> dict[tuple[str, str], str]:
    """Where a release was deployed or had sessions, by environment and project, and its stage there."""
    deployed = {(each["environment"], slug): "low_adoption" for each in release["deploys"] for slug in each["projects"]}
    return deployed | {(each["environment"], each["project"]): _stage(each) for each in release["stays"]}


def _stage(stay: dict[str, Any]) -> str:
    if stay["adopted"] is None:
        return "low_adoption"
    return "adopted" if stay["unadopted"] is None else "replaced"


def order_key(text: str) -> tuple[Any, ...]:
    """What versions are ordered by, builds left out; the empty tuple for a version that is not semantic."""
    version = parse_version(text)
    if not version.is_semver:
        return ()
    identifiers = [
        (0, int(each), "") if each.isdecimal() else (1, 0, each) for each in (version.prerelease or "").split(".")
    ]
    final = version.prerelease == ""
    return (version.major, version.minor, version.patch, version.revision, final, [] if final else identifiers)


def _age(release: Release) -> tuple[int, int]:
    """What releases are ordered by that are alike otherwise."""
    return release["created"], release["id"]


def _within(time: int | None, span: Span) -> bool:
    first, beyond = span
    if span == (None, None):
        return True
    return time is not None and (first is None or time >= first) and (beyond is None or time < beyond)


def _ordered(operator: Operator, found: Any, first: Any, last: Any) -> bool:
    match operator:
        case Operator.EQUAL:
            return bool(first <= found <= last)
        case Operator.ABOVE:
            return bool(found > last)
        case Operator.AT_LEAST:
            return bool(found >= first)
        case Operator.BELOW:
            return bool(found < first)
        case Operator.AT_MOST:
            return bool(found <= last)


def _of_package(wanted: Text | Wildcard | None, found: str) -> bool:
    return wanted is None or _matches(wanted, found)


def _there(key: Key, value: Any) -> bool:
    return bool(value > 0) if KEYS[key].kind is Kind.COUNT else value != ""


def _as_kept(value: Text | Wildcard | Prefix) -> Text | Wildcard | Prefix:
    """What is kept folded is kept no longer than an index takes it, and found by as much."""
    return Text(folded_key(value.text)) if isinstance(value, Text) else value


def _matches(value: Text | Wildcard | Prefix, found: str) -> bool:
    match value:
        case Text(text):
            return found == text
        case Prefix(prefix):
            return found.startswith(prefix)
        case Wildcard(parts):
            first, *middle, last = parts
            if len(found) < len(first) + len(last) or not (found.startswith(first) and found.endswith(last)):
                return False
            return _in_order(middle, found[len(first) : len(found) - len(last)])


def _contains(value: Text | Wildcard, found: str) -> bool:
    return _in_order([value.text] if isinstance(value, Text) else value.parts, found)


def _in_order(parts: Iterable[str], found: str) -> bool:
    """Whether the parts stand in the text, each behind the one before: the first place of each leaves most room."""
    start = 0
    for part in parts:
        place = found.find(part, start)
        if place < 0:
            return False
        start = place + len(part)
    return True
