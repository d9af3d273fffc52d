"""Random queries as trees, and random releases: few words, so that they meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

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
    Naming,
    Not,
    Number,
    Operator,
    Or,
    Precision,
    Prefix,
    Text,
    Value,
    VersionPoint,
    VersionPrefix,
    Wildcard,
    Word,
)
from store.text import folded
from tests.search.evaluator import MINUTE, Release

NOW = 1_795_428_000_000_000
"""2026-11-23T10:00Z."""

DAY = 1440 * MINUTE

PACKAGES = ("", "app", "App", "@scope", "web-app")
NUMBERS = ("1.0", "1.2.3", "1.2.3.4", "1.10", "2.0", "v1.2.3", "01.2")
PRERELEASES = ("", "", "-rc.1", "-rc.2", "-rc.10", "rc1", "-alpha")
BUILDS = ("", "", "+1", "+45", "+045", "+45.6", "+nightly", "+99999999999999999999")
ODD_VERSIONS = (
    "spring release 4",
    "Straße 5",
    "app@canary",
    "app@42",
    "42",
    "a86d127c4b2f23a0a862620280427dcc01c78676",
    "app(1) [x], *",
    "版本",
    "latest-1",
)
STAGES = ("adopted", "low_adoption", "replaced")
ENVIRONMENTS = ("production", "staging", "Staging EU", "0")
PROJECTS = ("web", "api", "web-admin")
LABELS = {"team": ("payments", "search"), "built on": ("linux", "Linux"), "app.io/tier": ("1", "10")}
WORDS = ("", "main", "Main", "release/1.x", 'a "quoted" one', "50% *", "[x]", "Ünal Straße", "a\\b", "!not", ">=1")
AUTHORS = ((None, None), ("Ann Ünal", "ann@example.com"), (None, "BOB@example.com"), ("Straße", None))
COMMITS = ("abcdef0123", "abcdef9999", "1234567", "ab", "r-1")
REPOSITORIES = ("shop", "Shop", "acme/web")
REFERENCES = ("WEB-12", "WEB-120", "https://tracker.example.com/issues/7")
FREE_WORDS = ("1.2", "app", "STRASSE", "rc", "release 4", "1.2.3 (45)", "and", "OR", "a:b", "!", "版")
FILES = ("app.js", "App.JS", "app.js.map", "static/[id].css", "~/a b.js")


def version_texts() -> st.SearchStrategy[str]:
    semantic = st.builds(
        lambda package, *rest: "@".join(filter(None, (package, "".join(rest)))),
        st.sampled_from(PACKAGES),
        st.sampled_from(NUMBERS),
        st.sampled_from(PRERELEASES),
        st.sampled_from(BUILDS),
    )
    return st.one_of(semantic, semantic, st.sampled_from(ODD_VERSIONS))


def times() -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(0, 20).map(lambda days: NOW - days * DAY),
        st.integers(0, 20 * 1440).map(lambda minutes: NOW - minutes * MINUTE),
        st.integers(-DAY, 20 * DAY).map(lambda microseconds: NOW - microseconds),
    )


@st.composite
def release_lists(draw: st.DrawFn, *, max_size: int = 12) -> list[Release]:
    """Releases of one organization: versions differ, each has a project, deploys are of its projects."""
    versions = draw(st.lists(version_texts(), max_size=max_size, unique=True))
    return [draw(releases(number, version)) for number, version in enumerate(versions, start=1)]


@st.composite
def releases(draw: st.DrawFn, number: int, version: str) -> Release:
    projects = draw(st.lists(st.sampled_from(PROJECTS), min_size=1, unique=True))
    some_projects = st.lists(st.sampled_from(projects), min_size=1, unique=True)
    deploys = st.fixed_dictionaries(
        {"environment": st.sampled_from(ENVIRONMENTS), "finished": times(), "projects": some_projects}
    )
    stays = st.lists(
        st.tuples(st.sampled_from(("", *ENVIRONMENTS)), st.sampled_from(projects)), max_size=3, unique=True
    )
    files = st.fixed_dictionaries(
        {"name": st.sampled_from(FILES), "project": st.one_of(st.none(), st.sampled_from(projects))}
    )
    keys = draw(st.lists(st.sampled_from(list(LABELS)), unique=True))
    return {
        "id": number,
        "version": version,
        "status": draw(st.sampled_from(("open", "open", "archived"))),
        "created": draw(times()),
        "released": draw(st.one_of(st.none(), times())),
        "ref": draw(st.sampled_from(WORDS)),
        "owner": draw(st.sampled_from(WORDS)),
        "labels": {key: draw(st.sampled_from(LABELS[key])) for key in keys},
        "projects": projects,
        "commits": draw(st.lists(commits(), max_size=3, unique_by=lambda commit: (commit["repository"], commit["id"]))),
        "heads": draw(st.lists(st.sampled_from(REPOSITORIES), max_size=1)),
        "deploys": draw(st.lists(deploys, max_size=3)),
        "stays": [draw(stays_in(*place)) for place in draw(stays)],
        "files": draw(st.lists(files, max_size=2, unique_by=lambda file: (file["name"], file["project"]))),
    }


def stays_in(environment: str, project: str) -> st.SearchStrategy[dict[str, Any]]:
    """Sessions without an environment are never adopted there."""
    never = st.just((None, None))
    often = st.tuples(times(), st.one_of(st.none(), times())) if environment else never
    return st.one_of(never, often).map(
        lambda both: {"environment": environment, "project": project, "adopted": both[0], "unadopted": both[1]}
    )


@st.composite
def commits(draw: st.DrawFn) -> dict[str, Any]:
    name, email = draw(st.sampled_from(AUTHORS))
    return {
        "repository": draw(st.sampled_from(REPOSITORIES)),
        "id": draw(st.sampled_from(COMMITS)),
        "name": name,
        "email": email,
        "fixes": draw(st.lists(st.sampled_from(REFERENCES), max_size=2, unique=True)),
    }


VOCABULARY: dict[Key, Sequence[str]] = {
    Key.PACKAGE: PACKAGES,
    Key.PROJECT: PROJECTS,
    Key.ENVIRONMENT: ("", *ENVIRONMENTS),
    Key.REF: WORDS,
    Key.OWNER: WORDS,
    Key.AUTHOR: tuple(text for author in AUTHORS for text in author if text),
    Key.REPOSITORY: REPOSITORIES,
    Key.REFERENCE: REFERENCES,
    Key.FILE: FILES,
}
"""What is found in releases, by the key that finds it."""


def texts(words: st.SearchStrategy[str], *, fold: bool = False, empty: bool = True) -> st.SearchStrategy[Text]:
    known = words.map(folded) if fold else words
    return (known if empty else known.filter(bool)).map(Text)


@st.composite
def wildcards(draw: st.DrawFn, words: st.SearchStrategy[str], *, fold: bool = False) -> Wildcard:
    """A word with some of it left open."""
    word = draw(words)
    if fold:
        word = folded(word)
    cuts = sorted(draw(st.lists(st.integers(0, len(word)), min_size=2, max_size=4)))
    inner = [word[left:right] for left, right in zip(cuts[1::2], cuts[2::2], strict=False) if left < right]
    first, last = word[: cuts[0]], word[cuts[-1] :]
    if not (first or last or inner):
        first = word or "a"
    return Wildcard((first, *inner, last))


def packages() -> st.SearchStrategy[Text | Wildcard | None]:
    known = st.sampled_from(PACKAGES[1:])
    return st.one_of(st.none(), texts(known), wildcards(known).filter(_can_stand_before_a_version))


def _can_stand_before_a_version(package: Wildcard) -> bool:
    """Whether it is written without an @ behind its first character: there the version would begin."""
    return "@" not in "*".join(package.parts)[1:]


def version_points() -> st.SearchStrategy[VersionPoint]:
    numbers = st.sampled_from(("1.0.0", "1.2.0", "1.2.3", "1.2.3.4", "1.10.0", "2.0.0", "42.0.0"))
    prereleases = st.sampled_from(("", "", "-rc.1", "-rc.2", "-rc.10", "-rc1", "-alpha", "-rc"))
    return st.builds(VersionPoint, packages(), st.tuples(numbers, prereleases).map("".join))


def version_prefixes() -> st.SearchStrategy[VersionPrefix]:
    numbers = st.lists(st.sampled_from((0, 1, 2, 3, 10)), max_size=3).map(tuple)
    built = st.builds(VersionPrefix, packages(), numbers)
    return built.filter(lambda value: bool(value.numbers) or value.package is not None)


@st.composite
def moments(draw: st.DrawFn, *, around: bool) -> Moment:
    precision = draw(st.sampled_from(list(Precision)))
    time = draw(times())
    return Moment(time - time % precision.value, precision, around=around and precision is not Precision.DAY)


def equal_values(key: Key) -> st.SearchStrategy[Value]:
    """What stands behind a key without an operator, periods left out."""
    rule = KEYS[key]
    match rule.kind:
        case Kind.TEXT:
            all_labels = tuple(value for values in LABELS.values() for value in values)
            words = st.sampled_from(VOCABULARY.get(key, all_labels))
            return st.one_of(texts(words, fold=rule.folded), wildcards(words, fold=rule.folded))
        case Kind.RELEASE:
            return st.one_of(texts(version_texts()), wildcards(version_texts()), st.just(Latest()))
        case Kind.COMMIT:
            whole = st.sampled_from(COMMITS)
            begun = st.builds(lambda text, size: text[:size], whole, st.integers(1, 10))
            return st.one_of(begun.map(lambda text: Text(text) if len(text) < 4 else Prefix(text)), wildcards(whole))
        case Kind.VERSION:
            return st.one_of(version_points(), version_prefixes())
        case Kind.BUILD:
            known = st.sampled_from(("nightly", "45.6", "99999999999999999999", "x", "-1"))
            return st.one_of(numbers(), texts(known), wildcards(known))
        case Kind.COUNT:
            return numbers()
        case Kind.TIME:
            return moments(around=True)
        case Kind.FLAG:
            return st.booleans().map(Flag)
        case Kind.STATUS | Kind.STAGE:
            return st.sampled_from(STAGES if rule.kind is Kind.STAGE else ("open", "archived")).map(Word)


def numbers() -> st.SearchStrategy[Number]:
    return st.sampled_from((0, 1, 2, 3, 45, 2**63 - 1)).map(Number)


def names(key: Key) -> st.SearchStrategy[str]:
    match KEYS[key].naming:
        case Naming.NEVER:
            return st.just("")
        case Naming.OPTIONAL:
            return st.sampled_from(("", *ENVIRONMENTS))
        case Naming.ALWAYS:
            return st.sampled_from((*LABELS, "other"))


@st.composite
def terms(draw: st.DrawFn, *, stages: bool = False) -> Expression:
    """One term of any kind; of stages only where that is said, for they need an environment."""
    key = draw(st.sampled_from([*(key for key in Key if stages or key is not Key.STAGE), None]))
    if key is None:
        word = draw(
            st.sampled_from(("1.2", "app", "STRASSE", "rc", "release 4", "1.2.3 (45)", "and", "OR", "a:b", "本"))
        )
        pattern = st.builds(lambda first, last: Wildcard((folded(first), last)), st.just(word), st.sampled_from("1+4"))
        return FreeText(draw(st.one_of(st.just(Text(folded(word))), pattern)))
    name = draw(names(key))
    kind = KEYS[key].kind
    match draw(st.integers(0, 5)):
        case 0 if kind is not Kind.FLAG:
            # Of labels the one without a name asks for any.
            return Has(key, draw(st.sampled_from((name, ""))))
        case 1:
            values = draw(st.lists(equal_values(key), min_size=2, max_size=4, unique=True))
            return In(key, tuple(values), name)
        case 2 | 3 if kind in (Kind.VERSION, Kind.BUILD, Kind.COUNT, Kind.TIME):
            operator = draw(st.sampled_from([each for each in Operator if each is not Operator.EQUAL]))
            return Comparison(key, operator, draw(ordered_values(kind)), name)
        case 4 if kind is Kind.TIME:
            return Comparison(key, Operator.EQUAL, draw(moments(around=False)), name)
        case _:
            return Comparison(key, Operator.EQUAL, draw(equal_values(key)), name)


def ordered_values(kind: Kind) -> st.SearchStrategy[Value]:
    if kind is Kind.TIME:
        return st.one_of(moments(around=False), st.integers(0, 20 * 1440).map(Ago))
    if kind is Kind.VERSION:
        return version_points().filter(lambda point: not isinstance(point.package, Wildcard))
    return numbers()


def expressions(*, stages: bool = False) -> st.SearchStrategy[Expression]:
    """Trees as `parse_query` makes them: an And holds no And, an Or no Or; with terms as in `terms`."""
    return st.recursive(
        terms(stages=stages),
        lambda inner: st.one_of(
            inner.map(Not),
            st.lists(inner, min_size=2, max_size=4).map(lambda parts: _joined(parts, And)),
            st.lists(inner, min_size=2, max_size=4).map(lambda parts: _joined(parts, Or)),
        ),
        max_leaves=12,
    )


def _joined(parts: Sequence[Expression], kind: type[And | Or]) -> Expression:
    return kind(tuple(each for part in parts for each in (part.conditions if isinstance(part, kind) else (part,))))
